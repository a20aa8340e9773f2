"""Which mutants there are: all classes with an `example` in the zoo's files."""

from __future__ import annotations

from elunet.teaching.mutants import (
    _activations,
    _blocks,
    _losses,
    _optimizers,
    _pooling,
    _regularizers,
    _smooth,
    _weighted,
)
from elunet.teaching.mutants._mutant import Mutant, mutants_in


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
    >>> from elunet.teaching import mutants
    >>> [mutant.name for mutant in mutants.layers(of="Add")]
    ['SharedGradient', 'AddsInPlace']
    """
    files = (_weighted, _activations, _smooth, _pooling, _regularizers, _blocks)
    return _chosen([m for file in files for m in mutants_in(file, "layer")], of)


def losses(of: str | None = None) -> list[Mutant]:
    """Return the wrong losses.

    Parameters
    ----------
    of : str, optional
        Only those of one class, such as "CrossEntropy".

    Returns
    -------
    list of Mutant

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> from elunet.teaching import mutants
    >>> [mutant.name for mutant in mutants.losses(of="CrossEntropy")]
    ['GradientForLogits', 'LogarithmOfZero']
    """
    return _chosen(list(mutants_in(_losses, "loss")), of)


def optimizers(of: str | None = None) -> list[Mutant]:
    """Return the wrong optimizers.

    Parameters
    ----------
    of : str, optional
        Only those of one class, such as "Adam".

    Returns
    -------
    list of Mutant

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> from elunet.teaching import mutants
    >>> [mutant.name for mutant in mutants.optimizers(of="RMSProp")]
    ['SquareOfMean']
    """
    return _chosen(list(mutants_in(_optimizers, "optimizer")), of)


def all() -> list[Mutant]:
    """Return all mutants: layers, losses, optimizers.

    Examples
    --------
    >>> from elunet.teaching import mutants
    >>> len(mutants.all()) == len([*mutants.layers(), *mutants.losses(), *mutants.optimizers()])
    True
    """
    return [*layers(), *losses(), *optimizers()]


def _chosen(found: list[Mutant], of: str | None) -> list[Mutant]:
    names = sorted({mutant.of for mutant in found})
    if of is not None and of not in names:
        raise ValueError(f"mutants: expected of among {names}, got {of!r}")
    return [mutant for mutant in found if of in (None, mutant.of)]
