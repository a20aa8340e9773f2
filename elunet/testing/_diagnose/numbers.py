"""Numbers as people write them, and the simplest relations between two lists of them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import CLOSE, FITS

LARGEST = 10_000
"""No larger integer is recognized: every large number is close to one."""


def number_text(k: float, close: float = FITS) -> str:
    """Write k as an integer, a simple fraction or a root of one, where it is one.

    Examples
    --------
    >>> number_text(0.25), number_text(3**0.5), number_text(30 / 29), number_text(1.2345)
    ('1/4', 'sqrt(3)', '30/29', '1.234')
    """
    found = _simple_text(abs(k), close)
    return f"{'-' if k < 0 else ''}{found}" if found else f"{k:.4g}"


def is_simple(k: float, close: float = FITS) -> bool:
    """Whether k is a number that people write: an integer, a simple fraction, a root."""
    return bool(_simple_text(abs(k), close))


def _simple_text(size: float, close: float) -> str:
    found = _rational(size, close)
    largest = min(256, int(5e-4 / close))
    square = "" if found or not size else _rational(size * size, close, largest)
    if square.startswith("1/"):
        return f"1/sqrt({square[2:]})"
    return found or (f"sqrt({square})" if square else "")


def _rational(size: float, close: float, largest: int = LARGEST) -> str:
    """Return a positive number as a fraction, "" if it is no simple one."""
    # The coarser the number is known, the fewer fractions are far enough from each other.
    largest = min(largest, int(1e-2 / close))
    if largest < 1 or not 1 / largest - FITS < size < largest + FITS:
        return ""
    parts = 12 if close < 1e-4 else 4
    candidates = [Fraction(round(size)), Fraction(size).limit_denominator(parts)]
    candidates.append(Fraction(1, max(1, round(1 / size))))
    if size != 1:
        n = round(1 / abs(size - 1))  # (n + 1) / n and (n - 1) / n
        candidates += [Fraction(n + 1, n), Fraction(n - 1, n)] if 1 < n < largest else []
    for candidate in candidates:
        gap = abs(float(candidate) - size)
        if candidate and gap <= close * min(size, abs(size - 1) or size):
            return str(candidate)
    return ""


def ratio(analytic: Array, numeric: Array, close: float = CLOSE) -> float | None:
    """Return k if analytic = k x numeric (k neither 0 nor 1), else None."""
    square = float(np.dot(numeric, numeric))
    if square == 0.0:
        return None
    k = float(np.dot(analytic, numeric)) / square
    misfit = float(np.max(np.abs(analytic - k * numeric)))
    if abs(k - 1) < close or misfit > close * float(np.max(np.abs(analytic))):
        return None
    return k


def offset(analytic: Array, numeric: Array, close: float = CLOSE) -> float | None:
    """Return c if analytic = numeric + c (c not 0), else None."""
    gap = analytic - numeric
    c = float(np.mean(gap))
    if gap.size < 2 or abs(c) <= close * float(np.max(np.abs(numeric))):
        return None
    misfit = float(np.max(np.abs(gap - c)))
    return c if misfit <= close * max(abs(c), float(np.max(np.abs(numeric)))) else None


def distinct(array: Array, close: float = FITS) -> int:
    """Count the values that differ."""
    flat = np.sort(np.asarray(array).reshape(-1))
    if flat.size == 0:
        return 0
    scale = float(np.max(np.abs(flat))) or 1.0
    return 1 + int(np.sum(np.diff(flat) > close * scale))


def generic(array: Array) -> bool:
    """Whether the entries that are not 0 are hardly ever equal: no formula fits by chance."""
    flat = np.asarray(array).reshape(-1)
    flat = flat[flat != 0]
    return bool(flat.size >= 3 and distinct(flat) >= 0.6 * flat.size)


def has_both_signs(array: Array) -> bool:
    """Whether several entries are positive and several negative: no sign fits by chance."""
    return min(int(np.sum(array > 0)), int(np.sum(array < 0))) >= 3


def numbers_of(values: tuple[int, ...]) -> str:
    """Return "axis 1" or "axes 0 and 1"."""
    names = [str(value) for value in values]
    if len(names) == 1:
        return f"axis {names[0]}"
    return f"axes {', '.join(names[:-1])} and {names[-1]}"


def either(texts: list[str]) -> str:
    """Join two causes that fit alike; of more none is named.

    Some formulas are the same for some layers. Where many fit, the values are too special to tell.
    """
    return "; or ".join(texts) if len(texts) <= 2 else ""
