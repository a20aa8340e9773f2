"""Numbers that cannot be checked, complex ones and records: an error if they change the output."""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._find.places import Place, is_unreadable, walk
from elunet.testing._perturb.layer_run import Runner


def check_unreadable(run: Runner, y: Array) -> None:
    """Raise an error for complex numbers or records that move the output.

    Raises
    ------
    GradientCheckError
        It says how to keep them, or to declare them constant.
    """
    for place in [place for place in walk(run.root) if is_unreadable(place.get())]:
        content = place.get()
        if place.path not in run.options.gradients and _moves(run, place, y):
            kind = "complex numbers" if np.iscomplexobj(content) else "records"
            raise run.error(
                f"{place.path} holds {kind} and moves the output, and was not checked: keep "
                f"{'real and imaginary part' if kind[0] == 'c' else 'the fields'} in arrays of "
                f"real numbers, or say that it is a constant: gradients={{{place.path!r}: None}}",
                place.path,
            )


def _moves(run: Runner, place: Place, y: Array) -> bool:
    content = place.get()
    run.frozen.restore()
    place.set(_nearby(content))
    try:
        with np.errstate(all="ignore"):
            other = run.forward_again(run.copies())
    except Exception:  # whatever another value makes of the code
        return False
    finally:
        place.set(content)
    return other.shape == y.shape and bool(np.any(np.nan_to_num(other - y)))


def _nearby(content: Any) -> Any:
    """Return complex numbers or records that differ a little from these."""
    if np.iscomplexobj(content):
        return content * (1.01 + 0.02j) + 1e-3
    other = content.copy()
    for name in other.dtype.names or ():
        if other.dtype[name].base.kind in "fc":
            other[name] = 1.01 * other[name] + 1e-3
    return other
