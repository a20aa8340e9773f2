"""Activations in NumPy. Compiled twins: `elunet.kernels.activations`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from elunet._types import Array

erfc: Any = np.frompyfunc(math.erfc, 1, 1)  # NumPy has none; this one takes number by number


def elu(x: Array, alpha: Any) -> None:
    """Keep x where x > 0 and put ``alpha (e^x - 1)`` elsewhere, in place."""
    wide = x.dtype if alpha == 1 else np.float64  # alpha times a rounded number rounds twice
    negative = np.minimum(x, 0).astype(wide, copy=False)
    np.expm1(negative, out=negative)
    negative *= alpha
    np.maximum(x, 0, out=x)
    x += negative


def elu_backward(dy: Array, y: Array, alpha: Any) -> None:
    """Multiply dy by f'(x), which is 1 for x > 0 and f(x) + alpha elsewhere."""
    slope = y + alpha
    slope[y > 0] = 1
    dy *= slope


def elu_backward_from_input(dy: Array, x: Array, alpha: Any) -> None:
    """Multiply dy by f'(x), which is 1 for x > 0 and ``alpha e^x`` elsewhere."""
    slope = np.exp(np.minimum(x, 0))
    slope *= alpha
    slope[x > 0] = 1
    dy *= slope


def gelu(x: Array) -> None:
    """Multiply x by ``P(x) = (1 + erf(x / sqrt 2)) / 2``."""
    x *= _below(x)


def gelu_backward(dy: Array, x: Array) -> None:
    """Multiply dy by ``P(x) + x e^(-x^2 / 2) / sqrt(2 pi)``."""
    bell = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    dy *= _below(x) + x * bell


def _below(x: Array) -> Array:
    """Return how much of a standard normal distribution is below x."""
    return np.asarray(0.5 * erfc(-x * math.sqrt(0.5)).astype(x.dtype))


def softmax(x: Array, y: Array) -> None:
    """Write ``y[n, k] = e^(x[n, k] - max) / sum over k``, 0 where that is no normal number."""
    _subtract_largest(x, y)
    small = y < (-86.6 if x.itemsize == 4 else -707.7)
    np.exp(y, out=y)
    y[small] = 0
    y /= y.sum(axis=1, dtype=np.float64, keepdims=True)


def log_softmax(x: Array, y: Array) -> None:
    """Write ``y[n, k] = x[n, k] - max - log(sum over k of e^(x[n, k] - max))``."""
    _subtract_largest(x, y)
    y -= np.log(np.exp(y).sum(axis=1, dtype=np.float64, keepdims=True))


def _subtract_largest(x: Array, y: Array) -> None:
    np.subtract(x, x.max(axis=1, keepdims=True), out=y)
