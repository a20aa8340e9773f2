"""One gradient in another one's place, or another array in the gradient's place."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Evidence
from elunet.testing._diagnose.numbers import distinct, generic


def swapped(e: Evidence) -> str:
    """Another gradient holds what this one should."""
    if distinct(e.numeric) < 2 or e.indices.size < 2:
        return ""
    for name, other in e.others.items():
        if other.analytic.shape != e.value.shape or not e.same(e.pick(other.analytic), e.numeric):
            continue
        # It may be right there too (both inputs of a sum): then it is not swapped.
        if e.same(e.a, other.numeric(e.indices)):
            return f"{e.array} and {name} are swapped: each holds the other's values"
    return ""


def another_array(e: Evidence) -> str:
    """Find a known array in the gradient's place: the value, the output, another gradient."""
    if distinct(e.a) < 2 or e.indices.size < 2:
        return ""
    known: list[tuple[str, Array]] = list(e.inputs.items())
    if e.y is not None:
        known.append(("y, the output", e.y))
    for name, other in e.others.items():
        # Where both should be the same, it says nothing that they are.
        is_of_shape = other.analytic.shape == e.value.shape
        if is_of_shape and not e.same(other.numeric(e.indices), e.numeric):
            known.append((name, other.analytic))
    for name, array in known:
        if np.shape(array) == e.value.shape and generic(array) and e.is_analytic(e.pick(array)):
            return f"analytic is {name} itself"
    return ""


def through_dy(e: Evidence) -> str:
    """Find dy unchanged in the gradient's place."""
    if e.dy is None or e.dy.size < 2 or e.dy.shape != e.value.shape or distinct(e.a) < 2:
        return ""
    if not e.is_analytic(e.pick(e.dy)):
        return ""
    return f"analytic is {e.dy_name} unchanged: the layer's derivative is missing"
