"""Update rules of the usual optimizers, one function each, to check an optimizer with.

An update rule is ``update(w, g, state, t) -> new w``: the parameter, its gradient, a dict for what
it remembers of this parameter (empty at first), and the step's number from 1. The functions below
return one. They are written for reading, not for speed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from elunet._types import Array

Update = Callable[[Array, Array, dict[str, Any], int], Array]


def sgd(
    lr: float, momentum: float = 0.0, nesterov: bool = False, l2: float = 0.0, l1: float = 0.0
) -> Update:
    """Gradient descent: ``v = momentum v + g; w - lr v``, or ``w - lr (g + momentum v)``.

    Parameters
    ----------
    lr, momentum : float
    nesterov : bool
        Whether to look ahead (the second form).
    l2, l1 : float
        ``l2 w + l1 sign(w)`` is added to g.

    Returns
    -------
    callable
        The update rule.

    Examples
    --------
    >>> update = sgd(lr=0.1)
    >>> update(np.array([1.0]), np.array([2.0]), {}, 1)
    array([0.8])
    """

    def update(w: Array, g: Array, state: dict[str, Any], t: int) -> Array:
        g = _penalized(w, g, l2, l1)
        v = state["v"] = momentum * state.get("v", 0.0) + g
        return np.asarray(w - lr * (g + momentum * v if nesterov else v))

    return update


def adam(
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    l2: float = 0.0,
    l1: float = 0.0,
    decoupled: bool = False,
) -> Update:
    """Adam (arXiv:1412.6980), with ``decoupled`` AdamW (arXiv:1711.05101).

    ``m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;``
    ``w - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)``

    Parameters
    ----------
    lr, beta1, beta2, eps : float
    l2, l1 : float
        ``l2 w + l1 sign(w)`` is added to g, or if decoupled, lr times it is subtracted from w.
    decoupled : bool

    Returns
    -------
    callable
        The update rule.

    Examples
    --------
    >>> update = adam(lr=0.25)  # the first step is lr for any gradient size
    >>> update(np.array([1.0]), np.array([2000.0]), {}, 1).round(6)
    array([0.75])
    """

    def update(w: Array, g: Array, state: dict[str, Any], t: int) -> Array:
        decay = lr * _penalized(w, 0.0 * g, l2, l1) if decoupled else 0.0
        g = g if decoupled else _penalized(w, g, l2, l1)
        m = state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * g
        v = state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * g**2
        step = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
        return np.asarray(w - decay - lr * step)

    return update


def rmsprop(
    lr: float, rho: float = 0.9, eps: float = 1e-8, l2: float = 0.0, l1: float = 0.0
) -> Update:
    """RMSProp: ``v = rho v + (1 - rho) g^2; w - lr g / (sqrt(v) + eps)``.

    Parameters
    ----------
    lr, rho, eps : float
    l2, l1 : float
        ``l2 w + l1 sign(w)`` is added to g.

    Returns
    -------
    callable
        The update rule.

    Examples
    --------
    >>> update = rmsprop(lr=0.125, rho=0.75)  # v = g^2 / 4, so the first step is 2 lr
    >>> update(np.array([1.0]), np.array([2000.0]), {}, 1).round(6)
    array([0.75])
    """

    def update(w: Array, g: Array, state: dict[str, Any], t: int) -> Array:
        g = _penalized(w, g, l2, l1)
        v = state["v"] = rho * state.get("v", 0.0) + (1 - rho) * g**2
        return np.asarray(w - lr * g / (np.sqrt(v) + eps))

    return update


def _penalized(w: Array, g: Array, l2: float, l1: float) -> Array:
    return np.asarray(g + l2 * w + l1 * np.sign(w))
