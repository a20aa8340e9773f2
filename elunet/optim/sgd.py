"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from elunet._types import Array
from elunet.kernels import optimizers as kernels
from elunet.optim.base import Fused, Optimizer, Scheduled

__all__ = ["SGD"]


class SGD(Optimizer):
    r"""Gradient descent with (heavy-ball or Nesterov) momentum.

    .. math::
        v \leftarrow \mu v + g, \qquad
        w \leftarrow w - \eta v
        \quad\text{or, Nesterov,}\quad w \leftarrow w - \eta (g + \mu v)

    The learning rate stands outside v, as in PyTorch, so a change of it acts at once. With
    momentum 0 this is plain gradient descent, w <- w - lr g.

    Parameters
    ----------
    lr : float or schedule
        The learning rate, eta.
    momentum : float or schedule
        mu, in [0, 1).
    nesterov : bool
        Whether to look one step ahead; needs momentum.
    l2, l1, clip_norm, clip_value, penalized
        See `Optimizer`.

    References
    ----------
    Polyak 1964, 10.1016/0041-5553(64)90137-5; Sutskever, Martens, Dahl, Hinton, *On the
    Importance of Initialization and Momentum in Deep Learning*, ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(1, 1, bias=False, init=eln.init.Constant(1))])
    >>> optimizer = SGD(lr=0.1, momentum=0.5)
    >>> for _ in range(2):  # dL/dW = 1, so W falls by 0.1 * 1, then by 0.1 * 1.5
    ...     y = net.forward(np.ones((1, 1), np.float32), train=True)
    ...     dx = net.backward(np.ones_like(y))
    ...     optimizer.step(net)
    >>> print(net["linear1"].params["W"])
    [[0.75]]
    """

    slots = ("velocity",)
    schedulable: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Optimizer.schedulable,
        "momentum": (0.0, 1.0),
    }

    def __init__(
        self,
        lr: Scheduled,
        momentum: Scheduled = 0.0,
        nesterov: bool = False,
        l2: float = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        penalized: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(lr, l2, l1, clip_norm, clip_value=clip_value, penalized=penalized)
        self.momentum = self._scheduled("momentum", momentum)
        if nesterov and momentum == 0:
            raise ValueError("SGD: expected momentum above 0 with nesterov=True, got 0.0")
        self.nesterov = nesterov

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        """Move along the running sum of gradients."""
        v, momentum = state["velocity"], self.now("momentum")
        v *= momentum
        v += g
        if self.nesterov:
            g += momentum * v
            w -= lr * g
        else:
            w -= lr * v

    def fused(self, lr: float) -> Fused:
        """Return `update` in one pass."""
        kernel = kernels.nesterov if self.nesterov else kernels.momentum
        return kernel, (lr, self.now("momentum"))
