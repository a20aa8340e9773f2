"""Steps divided by the size of the gradients so far: AdaGrad and RMSProp."""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing.updates._rule import Rule, penalized


def adagrad(lr: float, eps: float = 1e-8, l2: float = 0.0, l1: float = 0.0) -> Rule:
    """AdaGrad (Duchi, Hazan, Singer, JMLR 12, 2011): ``s = s + g^2; w - lr g / (sqrt(s) + eps)``.

    Parameters
    ----------
    lr, eps : float
    l2, l1 : float
        ``l2 w + l1 sign(w)`` is added to g.

    Returns
    -------
    callable
        The update rule.

    Examples
    --------
    >>> update = adagrad(lr=0.25)  # the first step is lr for any gradient size
    >>> update(np.array([1.0]), np.array([2000.0]), {}, 1).round(6)
    array([0.75])
    """
    return Rule(_adagrad, {"lr": lr, "eps": eps, "l2": l2, "l1": l1})


def _adagrad(
    w: Array, g: Array, state: dict[str, Any], t: int, lr: float, eps: float, l2: float, l1: float
) -> Array:
    g = penalized(w, g, l2, l1)
    s = state["s"] = state.get("s", 0.0) + g**2
    return np.asarray(w - lr * g / (np.sqrt(s) + eps))


def rmsprop(
    lr: float,
    rho: float = 0.9,
    eps: float = 1e-8,
    l2: float = 0.0,
    l1: float = 0.0,
    eps_inside: bool = False,
) -> Rule:
    """RMSProp: ``v = rho v + (1 - rho) g^2; w - lr g / (sqrt(v) + eps)``.

    From T. Tieleman and G. Hinton, lecture 6.5 of "Neural networks for machine learning", 2012.

    Parameters
    ----------
    lr, rho, eps : float
    l2, l1 : float
        ``l2 w + l1 sign(w)`` is added to g.
    eps_inside : bool
        Whether to divide by ``sqrt(v + eps)``, as TensorFlow and d2l.ai do.

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
    settings = {"lr": lr, "rho": rho, "eps": eps, "l2": l2, "l1": l1, "eps_inside": eps_inside}
    return Rule(_rmsprop, settings)


def _rmsprop(
    w: Array,
    g: Array,
    state: dict[str, Any],
    t: int,
    lr: float,
    rho: float,
    eps: float,
    l2: float,
    l1: float,
    eps_inside: bool,
) -> Array:
    g = penalized(w, g, l2, l1)
    v = state["v"] = rho * state.get("v", 0.0) + (1 - rho) * g**2
    return np.asarray(w - lr * g / (np.sqrt(v + eps) if eps_inside else np.sqrt(v) + eps))
