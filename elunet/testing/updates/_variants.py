"""Adam's variants: another v, another root, a look-ahead."""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing.updates._adam import averages
from elunet.testing.updates._rule import Rule, penalized


def amsgrad(
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    l2: float = 0.0,
    l1: float = 0.0,
) -> Rule:
    """AMSGrad (arXiv:1904.09237): `adam` with the largest v so far in place of v.

    The paper corrects neither average; this is PyTorch's form, which corrects both, and takes the
    largest of the uncorrected v.

    Parameters
    ----------
    lr, beta1, beta2, eps : float
    l2, l1 : float
        ``l2 w + l1 sign(w)`` is added to g.

    Returns
    -------
    callable
        The update rule.

    Examples
    --------
    >>> update, state = amsgrad(lr=0.25), {}
    >>> w = update(np.array([1.0]), np.array([2000.0]), state, 1)
    >>> w = update(w, np.array([0.0]), state, 2)
    >>> float(state["largest"][0]) > float(state["v"][0])
    True
    """
    settings = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "l2": l2, "l1": l1}
    return Rule(_amsgrad, settings)


def _amsgrad(
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
) -> Array:
    m, v = averages(penalized(w, g, l2, l1), state, beta1, beta2)
    largest = state["largest"] = np.maximum(state.get("largest", 0.0), v)
    step = m / (1 - beta1**t) / (np.sqrt(largest / (1 - beta2**t)) + eps)
    return np.asarray(w - lr * step)


def adamax(
    lr: float = 2e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    l2: float = 0.0,
    l1: float = 0.0,
) -> Rule:
    """AdaMax (arXiv:1412.6980, section 7.1): `adam` with the largest abs(g) in place of sqrt(v).

    ``u = max(beta2 u, abs(g) + eps); w - lr m / (1 - beta1^t) / u``

    Parameters
    ----------
    lr, beta1, beta2 : float
    eps : float
        The paper has none; it is where PyTorch has it.
    l2, l1 : float
        ``l2 w + l1 sign(w)`` is added to g.

    Returns
    -------
    callable
        The update rule.

    Examples
    --------
    >>> update = adamax(lr=0.25)  # the first step is lr for any gradient size
    >>> update(np.array([1.0]), np.array([2000.0]), {}, 1).round(6)
    array([0.75])
    """
    settings = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "l2": l2, "l1": l1}
    return Rule(_adamax, settings)


def _adamax(
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
) -> Array:
    g = penalized(w, g, l2, l1)
    m = state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * g
    u = state["u"] = np.maximum(beta2 * state.get("u", 0.0), np.abs(g) + eps)
    return np.asarray(w - lr * m / (1 - beta1**t) / u)


def nadam(
    lr: float = 2e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    l2: float = 0.0,
    l1: float = 0.0,
    momentum_decay: float | None = None,
) -> Rule:
    """Nadam (T. Dozat, ICLR 2016 workshop): `adam` with Nesterov's look-ahead.

    ``M = beta1 m / (1 - beta1^t) + (1 - beta1) g / (1 - beta1^t);``
    ``w - lr M / (sqrt(v / (1 - beta2^t)) + eps)``, with `adam`'s m and v, as in S. Ruder's overview
    (arXiv:1609.04747). With `momentum_decay`, Dozat's own, where beta1 grows from step to step,
    as in PyTorch.

    Parameters
    ----------
    lr, beta1, beta2, eps : float
    l2, l1 : float
        ``l2 w + l1 sign(w)`` is added to g.
    momentum_decay : float, optional
        ``beta1 (1 - 0.96^(t momentum_decay) / 2)`` stands for beta1 at step t; PyTorch has 0.004.

    Returns
    -------
    callable
        The update rule.

    Examples
    --------
    >>> update = nadam(lr=0.25, beta1=0.5)  # the first step is 1.5 lr
    >>> update(np.array([1.0]), np.array([2000.0]), {}, 1).round(6)
    array([0.625])
    """
    settings = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "l2": l2, "l1": l1}
    return Rule(_nadam, settings | {"momentum_decay": momentum_decay})


def _nadam(
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
    momentum_decay: float | None,
) -> Array:
    g = penalized(w, g, l2, l1)
    m, v = averages(g, state, beta1, beta2)
    if momentum_decay is None:
        ahead = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)
    else:
        now, next_ = (beta1 * (1 - 0.96 ** (k * momentum_decay) / 2) for k in (t, t + 1))
        product = state["product"] = state.get("product", 1.0) * now
        ahead = next_ * m / (1 - product * next_) + (1 - now) * g / (1 - product)
    return np.asarray(w - lr * ahead / (np.sqrt(v / (1 - beta2**t)) + eps))
