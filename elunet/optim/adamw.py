"""AdamW: Adam with weight decay that its averages do not see."""

from __future__ import annotations

from collections.abc import Sequence

from elunet.optim.adam import Adam
from elunet.optim.base import Scheduled

__all__ = ["AdamW"]


class AdamW(Adam):
    r"""Adam with decoupled weight decay.

    As `Adam`, and in each step ``w <- w - lr * l2 * w`` of the weights before it. Defaults are
    PyTorch's: l2 is 0.01, and all parameters decay, biases as well. For weights only, use
    ``penalized="*.W"``.

    Parameters
    ----------
    lr, beta1, beta2, eps
        See `Adam`.
    l2, l1, clip_norm, clip_value, penalized
        See `Optimizer`.

    References
    ----------
    Loshchilov, Hutter, *Decoupled Weight Decay Regularization*, 2019, arXiv:1711.05101.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(1, 1, bias=False, init=eln.init.Constant(1))])
    >>> y = net.forward(np.ones((1, 1), np.float32), train=True)
    >>> dx = net.backward(np.zeros_like(y))
    >>> AdamW(lr=0.5, l2=0.5).step(net)  # no gradient, but decay
    >>> print(net["linear1"].params["W"])
    [[0.75]]
    """

    def __init__(
        self,
        lr: Scheduled = 1e-3,
        beta1: Scheduled = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        l2: float = 0.01,
        l1: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        penalized: str | Sequence[str] | None = "*",
    ) -> None:
        super().__init__(lr, beta1, beta2, eps, l2, l1, True, clip_norm, clip_value, penalized)
