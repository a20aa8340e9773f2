"""A product of two matrices: elementwise for dot, and factors in the wrong order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Evidence
from elunet.testing._diagnose.numbers import distinct, generic

SMALL = 250_000


def products(e: Evidence) -> str:
    """Compare with other products of the two matrices whose product is the gradient.

    Both may be averaged.
    """
    if e.dy is None or e.dy.ndim != 2 or e.value.ndim != 2 or e.dy.size > SMALL:
        return ""
    if e.value.size > SMALL or distinct(e.a) < 3:
        return ""
    for name, array in e.inputs.items():
        if np.ndim(array) != 2 or not generic(array):
            continue
        P = np.asarray(array, np.float64)
        for text, right in _dots(e, P, name):
            scales = (1.0, 1 / e.dy.shape[0], 1 / e.dy.shape[1])
            for k in scales:
                if e.is_right(k * right):
                    return _wrong(e, P, name, text, scales)
    return ""


def _dots(e: Evidence, P: Array, name: str) -> Iterator[tuple[str, Array]]:
    """Yield the matrix products of dy and P that have the value's shape."""
    if e.dy is None:
        return
    sides = {e.dy_name: e.dy, f"{e.dy_name}.T": e.dy.T}, {name: P, f"{name}.T": P.T}
    for (one, a), (other, b) in product(sides[0].items(), sides[1].items()):
        for left, right, text in ((a, b, f"{one} @ {other}"), (b, a, f"{other} @ {one}")):
            if left.shape[1] == right.shape[0]:
                found = left @ right
                if found.shape == e.value.shape:
                    yield text, found


def _wrong(e: Evidence, P: Array, name: str, text: str, scales: tuple[float, ...]) -> str:
    if e.dy is None:
        return ""
    for factor in scales:
        for a, b in product((e.dy, e.dy.T), (P, P.T)):
            if a.shape == b.shape == e.value.shape and e.is_analytic(e.pick(factor * a * b)):
                return (
                    f"{e.dy_name} and {name} are multiplied elementwise, expected the matrix "
                    f"product {text}"
                )
        for other, array in _dots(e, P, name):
            if other != text and e.is_analytic(e.pick(factor * array)):
                return f"analytic is {other}, expected {text}"
    return ""
