"""Wrong by a factor or a constant: one everywhere, or a different one in each row or channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Evidence, Factor
from elunet.testing._diagnose.numbers import distinct, is_simple, number_text, offset, ratio

MOST_MEANINGS = 3
"""A number with more meanings than this is not explained."""


def not_finite(e: Evidence) -> str:
    """Forward leaves its domain next to the value."""
    if np.all(np.isfinite(e.numeric)):
        return ""
    return f"forward is not finite right next to {e.symbol}, at the edge of its domain"


def silent(e: Evidence) -> str:
    """One side is 0."""
    if not np.any(e.analytic):
        return "analytic is 0 everywhere: backward does not fill it"
    if not np.any(e.numeric):
        if e.is_input:
            return f"the output does not change with {e.symbol}, so its gradient is 0"
        others = [array for name, array in e.inputs.items() if name != e.symbol]
        if (e.y is not None and not np.all(e.y)) or not all(np.any(array) for array in others):
            # A factor that is 0, or a ReLU that is off, may be the reason.
            return f"the output does not change with {e.symbol}, so its gradient is 0"
        return (
            f"the output does not change with {e.symbol}: forward reads another array "
            "(a copy made earlier?)"
        )
    return ""


def everywhere(e: Evidence) -> str:
    """One factor or constant for all entries."""
    return relation(e, np.ones(len(e.indices), dtype=bool), "everywhere")


def at_wrong(e: Evidence) -> str:
    """One factor or constant for all wrong entries, wherever they are."""
    if np.sum(e.wrong) < 3 and not np.all(e.wrong):
        return ""
    text = relation(e, e.wrong, "at the wrong entries")
    if text.startswith("numeric is 0"):
        text += ": forward does not let these through (a mask?), backward does"
    return text


def relation(e: Evidence, chosen: Array, where: str) -> str:
    """Say how analytic and numeric are related at the chosen entries ("" if not simply)."""
    a, n = e.a[chosen], e.numeric[chosen]
    if not np.any(a):
        return f"analytic is 0 {where}"
    if not np.any(n):
        return f"numeric is 0 {where}"
    k = ratio(a, n, e.close)
    # One entry is always some multiple of the other: only a factor that means something counts.
    values = distinct(np.abs(n))
    if k is not None and (values > 2 or (values > 1 and is_simple(k, e.close)) or _known(k, e)):
        text = f"analytic = {number_text(k, e.close)} x numeric {where}"
        meaning = meaning_of(k, [*e.factors, *_constant(e)], e.close)
        return f"{text}: {meaning}" if meaning else text
    c = offset(a, n, e.close)
    if c is not None and values > 2 and not _could_be_signs(e, chosen):
        return f"analytic = numeric {'+' if c > 0 else '-'} {abs(c):.4g} {where}: a constant added"
    return ""


def _constant(e: Evidence) -> list[Factor]:
    """Return the arrays that are one number all over, and so may be a factor."""
    found = []
    for name, array in e.inputs.items():
        number = float(np.reshape(array, -1)[0]) if np.size(array) > 1 else 0.0
        if number > 0 and number != 1 and np.all(array == number):
            text = f"the factor {name} (all {number:g})"
            many, few = f"{text} enters once too often", f"{text} is missing"
            larger = Factor(number, many, few) if number > 1 else Factor(1 / number, few, many)
            found.append(larger)
    return found


def _could_be_signs(e: Evidence, chosen: Array) -> bool:
    """Whether a constant may be a multiple of the value, or of its sign."""
    value = e.value.reshape(-1)[e.indices][chosen]
    return not e.is_input and distinct(value) == 1 and value[0] != 0


def _known(k: float, e: Evidence) -> bool:
    numbers = [1.0, *(factor.number for factor in e.factors)]
    return any(_is(abs(k), n, e.close) or _is(abs(k), 1 / n, e.close) for n in numbers)


def _is(k: float, number: float, close: float) -> bool:
    return abs(k / number - 1) < max(close, 1e-9)


def meaning_of(k: float, factors: Sequence[Factor], close: float) -> str:
    """Say what a factor means; all its meanings, or none if they are too many."""
    if _is(-k, 1, close):
        return "the sign is flipped"
    if not is_simple(k, close):
        return ""
    if k < 0:
        meaning = meaning_of(-k, factors, close)
        return "the sign is flipped" + (f", and {meaning}" if meaning else "")
    said = list(dict.fromkeys(_meanings(k, factors, close)))
    if not said:
        text = number_text(1 / k if k > 1 else k, close)
        return f"a missing factor {text}" if k > 1 else f"a factor {text} too many"
    if len(said) > MOST_MEANINGS:
        return ""
    if len(said) == 1:
        return said[0]
    return "; or ".join(said) + f" ({_how_to_tell(k, factors, close)})"


def _how_to_tell(k: float, factors: Sequence[Factor], close: float) -> str:
    sizes = {round(factor.number) for factor in factors}
    other = next(n for n in (3, 5, 7, 11, 13, 17, 19, 23) if n not in sizes)
    return f"to tell which, check again with a batch of {other}, all lengths different"


def _meanings(k: float, factors: Sequence[Factor], close: float) -> list[str]:
    said = []
    if _is(k, 2, close):
        said.append("a square's derivative, or a term added twice")
    elif _is(k, 0.5, close):
        said.append("a factor 1/2 too many, or the 2 of a square's derivative is missing")
    known = [factor for factor in factors if factor.number > 1]
    direct = [f.many for f in known if _is(k, f.number, close)]
    direct += [f.few for f in known if _is(k, 1 / f.number, close)]
    return said + (direct or _combined(k, known, close))


def _combined(k: float, factors: Sequence[Factor], close: float) -> list[str]:
    """Return what a known number and a 2, or its square, or n - 1, would mean."""
    said = []
    for factor in factors:
        n, many, few = factor.number, factor.many, factor.few
        if n == 2:
            continue
        said += [f"{few}, and doubled"] if _is(k, 2 / n, close) else []
        said += [f"{many}, and doubled"] if _is(k, 2 * n, close) else []
        said += [f"{few}, and halved"] if _is(k, 1 / (2 * n), close) else []
        said += [f"{few}, twice"] if _is(k, 1 / n**2, close) else []
        if _is(k, n / (n - 1), close) or _is(k, (n - 1) / n, close):
            said.append(f"an n - 1 for n = {n:g}, as in an unbiased variance")
    return said


def per_axis(e: Evidence) -> str:
    """Wrong by a different factor or constant in each channel, or in each row."""
    for axis, owner in ((e.value.ndim - 1, "channel"), (0, "row")):
        groups = [e.places[axis] == place for place in np.unique(e.places[axis])]
        if e.value.ndim < 2 or len(groups) < 2 or min(group.sum() for group in groups) < 3:
            continue
        pairs = [(e.a[group], e.numeric[group]) for group in groups]
        if min(distinct(np.abs(n)) for _, n in pairs) < 3:
            continue
        first = pairs[0][1]
        sizes = {n.size for _, n in pairs}
        if len(sizes) == 1 and all(_proportional(n, first, e.close) for _, n in pairs):
            continue  # then any gradient of this kind is some factor times the other
        if all(ratio(*pair, e.close) is not None for pair in pairs):
            return (
                f"analytic is numeric times a different factor for each {owner} (axis {axis}): "
                "a factor such as gamma or 1/std is missing, or one too many"
            )
        if e.is_input and all(offset(*pair, e.close) is not None for pair in pairs):
            return (
                f"analytic is numeric plus a different constant for each {owner} (axis"
                f" {axis}), as if "
                "the term that comes through a mean is missing"
            )
    return ""


def _proportional(one: Array, other: Array, close: float) -> bool:
    return ratio(one, other, close) is not None or bool(np.allclose(one, other, rtol=close))
