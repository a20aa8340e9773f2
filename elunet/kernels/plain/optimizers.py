"""The optimizers' rules in NumPy. Compiled twins: `elunet.kernels.optimizers`.

Each starts from ``d = scale g + l2 w + l1 sign(w)``. Python's numbers take the arrays' dtype.
"""

from __future__ import annotations

import numpy as np

from elunet._types import Array


def _gradient(g: Array, w: Array, scale: float, l2: float, l1: float) -> Array:
    """Return ``scale g + l2 w + l1 sign(w)``; a penalty of 0 is 0 even where w is infinite."""
    d = scale * g
    if l2 != 0:
        d += l2 * w
    if l1 != 0:
        d += l1 * np.sign(w)
    return d


def _mix(old: Array, kept: float, new: Array) -> None:
    """Write ``old = kept old + (1 - kept) new``."""
    old *= kept
    old += (1 - kept) * new


def momentum(w: Array, g: Array, v: Array, lr: float, mu: float, *penalties: float) -> None:
    """Write ``v = mu v + d`` and ``w = w - lr v``."""
    d = _gradient(g, w, *penalties)
    v *= mu
    v += d
    w -= lr * v


def nesterov(w: Array, g: Array, v: Array, lr: float, mu: float, *penalties: float) -> None:
    """Write ``v = mu v + d`` and ``w = w - lr (d + mu v)``."""
    d = _gradient(g, w, *penalties)
    v *= mu
    v += d
    w -= lr * (d + mu * v)


def rmsprop(
    w: Array, g: Array, v: Array, lr: float, rho: float, eps: float, *penalties: float
) -> None:
    """Write ``v = rho v + (1 - rho) d^2`` and ``w = w - lr d / (sqrt(v) + eps)``."""
    d = _gradient(g, w, *penalties)
    _mix(v, rho, d * d)
    w -= lr * (d / (np.sqrt(v) + eps))


def rmsprop_momentum(
    w: Array,
    g: Array,
    v: Array,
    m: Array,
    u: Array,
    lr: float,
    rho: float,
    eps: float,
    mu: float,
    *penalties: float,
) -> None:
    """Write v as `rmsprop`, ``u = mu u + d / (sqrt(v) + eps)`` and ``w = w - lr u``; m stays."""
    d = _gradient(g, w, *penalties)
    _mix(v, rho, d * d)
    u *= mu
    u += d / (np.sqrt(v) + eps)
    w -= lr * u


def rmsprop_centered(
    w: Array,
    g: Array,
    v: Array,
    m: Array,
    u: Array,
    lr: float,
    rho: float,
    eps: float,
    mu: float,
    *penalties: float,
) -> None:
    """Do what `rmsprop_momentum` does with ``m = rho m + (1 - rho) d`` and ``sqrt(v - m^2)``."""
    d = _gradient(g, w, *penalties)
    _mix(v, rho, d * d)
    _mix(m, rho, d)
    u *= mu
    u += d / (np.sqrt(np.maximum(v - m * m, 0)) + eps)  # rounding may bring it below 0
    w -= lr * u


def adagrad(w: Array, g: Array, v: Array, lr: float, eps: float, *penalties: float) -> None:
    """Write ``v = v + d^2`` and ``w = w - lr d / (sqrt(v) + eps)``."""
    d = _gradient(g, w, *penalties)
    v += d * d
    w -= lr * (d / (np.sqrt(v) + eps))


def lion(
    w: Array, g: Array, m: Array, lr: float, beta1: float, beta2: float, *penalties: float
) -> None:
    """Write ``w = w - lr sign(beta1 m + (1 - beta1) d)`` and ``m = beta2 m + (1 - beta2) d``."""
    d = _gradient(g, w, *penalties)
    w -= lr * np.sign(beta1 * m + (1 - beta1) * d)
    _mix(m, beta2, d)


def lionw(
    w: Array,
    g: Array,
    m: Array,
    lr: float,
    beta1: float,
    beta2: float,
    scale: float,
    l2: float,
    l1: float,
) -> None:
    """Do what `lion` does without penalties, and take ``lr (l2 w + l1 sign(w))`` from w itself."""
    d = scale * g
    _decay(w, lr, l2, l1)
    w -= lr * np.sign(beta1 * m + (1 - beta1) * d)
    _mix(m, beta2, d)


def adam(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    lr: float,
    beta1: float,
    beta2: float,
    unbias1: float,
    unbias2: float,
    eps: float,
    *penalties: float,
) -> None:
    """Write ``m = beta1 m + (1 - beta1) d``, ``v = beta2 v + (1 - beta2) d^2`` and w.

    ``w = w - lr unbias1 m / (sqrt(unbias2 v) + eps)``.
    """
    d = _gradient(g, w, *penalties)
    _mix(m, beta1, d)
    _mix(v, beta2, d * d)
    w -= lr * unbias1 * (m / (np.sqrt(unbias2 * v) + eps))


def adamw(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    lr: float,
    beta1: float,
    beta2: float,
    unbias1: float,
    unbias2: float,
    eps: float,
    scale: float,
    l2: float,
    l1: float,
) -> None:
    """Do what `adam` does without penalties, and take ``lr (l2 w + l1 sign(w))`` from w itself."""
    d = scale * g
    _decay(w, lr, l2, l1)
    adam(w, d, m, v, lr, beta1, beta2, unbias1, unbias2, eps, 1.0, 0.0, 0.0)


def nadam(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    lr: float,
    beta1: float,
    beta2: float,
    for_g: float,
    for_m: float,
    unbias2: float,
    eps: float,
    *penalties: float,
) -> None:
    """Write m and v as `adam`, ``w = w - lr (for_g d + for_m m) / (sqrt(unbias2 v) + eps)``."""
    d = _gradient(g, w, *penalties)
    _mix(m, beta1, d)
    _mix(v, beta2, d * d)
    w -= lr * ((for_g * d + for_m * m) / (np.sqrt(unbias2 * v) + eps))


def nadamw(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    lr: float,
    beta1: float,
    beta2: float,
    for_g: float,
    for_m: float,
    unbias2: float,
    eps: float,
    scale: float,
    l2: float,
    l1: float,
) -> None:
    """Do what `nadam` does without penalties, and take ``lr (l2 w + l1 sign(w))`` from w itself."""
    d = scale * g
    _decay(w, lr, l2, l1)
    nadam(w, d, m, v, lr, beta1, beta2, for_g, for_m, unbias2, eps, 1.0, 0.0, 0.0)


def _decay(w: Array, lr: float, l2: float, l1: float) -> None:
    """Take ``lr (l2 w + l1 sign(w))`` from w."""
    if l2 != 0 or l1 != 0:
        w -= _gradient(np.zeros_like(w), w, 0.0, lr * l2, lr * l1)
