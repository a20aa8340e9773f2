"""Steps along a sign: Lion."""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing.updates._rule import Rule


def lion(lr: float = 1e-4, beta1: float = 0.9, beta2: float = 0.99, decay: float = 0.0) -> Rule:
    """Lion (arXiv:2302.06675): ``w - lr (sign(beta1 m + (1 - beta1) g) + decay w)``.

    Then ``m = beta2 m + (1 - beta2) g``, from 0.

    Parameters
    ----------
    lr, beta1, beta2 : float
    decay : float
        The decoupled weight decay.

    Returns
    -------
    callable
        The update rule.

    Examples
    --------
    >>> update = lion(lr=0.25)
    >>> update(np.array([1.0]), np.array([2000.0]), {}, 1)
    array([0.75])
    """
    return Rule(_lion, {"lr": lr, "beta1": beta1, "beta2": beta2, "decay": decay})


def _lion(
    w: Array,
    g: Array,
    state: dict[str, Any],
    t: int,
    lr: float,
    beta1: float,
    beta2: float,
    decay: float,
) -> Array:
    m = state.get("m", 0.0)
    state["m"] = beta2 * m + (1 - beta2) * g
    return np.asarray(w - lr * (np.sign(beta1 * m + (1 - beta1) * g) + decay * w))
