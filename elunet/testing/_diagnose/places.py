"""Right values in wrong places, and errors in some places only.

What is said of places is only said where chance would hardly make it so. Chance is measured by what
is independent. A ReLU that is off makes a whole unit wrong or right, an example or a feature that
is 0 a whole row: such slices count once, however many entries they have. Entries that are 0 on both
sides say nothing.
"""

from __future__ import annotations

from math import comb

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Evidence
from elunet.testing._diagnose.factors import relation
from elunet.testing._diagnose.numbers import distinct

UNLIKELY = 1000
"""Of so many ways to choose the wrong places, one looks like the pattern."""


def rearranged(e: Evidence) -> str:
    """Transposed, or reversed along some axes."""
    a, axes = e.analytic, range(e.analytic.ndim)

    def fits(candidate: Array) -> bool:
        picked = candidate.reshape(-1)[e.indices]
        return e.same(picked, e.numeric) and not e.same(picked, e.a)

    if distinct(e.numeric[e.numeric != 0]) < 2:
        return ""
    for i in axes:
        for j in range(i + 1, a.ndim):
            if a.shape[i] == a.shape[j] and fits(np.swapaxes(a, i, j)):
                return f"axes {i} and {j} are transposed: the values are right, the places are not"
    for i in axes:
        for chosen in [(i,), *((i, j) for j in range(i + 1, a.ndim))]:
            if fits(np.flip(a, chosen)):
                names = " and ".join(map(str, chosen))
                return f"the values are right but reversed along axis {names}: a flipped kernel?"
    for i in axes:
        for step in (1, -1):
            inside = np.roll(a, -step, i)
            kept = (slice(None),) * i + (slice(None, -1) if step == 1 else slice(1, None),)
            if a.shape[i] > 2 and _shifted(e, inside, kept):
                return (
                    f"the values are right but one place too {'far' if step == 1 else 'early'} "
                    f"along axis {i}"
                )
    return ""


def _shifted(e: Evidence, moved: Array, kept: tuple[slice, ...]) -> bool:
    """Whether a shifted gradient is right wherever both have entries."""
    mask = np.zeros(e.value.shape, dtype=bool)
    mask[kept] = True
    chosen = mask.reshape(-1)[e.indices]
    picked, numeric = moved.reshape(-1)[e.indices][chosen], e.numeric[chosen]
    if distinct(numeric[numeric != 0]) < 3:
        return False
    return e.same(picked, numeric) and not e.same(picked, e.a[chosen])


def branch(e: Evidence) -> str:
    """Wrong on one side of a threshold of the value: one branch of a piecewise derivative."""
    if not e.is_input and e.dy is not None and e.dy.size > 1:
        return ""  # a unit with a small bias is off more often: no branch at the bias
    value = e.value.reshape(-1)[e.indices]
    wrong, right = value[e.wrong], value[_right(e)]
    if min(wrong.size, right.size) < 2:
        return ""
    above = bool(wrong.min() > right.max())
    if not above and not wrong.max() < right.min():
        return ""
    low, high = (right.max(), wrong.min()) if above else (wrong.max(), right.min())
    known = next((t for t in (0.0, -1.0, 1.0) if low <= t <= high), None)
    # How many ways there are to choose as many wrong values: two of them split by a threshold.
    ways = comb(distinct(wrong) + distinct(right), distinct(wrong))
    there = relation(e, e.wrong, "there").partition(":")[0]
    if ways < (10 * UNLIKELY if known is None else UNLIKELY // 10 if there else UNLIKELY):
        return ""
    threshold = f"{(low + high) / 2:.3g}" if known is None else f"{known:g}"
    place = f"{e.symbol} {'>' if above else '<='} {threshold}"
    side = f"{'positive' if above else 'negative'} branch" if known == 0 else "branch there"
    return (
        f"wrong only where {place}"
        + (f", there {there.removesuffix(' there')}" if there else "")
        + f": look at the derivative's {side}"
    )


def border(e: Evidence) -> str:
    """Wrong on the rim of the spatial axes only: padding, or windows that do not fit."""
    shape = e.value.shape
    axes = range(1, len(shape) - 1) if e.is_input else range(0)
    inside, right = np.ones(len(e.indices), dtype=bool), _right(e)
    sides = []
    for axis in axes:
        for place, name in ((0, "first"), (shape[axis] - 1, "last")):
            on = e.places[axis] == place
            inside &= ~on
            if np.any(on & e.wrong) and not np.any(on & right):
                sides.append(f"{name} of axis {axis}")
    if np.sum(inside & right) < 3 or np.any(inside & e.wrong):
        return ""
    if _ways(e, right, range(e.value.ndim - 1)) < 100:
        return ""
    if len(axes) == 1 and len(sides) == 1:
        end = sides[0].partition(" ")[0]
        return (
            f"wrong only at the {end} index of axis {axes[0]}: if that is time, look at the {end} "
            "step; if it is space, at padding"
        )
    which = f" ({', '.join(sides)})" if sides else ""
    return f"wrong only at the border{which}: look at padding and at windows that do not fit"


def one_place(e: Evidence) -> str:
    """Wrong, or right, at one index of an axis only: one image, one channel."""
    right = _right(e)
    # One slice is as likely as another: it only says something where entries are independent.
    if not _is_entrywise(e) or _ways(e, right, range(e.value.ndim)) < UNLIKELY:
        return ""
    for axis, places in enumerate(e.places):
        for chosen, other, word in ((e.wrong, right, "wrong"), (right, e.wrong, "right")):
            here = np.unique(places[chosen])
            if here.size == 1 and chosen.sum() > 2 and np.any(places[other] != here[0]):
                return f"{word} only at index {here[0]} of axis {axis}"
    return ""


def regular(e: Evidence) -> str:
    """Wrong at all combinations of some indices: a channel, a kernel's corner, every other row."""
    right = _right(e)
    inside = np.ones(len(e.indices), dtype=bool)
    chosen: dict[int, list[int]] = {}
    for axis, places in enumerate(e.places):
        here = np.unique(places[e.wrong])
        if len(here) < len(np.unique(places)):
            inside &= np.isin(places, here)
            chosen[axis] = [int(i) for i in here]
    if not chosen or np.any(inside & right) or not np.any(right):
        return ""
    if len(chosen) == 1 and all(len(c) == e.value.shape[a] - 1 for a, c in chosen.items()):
        return ""  # shorter said by the one index that is right
    if not _is_unlikely(e, right, chosen):
        return ""
    words = [_indices(axis, here, e.value.shape[axis]) for axis, here in chosen.items()]
    if any(word == "" for word in words):
        return ""
    kernel = ""
    if not e.is_input and e.value.ndim == 4 and tuple(chosen) in ((0, 1), (2, 3)):
        kernel = ", one place in the kernel" if all(len(c) == 1 for c in chosen.values()) else ""
    return f"wrong only at {' and '.join(words)}{kernel}"


def _is_unlikely(e: Evidence, right: Array, chosen: dict[int, list[int]]) -> bool:
    """Whether these indices of these axes would hardly be a pattern by chance."""
    if _ways(e, right, range(e.value.ndim)) < UNLIKELY:
        return False
    if _is_entrywise(e) or (len(chosen) > 1 and e.value.ndim > 2):
        return True  # no unit and no example is wrong as a whole
    share = 1.0
    for axis, here in chosen.items():
        informative = np.unique(e.places[axis][right | e.wrong])
        share *= _patterns(len(informative), len(here)) / comb(len(informative), len(here))
    return share * UNLIKELY <= 1


def _patterns(length: int, count: int) -> int:
    """Return how many choices of `count` indices look regular; see `_indices`."""
    steps = sum(len(range(start, length, s)) == count for s in (2, 3, 4) for start in range(s))
    return steps + length - count + 1


def _ways(e: Evidence, right: Array, axes: range) -> int:
    """Return in how many ways as many wrong places can be chosen, by their index along `axes`."""
    along = np.stack([np.zeros(len(e.indices), int), *(e.places[axis] for axis in axes)], axis=1)
    wrong, told = (len(np.unique(along[some], axis=0)) for some in (e.wrong, right | e.wrong))
    return comb(told, wrong)


def _is_entrywise(e: Evidence) -> bool:
    """Whether each entry of the only array changes one entry of the output, and no other does."""
    if e.dy is None or e.dy.shape != e.value.shape or len(e.inputs) > 1 or e.jacobian is None:
        return False
    rows = e.jacobian.rows.reshape(len(e.jacobian.chosen), -1)
    others = rows.copy()
    others[np.arange(len(rows)), e.indices[e.jacobian.chosen]] = 0.0
    return bool(np.max(np.abs(others), initial=0) <= e.close * np.max(np.abs(rows), initial=0))


def _indices(axis: int, here: list[int], length: int) -> str:
    """Return words for some indices of an axis, "" if they are not regular."""
    if len(here) == 1:
        return f"index {here[0]} of axis {axis}"
    for step in (2, 3, 4):
        if length > step and here == list(range(here[0], length, step)):
            return f"every index {step} n{f' + {here[0]}' if here[0] else ''} of axis {axis}"
    if here == list(range(here[0], here[-1] + 1)):
        return f"indices {here[0]} to {here[-1]} of axis {axis}"
    return ""


def _right(e: Evidence) -> Array:
    """Entries that are right, and not just 0 on both sides."""
    return np.asarray(~e.wrong & ((e.a != 0) | (e.numeric != 0)))
