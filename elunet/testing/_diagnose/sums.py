"""Sums of dy: over the wrong axes, with a mean in place of the sum, or of another array."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Evidence
from elunet.testing._diagnose.numbers import distinct, generic, numbers_of


def summed(e: Evidence) -> str:
    """Analytic is a sum (or mean) of dy, or of another array, over some axes."""
    if e.dy is None or e.dy.size < 2 or distinct(e.a) < 2:
        return ""
    right = [axes for axes, array in reductions(e.dy, e.value.shape) if fits(e, array)]
    for how in ("summed", "averaged"):
        for axes, array in reductions(e.dy, e.value.shape, how == "averaged"):
            if e.is_analytic(e.pick(array)):
                text = f"analytic is {e.dy_name} {how} over {numbers_of(axes)}"
                if len(right) == 1:
                    return f"{text}, expected its sum over {numbers_of(right[0])}"
                return f"{text}: the other factors of the derivative are missing"
    arrays = {**({} if e.y is None else {"y": e.y}), **e.inputs}
    for name, array in arrays.items():
        if array.ndim <= e.value.ndim or not generic(array):
            continue
        for axes, reduced in reductions(array, e.value.shape):
            if e.is_analytic(e.pick(reduced)):
                over = numbers_of(axes)
                return f"analytic is {name} summed over {over}: it does not use {e.dy_name}"
    return ""


def fits(e: Evidence, array: Array) -> bool:
    """Whether an array is the numeric gradient."""
    return e.same(e.pick(array), e.numeric)


def reductions(
    array: Array, shape: tuple[int, ...], mean: bool = False
) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Yield axes, and the array summed over them, where that gives this shape.

    Axes of length 1 in the shape may be left out or kept.
    """
    short = tuple(length for length in shape if length != 1)
    for count in range(1, array.ndim + 1):
        for axes in combinations(range(array.ndim), count):
            rest = [n for i, n in enumerate(array.shape) if i not in axes and n != 1]
            if tuple(rest) == short:
                reduced = array.mean(axis=axes) if mean else array.sum(axis=axes)
                yield axes, np.asarray(reduced).reshape(shape)
