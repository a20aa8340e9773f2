"""RMSProp: each parameter's gradient, divided by its recent root mean square."""

from __future__ import annotations

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.kernels import optimizers as kernels
from elunet.optim.base import Fused, LearningRate, Optimizer

__all__ = ["RMSProp"]


class RMSProp(Optimizer):
    r"""Gradient descent with a step size per parameter.

    .. math::
        v \leftarrow \rho v + (1 - \rho) g^2, \qquad
        w \leftarrow w - \eta \, \frac{g}{\sqrt{v} + \epsilon}

    v starts at 0, so the first steps are larger than later ones, by up to 1 / sqrt(1 - rho).

    Parameters
    ----------
    lr : float or schedule
        The learning rate, eta.
    rho : float
        How slowly v forgets, in [0, 1).
    eps : float
        Above 0; outside the square root, as in PyTorch.
    l2, l1, clip_norm
        See `Optimizer`.

    References
    ----------
    Tieleman, Hinton, *Neural Networks for Machine Learning*, lecture 6.5, 2012.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(1, 1, bias=False, init=eln.init.Constant(1))])
    >>> y = net.forward(np.ones((1, 1), np.float32), train=True)
    >>> dx = net.backward(1000 * np.ones_like(y))
    >>> RMSProp(lr=0.125, rho=0.75).step(net)  # v = g^2 / 4, so the first step is 2 lr
    >>> print(net["linear1"].params["W"])
    [[0.75]]
    """

    slots = ("square",)

    def __init__(
        self,
        lr: LearningRate,
        rho: float = 0.9,
        eps: float = 1e-8,
        l2: float = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, l2, l1, clip_norm)
        self.rho = number("RMSProp", "rho", rho, "[0, 1)")
        self.eps = number("RMSProp", "eps", eps, "(0, inf)")

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        """Move along the gradient, measured in units of its root mean square."""
        v, rho = state["square"], float(self.rho)
        v *= rho
        v += (1 - rho) * np.square(g)
        root = np.sqrt(v)
        root += float(self.eps)
        g /= root
        w -= lr * g

    def fused(self, lr: float) -> Fused:
        """Return `update` in one pass."""
        return kernels.rmsprop, (lr, float(self.rho), float(self.eps))
