"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing.updates._rule import Rule, penalized


def adam(
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    l2: float = 0.0,
    l1: float = 0.0,
    decoupled: bool = False,
) -> Rule:
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
    settings = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps}
    return Rule(_adam, settings | {"l2": l2, "l1": l1, "decoupled": decoupled})


def adamw(
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    decay: float = 0.01,
) -> Rule:
    """AdamW (arXiv:1711.05101): `adam`, and ``lr decay w`` is subtracted from w besides.

    Parameters
    ----------
    lr, beta1, beta2, eps : float
    decay : float
        The weight decay.

    Returns
    -------
    callable
        The update rule.

    Examples
    --------
    >>> update = adamw(lr=0.25, decay=1.0)  # the decay, and a step of length lr
    >>> update(np.array([1.0]), np.array([2000.0]), {}, 1).round(6)
    array([0.5])
    """
    return adam(lr, beta1, beta2, eps, l2=decay, decoupled=True)


def _adam(
    w: Array,
    g: Array,
    state: dict[str, Any],
    t: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    l2: float,
    l1: float,
    decoupled: bool,
) -> Array:
    decay = lr * penalized(w, 0.0 * g, l2, l1) if decoupled else 0.0
    g = g if decoupled else penalized(w, g, l2, l1)
    m, v = averages(g, state, beta1, beta2)
    step = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return np.asarray(w - decay - lr * step)


def averages(g: Array, state: dict[str, Any], beta1: float, beta2: float) -> tuple[Array, Array]:
    """Return the new averages of g and of its square, and remember them."""
    m = state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * g**2
    return m, v
