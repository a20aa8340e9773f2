"""Which mutants there are: all classes with an `example` in the zoo's files."""

from __future__ import annotations

from elunet.testing.mutants import (
    _activations,
    _losses,
    _optimizers,
    _pictures,
    _regularizers,
    _weighted,
)
from elunet.testing.mutants._record import Mutant, mutants_in


def layers(of: str | None = None) -> list[Mutant]:
    """Return the wrong layers.

    Parameters
    ----------
    of : str, optional
        Only those of one class, such as "ELU".

    Returns
    -------
    list of Mutant

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> from elunet.testing import mutants
    >>> [mutant.name for mutant in mutants.layers(of="Add")]
    ['SharedGradient', 'AddsInPlace']
    """
    files = (_weighted, _activations, _pictures, _regularizers)
    return _chosen([m for file in files for m in mutants_in(file, "layer")], of)


def losses(of: str | None = None) -> list[Mutant]:
    """Return the wrong losses; see `layers`."""
    return _chosen(list(mutants_in(_losses, "loss")), of)


def optimizers(of: str | None = None) -> list[Mutant]:
    """Return the wrong optimizers; see `layers`."""
    return _chosen(list(mutants_in(_optimizers, "optimizer")), of)


def all() -> list[Mutant]:
    """Return all mutants: layers, losses, optimizers."""
    return [*layers(), *losses(), *optimizers()]


def _chosen(found: list[Mutant], of: str | None) -> list[Mutant]:
    names = sorted({mutant.of for mutant in found})
    if of is not None and of not in names:
        raise ValueError(f"mutants: expected of among {names}, got {of!r}")
    return [mutant for mutant in found if of in (None, mutant.of)]
