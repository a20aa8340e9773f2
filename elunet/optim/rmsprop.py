"""RMSProp: each parameter's gradient, divided by its recent root mean square."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.kernels import optimizers as kernels
from elunet.optim.base import Arrays, Fused, Optimizer, Scheduled

__all__ = ["RMSProp"]


class RMSProp(Optimizer):
    r"""Gradient descent with a step size per parameter.

    .. math::
        v \leftarrow \rho v + (1 - \rho) g^2, \qquad
        w \leftarrow w - \eta \, \frac{g}{\sqrt{v} + \epsilon}

    v starts at 0, so the first steps are larger than later ones, by up to 1 / sqrt(1 - rho).
    With ``centered``, the mean m of the gradient is taken off, ``sqrt(v - m^2)``: m is an average
    like v. With ``momentum``, the steps without the learning rate are summed first:
    ``u <- momentum * u + g / (...)``, ``w <- w - lr * u``.

    Parameters
    ----------
    lr : float or schedule
        The learning rate, eta.
    rho : float
        How slowly v forgets, in [0, 1).
    eps : float
        Above 0; outside the square root, as in PyTorch.
    momentum : float or schedule
        In [0, 1).
    centered : bool
        Whether to divide by the standard deviation instead of the root mean square.
    l2, l1, clip_norm, clip_value, penalized
        See `Optimizer`.

    References
    ----------
    Tieleman, Hinton, *Neural Networks for Machine Learning*, lecture 6.5, 2012; centered and with
    momentum: Graves, *Generating Sequences with Recurrent Neural Networks*, 2013, arXiv:1308.0850.

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

    slots: tuple[str, ...] = ("square",)
    schedulable: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Optimizer.schedulable,
        "momentum": (0.0, 1.0),
    }

    def __init__(
        self,
        lr: Scheduled,
        rho: float = 0.9,
        eps: float = 1e-8,
        l2: float = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
        momentum: Scheduled = 0.0,
        centered: bool = False,
        clip_value: float | None = None,
        penalized: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(lr, l2, l1, clip_norm, clip_value=clip_value, penalized=penalized)
        self.rho = number("RMSProp", "rho", rho, "[0, 1)")
        self.eps = number("RMSProp", "eps", eps, "(0, inf)")
        self.momentum = self._scheduled("momentum", momentum)
        self.centered = centered
        self._is_plain = not (centered or self.momentum)
        if not self._is_plain:
            self.slots = ("square", "mean", "velocity")

    def check(self, parameters: Arrays, gradients: Arrays) -> None:
        """Raise an error that names what is wrong, before anything is changed."""
        if self._is_plain and (self.centered or self.momentum):
            raise ValueError(
                "RMSProp: expected momentum and centered to be given to the constructor, got"
                " them set later:"
                f" momentum {self.momentum!r}, centered {self.centered!r}"
            )
        super().check(parameters, gradients)

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        """Move along the gradient, measured in units of its root mean square."""
        v, rho = state["square"], float(self.rho)
        v *= rho
        v += (1 - rho) * np.square(g)
        if self.centered:
            mean = state["mean"]
            mean *= rho
            mean += (1 - rho) * g
            g /= np.sqrt(np.maximum(v - np.square(mean), 0)) + float(self.eps)
        else:
            g /= np.sqrt(v) + float(self.eps)
        if self._is_plain:
            w -= lr * g
            return
        velocity = state["velocity"]
        velocity *= self.now("momentum")
        velocity += g
        w -= lr * velocity

    def fused(self, lr: float) -> Fused:
        """Return `update` in one pass."""
        numbers = lr, float(self.rho), float(self.eps)
        if self._is_plain:
            return kernels.rmsprop, numbers
        kernel = kernels.rmsprop_centered if self.centered else kernels.rmsprop_momentum
        return kernel, (*numbers, self.now("momentum"))
