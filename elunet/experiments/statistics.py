"""How precise a mean over a few runs is: Student's t-intervals, without a table or SciPy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from elunet._checks import integer, number


def t_quantile(degrees: int, level: float = 0.95) -> float:
    """Return the t for which Student's distribution has the probability `level` in [-t, t].

    Parameters
    ----------
    degrees : int
        Degrees of freedom, at least 1.
    level : float, default 0.95
        In (0, 1).

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    Abramowitz, Stegun, "Handbook of Mathematical Functions", 1964, 26.7.3 and 26.7.4: for integer
    degrees of freedom the probability is a finite sum, inverted here by bisection.

    Examples
    --------
    >>> round(t_quantile(4), 3)
    2.776
    """
    degrees = integer("t_quantile", "degrees", degrees)
    level = number("t_quantile", "level", level, "(0, 1)")
    low, high = 0.0, math.pi / 2  # of theta = atan(t / sqrt(degrees))
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, degrees) < level else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the mean of independent values and half the width of its t-interval.

    Parameters
    ----------
    values : sequence of float
        The half-width of a single value is NaN.
    level : float, default 0.95

    Raises
    ------
    ValueError
        If there is no value.

    Examples
    --------
    >>> mean, half = t_interval([1.0, 2.0, 3.0])
    >>> round(mean, 3), round(half, 3)
    (2.0, 2.484)
    """
    if not len(values):
        raise ValueError("t_interval: expected at least one value, got none")
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return mean, math.nan
    return mean, t_quantile(n - 1, level) * float(np.std(values, ddof=1)) / math.sqrt(n)


def _inside(theta: float, degrees: int) -> float:
    """Return P(|T| <= sqrt(degrees) tan(theta)) for integer degrees of freedom."""
    odd, cosine = degrees % 2, math.cos(theta)
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(odd, degrees - 1, 2):
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    total *= math.sin(theta)
    return 2 / math.pi * (theta + total) if odd else total
