"""The optimizers' rules, each in one pass over a parameter.

NumPy goes through memory once for every operation; here each number of w, g and what the rule
remembers is read once and written once. Clipping and penalties are part of the pass, so that no
copy of the gradient is made: each rule starts from

    d = scale g + l2 w + l1 sign(w)

All arrays are of one shape (n,) and one dtype, float32 or float64, in which everything is computed.
Since each number belongs to the numbers at its own place only, a part of the arrays may be done by
itself, with the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import exact_jit


@exact_jit
def _gradient(g: Any, w: Any, scale: Any, l2: Any, l1: Any) -> Any:
    """Return ``scale g + l2 w + l1 sign(w)``; a penalty of 0 is 0 even where w is infinite."""
    d = scale * g
    if l2 != 0:
        d += l2 * w
    if l1 != 0:
        d += l1 * np.sign(w)
    return d


@exact_jit
def momentum(
    w: Array, g: Array, v: Array, lr: float, mu: float, scale: float, l2: float, l1: float
) -> None:
    """Write ``v = mu v + d`` and ``w = w - lr v``.

    Parameters
    ----------
    w, g, v : arrays of shape (n,)
        g is only read.
    lr, mu, scale, l2, l1 : float
    """
    t = w.dtype.type
    rate, kept, factor, p2, p1 = t(lr), t(mu), t(scale), t(l2), t(l1)
    for i in range(w.size):
        v[i] = kept * v[i] + _gradient(g[i], w[i], factor, p2, p1)
        w[i] -= rate * v[i]


@exact_jit
def nesterov(
    w: Array, g: Array, v: Array, lr: float, mu: float, scale: float, l2: float, l1: float
) -> None:
    """Write ``v = mu v + d`` and ``w = w - lr (d + mu v)``.

    Parameters
    ----------
    w, g, v : arrays of shape (n,)
        g is only read.
    lr, mu, scale, l2, l1 : float
    """
    t = w.dtype.type
    rate, kept, factor, p2, p1 = t(lr), t(mu), t(scale), t(l2), t(l1)
    for i in range(w.size):
        d = _gradient(g[i], w[i], factor, p2, p1)
        v[i] = kept * v[i] + d
        w[i] -= rate * (d + kept * v[i])


@exact_jit
def rmsprop(
    w: Array,
    g: Array,
    v: Array,
    lr: float,
    rho: float,
    eps: float,
    scale: float,
    l2: float,
    l1: float,
) -> None:
    """Write ``v = rho v + (1 - rho) d^2`` and ``w = w - lr d / (sqrt(v) + eps)``.

    Parameters
    ----------
    w, g, v : arrays of shape (n,)
        g is only read.
    lr, rho, eps, scale, l2, l1 : float
    """
    t = w.dtype.type
    rate, kept, fresh, least = t(lr), t(rho), t(1 - rho), t(eps)
    factor, p2, p1 = t(scale), t(l2), t(l1)
    for i in range(w.size):
        d = _gradient(g[i], w[i], factor, p2, p1)
        v[i] = kept * v[i] + fresh * (d * d)
        w[i] -= rate * (d / (np.sqrt(v[i]) + least))


@exact_jit
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
    scale: float,
    l2: float,
    l1: float,
) -> None:
    """Write ``v`` as `rmsprop`, ``u = mu u + d / (sqrt(v) + eps)`` and ``w = w - lr u``; m stays.

    Parameters
    ----------
    w, g, v, m, u : arrays of shape (n,)
        g is only read.
    lr, rho, eps, mu, scale, l2, l1 : float
    """
    t = w.dtype.type
    rate, kept, fresh, least, along = t(lr), t(rho), t(1 - rho), t(eps), t(mu)
    factor, p2, p1 = t(scale), t(l2), t(l1)
    for i in range(w.size):
        d = _gradient(g[i], w[i], factor, p2, p1)
        v[i] = kept * v[i] + fresh * (d * d)
        u[i] = along * u[i] + d / (np.sqrt(v[i]) + least)
        w[i] -= rate * u[i]


@exact_jit
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
    scale: float,
    l2: float,
    l1: float,
) -> None:
    """Do what `rmsprop_momentum` does with ``m = rho m + (1 - rho) d`` and ``sqrt(v - m^2)``.

    Parameters
    ----------
    w, g, v, m, u : arrays of shape (n,)
        g is only read.
    lr, rho, eps, mu, scale, l2, l1 : float
    """
    t = w.dtype.type
    rate, kept, fresh, least, along = t(lr), t(rho), t(1 - rho), t(eps), t(mu)
    factor, p2, p1, none = t(scale), t(l2), t(l1), t(0)
    for i in range(w.size):
        d = _gradient(g[i], w[i], factor, p2, p1)
        v[i] = kept * v[i] + fresh * (d * d)
        m[i] = kept * m[i] + fresh * d
        spread = max(v[i] - m[i] * m[i], none)  # rounding may bring it below 0
        u[i] = along * u[i] + d / (np.sqrt(spread) + least)
        w[i] -= rate * u[i]


@exact_jit
def adagrad(
    w: Array,
    g: Array,
    v: Array,
    lr: float,
    eps: float,
    scale: float,
    l2: float,
    l1: float,
) -> None:
    """Write ``v = v + d^2`` and ``w = w - lr d / (sqrt(v) + eps)``.

    Parameters
    ----------
    w, g, v : arrays of shape (n,)
        g is only read.
    lr, eps, scale, l2, l1 : float
    """
    t = w.dtype.type
    rate, least = t(lr), t(eps)
    factor, p2, p1 = t(scale), t(l2), t(l1)
    for i in range(w.size):
        d = _gradient(g[i], w[i], factor, p2, p1)
        v[i] += d * d
        w[i] -= rate * (d / (np.sqrt(v[i]) + least))


@exact_jit
def lion(
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
    """Write ``w = w - lr sign(beta1 m + (1 - beta1) d)`` and ``m = beta2 m + (1 - beta2) d``.

    Parameters
    ----------
    w, g, m : arrays of shape (n,)
        g is only read.
    lr, beta1, beta2, scale, l2, l1 : float
    """
    t = w.dtype.type
    rate, kept1, fresh1, kept2, fresh2 = t(lr), t(beta1), t(1 - beta1), t(beta2), t(1 - beta2)
    factor, p2, p1 = t(scale), t(l2), t(l1)
    for i in range(w.size):
        d = _gradient(g[i], w[i], factor, p2, p1)
        w[i] -= rate * np.sign(kept1 * m[i] + fresh1 * d)
        m[i] = kept2 * m[i] + fresh2 * d


@exact_jit
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
    """Do what `lion` does without penalties, and take ``lr (l2 w + l1 sign(w))`` from w itself.

    Parameters
    ----------
    w, g, m : arrays of shape (n,)
        g is only read.
    lr, beta1, beta2, scale, l2, l1 : float
    """
    t = w.dtype.type
    rate, kept1, fresh1, kept2, fresh2 = t(lr), t(beta1), t(1 - beta1), t(beta2), t(1 - beta2)
    factor, p2, p1, none = t(scale), t(lr * l2), t(lr * l1), t(0)
    for i in range(w.size):
        d = factor * g[i]
        decayed = w[i] - _gradient(none, w[i], none, p2, p1)
        w[i] = decayed - rate * np.sign(kept1 * m[i] + fresh1 * d)
        m[i] = kept2 * m[i] + fresh2 * d


@exact_jit
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
    scale: float,
    l2: float,
    l1: float,
) -> None:
    """Write ``m = beta1 m + (1 - beta1) d``, ``v = beta2 v + (1 - beta2) d^2`` and w.

    ``w = w - lr unbias1 m / (sqrt(unbias2 v) + eps)``.

    Parameters
    ----------
    w, g, m, v : arrays of shape (n,)
        g is only read.
    lr, beta1, beta2, eps, scale, l2, l1 : float
    unbias1, unbias2 : float
        ``1 / (1 - beta1^t)`` and ``1 / (1 - beta2^t)`` at step t.
    """
    t = w.dtype.type
    rate, corrected, least = t(lr * unbias1), t(unbias2), t(eps)
    kept1, fresh1, kept2, fresh2 = t(beta1), t(1 - beta1), t(beta2), t(1 - beta2)
    factor, p2, p1 = t(scale), t(l2), t(l1)
    for i in range(w.size):
        d = _gradient(g[i], w[i], factor, p2, p1)
        mean = kept1 * m[i] + fresh1 * d
        square = kept2 * v[i] + fresh2 * (d * d)
        w[i] -= rate * (mean / (np.sqrt(corrected * square) + least))
        m[i], v[i] = mean, square  # last: between the loads, writing costs twice the time


@exact_jit
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
    """Do what `adam` does without penalties, and take ``lr (l2 w + l1 sign(w))`` from w itself.

    Parameters
    ----------
    w, g, m, v : arrays of shape (n,)
        g is only read.
    lr, beta1, beta2, unbias1, unbias2, eps, scale, l2, l1 : float
        As for `adam`.
    """
    t = w.dtype.type
    rate, corrected, least = t(lr * unbias1), t(unbias2), t(eps)
    kept1, fresh1, kept2, fresh2 = t(beta1), t(1 - beta1), t(beta2), t(1 - beta2)
    factor, p2, p1, none = t(scale), t(lr * l2), t(lr * l1), t(0)
    for i in range(w.size):
        d = factor * g[i]
        mean = kept1 * m[i] + fresh1 * d
        square = kept2 * v[i] + fresh2 * (d * d)
        decayed = w[i] - _gradient(none, w[i], none, p2, p1)
        w[i] = decayed - rate * (mean / (np.sqrt(corrected * square) + least))
        m[i], v[i] = mean, square


@exact_jit
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
    scale: float,
    l2: float,
    l1: float,
) -> None:
    """Write m and v as `adam`, ``w = w - lr (for_g d + for_m m) / (sqrt(unbias2 v) + eps)``.

    Parameters
    ----------
    w, g, m, v : arrays of shape (n,)
        g is only read.
    lr, beta1, beta2, eps, scale, l2, l1 : float
    for_g, for_m : float
        Shares of d and m in the step.
    unbias2 : float
        ``1 / (1 - beta2^t)`` at step t.
    """
    t = w.dtype.type
    rate, corrected, least = t(lr), t(unbias2), t(eps)
    kept1, fresh1, kept2, fresh2 = t(beta1), t(1 - beta1), t(beta2), t(1 - beta2)
    ahead1, ahead2 = t(for_g), t(for_m)
    factor, p2, p1 = t(scale), t(l2), t(l1)
    for i in range(w.size):
        d = _gradient(g[i], w[i], factor, p2, p1)
        mean = kept1 * m[i] + fresh1 * d
        square = kept2 * v[i] + fresh2 * (d * d)
        step = (ahead1 * d + ahead2 * mean) / (np.sqrt(corrected * square) + least)
        w[i] -= rate * step
        m[i], v[i] = mean, square


@exact_jit
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
    """Do what `nadam` does without penalties, and take ``lr (l2 w + l1 sign(w))`` from w itself.

    Parameters
    ----------
    w, g, m, v : arrays of shape (n,)
        g is only read.
    lr, beta1, beta2, eps, scale, l2, l1 : float
    for_g, for_m : float
        Shares of d and m in the step.
    unbias2 : float
        ``1 / (1 - beta2^t)`` at step t.
    """
    t = w.dtype.type
    rate, corrected, least = t(lr), t(unbias2), t(eps)
    kept1, fresh1, kept2, fresh2 = t(beta1), t(1 - beta1), t(beta2), t(1 - beta2)
    ahead1, ahead2 = t(for_g), t(for_m)
    factor, p2, p1, none = t(scale), t(lr * l2), t(lr * l1), t(0)
    for i in range(w.size):
        d = factor * g[i]
        mean = kept1 * m[i] + fresh1 * d
        square = kept2 * v[i] + fresh2 * (d * d)
        step = (ahead1 * d + ahead2 * mean) / (np.sqrt(corrected * square) + least)
        w[i] = w[i] - _gradient(none, w[i], none, p2, p1) - rate * step
        m[i], v[i] = mean, square
