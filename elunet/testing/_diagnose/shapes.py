"""A gradient of the wrong shape: what would make it right."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Misshapen
from elunet.testing._diagnose.numbers import numbers_of
from elunet.testing._diagnose.sums import reductions

FEW = 40
"""Entries that are compared."""


def explain_shape(m: Misshapen) -> str:
    """Return the likely cause, or "" where no change of the shape makes the gradient right."""
    indices = np.arange(int(np.prod(m.shape)))[:FEW]
    numeric = m.numeric(indices)

    def fits(candidate: Array) -> bool:
        picked = candidate.reshape(-1)[indices]
        scale = float(np.max(np.abs(numeric), initial=0.0))
        return scale > 0 and bool(np.all(np.abs(picked - numeric) <= m.close * scale))

    return (
        _not_summed(m, fits) or _turned(m, fits) or _wrong_axes(m, fits) or _another(m, fits) or ""
    )


def _not_summed(m: Misshapen, fits: Callable[[Array], bool]) -> str:
    for axes, array in reductions(m.analytic, m.shape):
        if any(m.analytic.shape[axis] > 1 for axis in axes) and fits(array):
            return _missing_sum(m, axes)
    for axes, array in reductions(m.analytic, m.shape, mean=True):
        if any(m.analytic.shape[axis] > 1 for axis in axes) and fits(array):
            return f"not averaged over {numbers_of(axes)}"
    return ""


def _missing_sum(m: Misshapen, axes: tuple[int, ...]) -> str:
    lengths = " x ".join(str(m.analytic.shape[axis]) for axis in axes)
    if m.analytic.shape != m.dy.shape:
        done = next((s for s, array in _sums(m) if np.array_equal(array, m.analytic)), None)
        if done is not None:
            kept = [axis for axis in range(m.dy.ndim) if axis not in done]
            left = tuple(kept[axis] for axis in axes)
            return (
                f"{m.dy_name} is summed over {numbers_of(done)} only: it has to be summed over "
                f"{numbers_of(left)} (of length {lengths}) as well"
            )
        return f"{m.array} is not summed over its {numbers_of(axes)} (of length {lengths})"
    batch = ", the batch" if axes == (0,) and len(m.shape) == 1 else ""
    return f"not summed over {numbers_of(axes)} (of length {lengths}){batch}"


def _sums(m: Misshapen) -> list[tuple[tuple[int, ...], Array]]:
    """Return all sums of dy."""
    return [
        (axes, np.asarray(m.dy.sum(axis=axes)))
        for count in range(1, m.dy.ndim + 1)
        for axes in combinations(range(m.dy.ndim), count)
    ]


def _wrong_axes(m: Misshapen, fits: Callable[[Array], bool]) -> str:
    right = [axes for axes, array in reductions(m.dy, m.shape) if fits(array)]
    if len(right) != 1:
        return ""
    squeezed = m.analytic.squeeze()
    for axes, array in _sums(m):
        for how, found in (("summed", array), ("averaged", m.dy.mean(axis=axes))):
            if found.squeeze().shape == squeezed.shape and np.allclose(found.squeeze(), squeezed):
                return (
                    f"{m.dy_name} is {how} over {numbers_of(axes)}, expected its sum over "
                    f"{numbers_of(right[0])}"
                )
    return ""


def _turned(m: Misshapen, fits: Callable[[Array], bool]) -> str:
    if m.analytic.shape == m.shape[::-1] and m.analytic.ndim > 1 and fits(m.analytic.T):
        return "transposed"
    if m.analytic.size == int(np.prod(m.shape)) and fits(m.analytic):
        return f"a missing reshape to {m.symbol}'s shape"
    return ""


def _another(m: Misshapen, fits: Callable[[Array], bool]) -> str:
    for name, other in m.others.items():
        if other.analytic.shape == m.shape and fits(other.analytic):
            return f"{m.array} and {name} are swapped: {name} holds what {m.array} should"
    same = [n for n, v in m.inputs.items() if np.shape(v) == m.analytic.shape and n != m.symbol]
    if len(same) == 1:
        return f"this is the shape of {same[0]}"
    return ""
