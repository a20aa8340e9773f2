"""Normalization: the terms that come through the mean and the variance.

For y = gamma (x - mean) / s + beta, with g = gamma dy and a mean over the group of entries that
are normalized together,

    dx = (g - mean(g)) / s - (x - mean(x)) mean(g (x - mean(x))) / s**3

A layer is taken for such a one only if the numeric gradient fits this to rounding, for one s of
each group.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Evidence
from elunet.testing._diagnose.signals import broadcast


def normalization(e: Evidence) -> str:
    """One of the terms is missing, or gamma is."""
    if not e.is_input or not e.is_whole or e.dy is None or e.dy.shape != e.value.shape:
        return ""
    if e.value.ndim < 2 or e.dy.size > 100_000:
        return ""
    numeric = np.empty(e.value.shape)
    numeric.reshape(-1)[e.indices] = e.numeric
    for axes in _groups(e.value.ndim):
        if np.prod([e.value.shape[axis] for axis in axes]) < 3:
            continue
        for name, gamma in _gammas(e):
            terms = _terms(e.value.astype(np.float64), gamma * e.dy, numeric, axes)
            if terms is not None and e.same(terms[0] + terms[1] + terms[2], numeric):
                text = _missing(e, terms) or _without(e, name, terms, axes)
                if text:
                    return text
    return ""


def _groups(ndim: int) -> Iterator[tuple[int, ...]]:
    for count in range(1, ndim):
        yield from combinations(range(ndim), count)


def _gammas(e: Evidence) -> Iterator[tuple[str, Array]]:
    yield "", np.ones(())
    for name, array in e.inputs.items():
        if name != e.symbol:
            for gamma in broadcast(array, e.value.shape):
                yield name, gamma


Terms = tuple[Array, Array, Array, Array, Array]


def _terms(x: Array, g: Array, numeric: Array, axes: tuple[int, ...]) -> Terms | None:
    """Return the three terms, and 1 / s of each group, found by least squares."""
    centered = x - x.mean(axis=axes, keepdims=True)
    through_mean = g - g.mean(axis=axes, keepdims=True)
    through_variance = centered * np.mean(g * centered, axis=axes, keepdims=True)

    def dot(a: Array, b: Array) -> Array:
        return np.asarray(np.sum(a * b, axis=axes, keepdims=True))

    aa, ab = dot(through_mean, through_mean), dot(through_mean, through_variance)
    bb = dot(through_variance, through_variance)
    na, nb = dot(numeric, through_mean), dot(numeric, through_variance)
    determinant = aa * bb - ab * ab
    if np.any(determinant <= 1e-9 * aa * bb):
        return None
    alpha, beta = (na * bb - nb * ab) / determinant, (na * ab - nb * aa) / determinant
    # alpha is gamma / s, beta is gamma / s**3: beta / alpha is 1 / s**2, near the variance's.
    variance = np.mean(centered**2, axis=axes, keepdims=True)
    if np.any(alpha == 0):
        return None
    squared = beta / alpha * variance
    if np.any(squared <= 0.2) or np.any(squared > 1 + 1e-4):
        return None
    mean_term = -alpha * g.mean(axis=axes, keepdims=True) * np.ones_like(x)
    return alpha * g, mean_term, -beta * through_variance, alpha, beta


def _without(e: Evidence, name: str, terms: Terms, axes: tuple[int, ...]) -> str:
    """Compare with the gradient without gamma, inside the means too."""
    if not name or e.dy is None:
        return ""
    alpha, beta = terms[3], terms[4]
    centered = e.value - e.value.mean(axis=axes, keepdims=True)
    plain = alpha * (e.dy - e.dy.mean(axis=axes, keepdims=True))
    plain = plain - beta * centered * np.mean(e.dy * centered, axis=axes, keepdims=True)
    if e.same(plain, e.analytic) and not e.is_right(plain):
        return f"the factor {name} is missing"
    return ""


def _missing(e: Evidence, terms: Terms) -> str:
    direct, mean, variance, *_ = terms
    a = e.analytic
    wrong = (
        (
            direct,
            "the terms that come through the mean and the variance are missing: both depend on x",
        ),
        (direct + mean, "the term that comes through the variance is missing"),
        (direct + variance, "the term that comes through the mean is missing"),
        (direct - mean + variance, "the term that comes through the mean has its sign flipped"),
        (direct + mean - variance, "the term that comes through the variance has its sign flipped"),
        (direct + mean + 2 * variance, "the term that comes through the variance is counted twice"),
        (direct + mean + variance / 2, "the term that comes through the variance lacks its 2"),
    )
    for candidate, text in wrong:
        if e.same(candidate, a) and not e.is_right(candidate):
            return text
    return ""
