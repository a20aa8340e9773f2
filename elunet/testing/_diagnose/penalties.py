"""The gradient is off by a multiple of the value, or of its sign: a penalty on one side only."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Evidence
from elunet.testing._diagnose.numbers import distinct, number_text


def penalty(e: Evidence) -> str:
    """Analytic = numeric + c x value, or + c x sign(value)."""
    value = e.value.reshape(-1)[e.indices].astype(np.float64)
    c = _multiple(e, value)
    if c is not None and distinct(np.abs(value)) >= 3 and not e.is_input:
        return f"{_formula(c, e.symbol)}: {_weight_decay(c, e)}"
    if c is not None and distinct(np.abs(value)) >= 3:
        term = f"a term {number_text(abs(c), e.close)} x {e.symbol}"
        of = " (of an L2 penalty?)" if e.dy is None or e.dy.size < 2 else ""
        return f"{_formula(c, e.symbol)}: {term}{of} is {'one too many' if c > 0 else 'missing'}"
    c = _multiple(e, np.sign(value))
    if c is not None and not e.is_input and distinct(np.sign(value)) >= 2 and value.size >= 4:
        side = "in backward, and not in forward" if c > 0 else "missing in backward"
        return f"{_formula(c, f'sign({e.symbol})')}: the gradient of an L1 penalty is {side}"
    return ""


def _multiple(e: Evidence, of: Array) -> float | None:
    """Return c if analytic - numeric = c x of, to rounding."""
    gap, square = e.a - e.numeric, float(np.dot(of, of))
    if not square:
        return None
    c = float(np.dot(gap, of)) / square
    misfit = float(np.max(np.abs(gap - c * of)))
    scale = max(float(np.max(np.abs(e.numeric))), float(np.max(np.abs(e.a))))
    if misfit > e.close * scale or misfit > 1e-3 * float(np.max(np.abs(gap))):
        return None
    return c


def _formula(c: float, what: str) -> str:
    # c comes from a small difference: only as many digits as it has.
    return f"analytic = numeric {'+' if c > 0 else '-'} {_short(abs(c))} x {what}"


def _short(c: float) -> str:
    return f"{c:.4g}"


def _weight_decay(c: float, e: Evidence) -> str:
    named = _by_name(c, e)
    if named:
        return named
    is_layer = e.dy is not None and e.dy.size > 1
    if c > 0 and is_layer:
        return (
            "weight decay is added in backward, with no penalty in forward (if the layer is to "
            f"add it, pass l2={_short(c)})"
        )
    if c > 0:
        return "an L2 penalty's gradient is too large, or the loss has no such penalty"
    return "the gradient of an L2 penalty is missing, or lacks its factor 2, or its sign is flipped"


def _by_name(c: float, e: Evidence) -> str:
    """Say what c is in terms of a number that the code knows by name."""
    for name, number in e.numbers.items():
        if not number:
            continue
        times = c / number
        tolerance = 1e-3
        if abs(times + 2) < tolerance:
            return f"the term 2 x {name} x {e.symbol}, an L2 penalty's gradient, is missing"
        if abs(times + 1) < tolerance:
            return (
                f"the gradient of {name} x sum({e.symbol}**2) is 2 x {name} x {e.symbol}: the 2 is "
                f"missing (or, of a penalty {name}/2 x sum({e.symbol}**2), the whole term)"
            )
        if abs(times + 4) < tolerance:
            return (
                f"the term 2 x {name} x {e.symbol}, an L2 penalty's gradient, has its sign flipped"
            )
        if abs(times - 1) < tolerance:
            return (
                f"{name} x {e.symbol} is added once too often: a penalty with a factor 1/2 has no "
                "2 in its gradient"
            )
    return ""
