"""Gradient descent, with momentum in its three forms."""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing.updates._rule import Rule, penalized


def sgd(
    lr: float, momentum: float = 0.0, nesterov: bool = False, l2: float = 0.0, l1: float = 0.0
) -> Rule:
    """Gradient descent: ``v = momentum v + g; w - lr v``, or ``w - lr (g + momentum v)``.

    A velocity that has lr in it gives the same steps while lr is constant:
    ``v = momentum v - lr g``, then ``w + v``, or with Nesterov ``w + momentum v - lr g``.

    Parameters
    ----------
    lr, momentum : float
    nesterov : bool
        Whether to look ahead (the second form; Sutskever et al., ICML 2013).
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
    settings = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "l2": l2, "l1": l1}
    return Rule(_sgd, settings)


def _sgd(
    w: Array,
    g: Array,
    state: dict[str, Any],
    t: int,
    lr: float,
    momentum: float,
    nesterov: bool,
    l2: float,
    l1: float,
) -> Array:
    g = penalized(w, g, l2, l1)
    v = state["v"] = momentum * state.get("v", 0.0) + g
    return np.asarray(w - lr * (g + momentum * v if nesterov else v))


def averaged_momentum(
    lr: float, momentum: float = 0.9, correct: bool = False, l2: float = 0.0, l1: float = 0.0
) -> Rule:
    """Momentum as a running average: ``v = momentum v + (1 - momentum) g; w - lr v``.

    So it is written in A. Ng's courses. Its steps are ``1 - momentum`` times those of `sgd`.

    Parameters
    ----------
    lr, momentum : float
    correct : bool
        Whether v is divided by ``1 - momentum^t`` in the step, as it starts at 0.
    l2, l1 : float
        ``l2 w + l1 sign(w)`` is added to g.

    Returns
    -------
    callable
        The update rule.

    Examples
    --------
    >>> update = averaged_momentum(lr=1.0, momentum=0.75)
    >>> update(np.array([1.0]), np.array([2.0]), {}, 1)
    array([0.5])
    """
    settings = {"lr": lr, "momentum": momentum, "correct": correct, "l2": l2, "l1": l1}
    return Rule(_averaged_momentum, settings)


def _averaged_momentum(
    w: Array,
    g: Array,
    state: dict[str, Any],
    t: int,
    lr: float,
    momentum: float,
    correct: bool,
    l2: float,
    l1: float,
) -> Array:
    g = penalized(w, g, l2, l1)
    v = state["v"] = momentum * state.get("v", 0.0) + (1 - momentum) * g
    return np.asarray(w - lr * (v / (1 - momentum**t) if correct else v))
