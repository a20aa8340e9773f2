"""From the pattern of a gradient's errors to the bug that made them.

Most wrong gradients are wrong in a simple way: by one factor everywhere, by a factor on one side
of a threshold, at the border, transposed. Each function below looks for one such pattern, the
simplest first, and describes it in a sentence. Nothing is guessed from the source code.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose._evidence import Evidence, Factor

CLOSE = 1e-4


def explain(evidence: Evidence) -> str:
    """Return the likely cause, or "" where no pattern fits."""
    patterns = (
        _not_finite,
        _silent,
        _everywhere,
        _rearranged,
        _branch,
        _border,
        _one_place,
        _per_axis,
        _at_wrong,
    )
    return next((text for pattern in patterns if (text := pattern(evidence))), "")


def number_text(k: float) -> str:
    """Write k as an integer, 1 / integer or a fraction of small numbers, where it is one."""
    for simple in (Fraction(round(k)), Fraction(k).limit_denominator(8)):
        if simple and abs(float(simple) - k) <= CLOSE * abs(k):
            return str(simple)
    if k and abs(round(1 / k) * k - 1) <= CLOSE:
        return f"{'-' if k < 0 else ''}1/{abs(round(1 / k))}"
    return f"{k:.4g}"


def ratio(analytic: Array, numeric: Array) -> float | None:
    """Return k if analytic = k x numeric (k neither 0 nor 1), else None."""
    square = float(np.dot(numeric, numeric))
    if square == 0.0:
        return None
    k = float(np.dot(analytic, numeric)) / square
    misfit = float(np.max(np.abs(analytic - k * numeric)))
    if abs(k - 1) < CLOSE or misfit > CLOSE * float(np.max(np.abs(analytic))):
        return None
    return k


def offset(analytic: Array, numeric: Array) -> float | None:
    """Return c if analytic = numeric + c (c not 0), else None."""
    gap = analytic - numeric
    c = float(np.mean(gap))
    if gap.size < 2 or float(np.max(np.abs(gap - c))) > CLOSE * abs(c):
        return None
    return c


def _relation(e: Evidence, chosen: Array, where: str) -> str:
    """Say how analytic and numeric are related at the chosen entries ("" if not simply)."""
    a, n = e.analytic.reshape(-1)[e.indices][chosen], e.numeric[chosen]
    if not np.any(a):
        return f"analytic is 0 {where}"
    if not np.any(n):
        return f"numeric is 0 {where}"
    k = ratio(a, n)
    meaning = "" if k is None else _meaning(k, e.factors)
    # One entry is always some multiple of the other: only a factor that means something counts.
    if k is not None and (a.size > 1 or _known(k, e.factors)):
        text = f"analytic = {number_text(k)} x numeric {where}"
        return f"{text}: {meaning}" if meaning else text
    c = offset(a, n)
    if c is not None:
        return f"analytic = numeric {'+' if c > 0 else '-'} {abs(c):.4g} {where}: a constant added"
    return ""


def _known(k: float, factors: Sequence[Factor]) -> bool:
    numbers = [1.0, *(factor.number for factor in factors)]
    return any(abs(abs(k) / n - 1) < CLOSE or abs(abs(k) * n - 1) < CLOSE for n in numbers)


def _meaning(k: float, factors: Sequence[Factor]) -> str:
    if abs(k + 1) < CLOSE:
        return "the sign is flipped"
    if k < 0:
        meaning = _meaning(-k, factors)
        return "the sign is flipped" + (f", and {meaning}" if meaning else "")
    said: list[str] = []
    for factor in factors:
        if factor.number <= 1:
            continue
        if abs(k - factor.number) < CLOSE * k:
            said.append(factor.many)
        elif abs(k * factor.number - 1) < CLOSE:
            said.append(factor.few)
    if not said and abs(k - 2) < CLOSE:
        said.append("a square's derivative, or a term added twice")
    if not said and k > 1:
        said.append(f"a missing factor {number_text(1 / k)}")
    if not said:
        said.append(f"a factor {number_text(k)} too many")
    return "; or ".join(dict.fromkeys(said))


def _not_finite(e: Evidence) -> str:
    if np.all(np.isfinite(e.numeric)):
        return ""
    return f"forward is not finite right next to {e.symbol}, at the edge of its domain"


def _silent(e: Evidence) -> str:
    if not np.any(e.analytic):
        return "analytic is 0 everywhere: backward does not fill it"
    if not np.any(e.numeric):
        if e.is_input:
            return f"the output does not change with {e.symbol}, so its gradient is 0"
        return (
            f"the output does not change with {e.symbol}: forward reads another array "
            "(a copy made earlier?)"
        )
    return ""


def _everywhere(e: Evidence) -> str:
    return _relation(e, np.ones(len(e.indices), dtype=bool), "everywhere")


def _rearranged(e: Evidence) -> str:
    if e.indices.size < 2:
        return ""

    def fits(candidate: Array) -> bool:
        gap = np.abs(candidate.reshape(-1)[e.indices] - e.numeric)
        return bool(np.max(gap) <= CLOSE * np.max(np.abs(e.numeric)))

    a, shape = e.analytic, e.analytic.shape
    axes = range(a.ndim)
    for i in axes:
        for j in range(i + 1, a.ndim):
            if shape[i] == shape[j] and fits(np.swapaxes(a, i, j)):
                return f"axes {i} and {j} are transposed: the values are right, the places are not"
    for i in axes:
        for chosen in [(i,), *((i, j) for j in range(i + 1, a.ndim))]:
            if fits(np.flip(a, chosen)):
                names = " and ".join(map(str, chosen))
                return f"the values are right but reversed along axis {names}: a flipped kernel?"
    return ""


def _branch(e: Evidence) -> str:
    """Wrong on one side of a threshold of the value: one branch of a piecewise derivative."""
    value = e.value.reshape(-1)[e.indices]
    wrong, right = value[e.wrong], value[~e.wrong]
    if min(wrong.size, right.size) < 2:
        return ""
    above = bool(wrong.min() > right.max())
    if not above and not wrong.max() < right.min():
        return ""
    low, high = (right.max(), wrong.min()) if above else (wrong.max(), right.min())
    known = next((t for t in (0.0, -1.0, 1.0) if low <= t <= high), None)
    if known is None and min(wrong.size, right.size) < 4:
        return ""
    threshold = f"{(low + high) / 2:.3g}" if known is None else f"{known:g}"
    place = f"{e.symbol} {'>' if above else '<='} {threshold}"
    there = _relation(e, e.wrong, "there").partition(":")[0]
    side = f"{'positive' if above else 'negative'} branch" if known == 0 else "branch there"
    return (
        f"wrong only where {place}"
        + (f", there {there.removesuffix(' there')}" if there else "")
        + f": look at the derivative's {side}"
    )


def _border(e: Evidence) -> str:
    """Wrong on the rim of the spatial axes only: padding, or windows that do not fit."""
    shape = e.value.shape
    axes = range(1, len(shape) - 1) if e.is_input else range(len(shape) - 2)
    index = np.unravel_index(e.indices, shape)
    inside = np.ones(len(e.indices), dtype=bool)
    sides = []
    for axis in axes:
        for place, name in ((0, "first"), (shape[axis] - 1, "last")):
            on = index[axis] == place
            inside &= ~on
            if np.any(on & e.wrong) and not np.any(on & ~e.wrong):
                sides.append(f"{name} of axis {axis}")
    if not inside.any() or np.any(inside & e.wrong):
        return ""
    which = f" ({', '.join(sides)})" if sides else ""
    return f"wrong only at the border{which}: look at padding and at windows that do not fit"


def _one_place(e: Evidence) -> str:
    """Wrong, or right, at one index of an axis only: one image, one channel."""
    index = np.unravel_index(e.indices, e.value.shape)
    for axis, places in enumerate(index):
        for chosen, other, word in ((e.wrong, ~e.wrong, "wrong"), (~e.wrong, e.wrong, "right")):
            here = np.unique(places[chosen])
            if here.size == 1 and chosen.sum() > 2 and np.any(places[other] != here[0]):
                return f"{word} only at index {here[0]} of axis {axis}"
    return ""


def _per_axis(e: Evidence) -> str:
    """Off by a factor or a constant of each channel's, or each row's, own."""
    index = np.unravel_index(e.indices, e.value.shape)
    for axis, owner in ((e.value.ndim - 1, "channel"), (0, "row")):
        groups = [index[axis] == place for place in np.unique(index[axis])]
        if e.value.ndim < 2 or len(groups) < 2 or min(group.sum() for group in groups) < 3:
            continue
        a = e.analytic.reshape(-1)[e.indices]
        pairs = [(a[group], e.numeric[group]) for group in groups]
        if all(ratio(*pair) is not None for pair in pairs):
            return (
                f"analytic is numeric times a factor of each {owner}'s own (axis {axis}): "
                "a factor such as gamma or 1/std is missing"
            )
        if all(offset(*pair) is not None for pair in pairs):
            return (
                f"analytic is numeric plus a constant of each {owner}'s own (axis {axis}): "
                "the term that comes through a mean is missing"
            )
    return ""


def _at_wrong(e: Evidence) -> str:
    return _relation(e, e.wrong, "at the wrong entries")
