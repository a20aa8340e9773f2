"""AdaGrad: each parameter's gradient, divided by the root of all its squares so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.kernels import optimizers as kernels
from elunet.optim.base import Fused, Optimizer, Scheduled

__all__ = ["AdaGrad"]


class AdaGrad(Optimizer):
    r"""Gradient descent with a step size per parameter that only falls.

    .. math::
        v \leftarrow v + g^2, \qquad
        w \leftarrow w - \eta \, \frac{g}{\sqrt{v} + \epsilon}

    Parameters
    ----------
    lr : float or schedule
        The learning rate, eta. The first step has this size.
    eps : float
        Above 0; outside the square root, as in PyTorch.
    l2, l1, clip_norm, clip_value, penalized
        See `Optimizer`.

    References
    ----------
    Duchi, Hazan, Singer, *Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization*, JMLR 12, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(1, 1, bias=False, init=eln.init.Constant(1))])
    >>> y = net.forward(np.ones((1, 1), np.float32), train=True)
    >>> dx = net.backward(1000 * np.ones_like(y))
    >>> AdaGrad(lr=0.25).step(net)
    >>> print(net["linear1"].params["W"])
    [[0.75]]
    """

    slots = ("square",)

    def __init__(
        self,
        lr: Scheduled = 0.01,
        eps: float = 1e-10,
        l2: float = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        penalized: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(lr, l2, l1, clip_norm, clip_value=clip_value, penalized=penalized)
        self.eps = number("AdaGrad", "eps", eps, "(0, inf)")

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        """Move along the gradient, measured in units of the root of its squares' sum."""
        v = state["square"]
        v += np.square(g)
        g /= np.sqrt(v) + float(self.eps)
        w -= lr * g

    def fused(self, lr: float) -> Fused:
        """Return `update` in one pass."""
        return kernels.adagrad, (lr, float(self.eps))
