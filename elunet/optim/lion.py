"""Lion: steps of one size along the sign of a momentum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.kernels import optimizers as kernels
from elunet.optim.base import Fused, Optimizer, Scheduled

__all__ = ["Lion"]


class Lion(Optimizer):
    r"""Evolved sign momentum.

    .. math::
        w \leftarrow w - \eta \, \operatorname{sign}(\beta_1 m + (1 - \beta_1) g), \qquad
        m \leftarrow \beta_2 m + (1 - \beta_2) g

    Every number of w moves by lr, whatever its gradient. So lr is three to ten times smaller than
    Adam's, and l2 as many times larger.

    Parameters
    ----------
    lr : float or schedule
        The learning rate, eta.
    beta1, beta2 : float
        How much of m counts in the step, and how slowly m forgets, in [0, 1).
    l2, l1, clip_norm, clip_value, penalized
        See `Optimizer`.
    decoupled : bool, default True
        Whether penalties shrink weights by lr * (l2 * w + l1 * sign(w)), as in the paper, instead
        of being part of g.

    References
    ----------
    Chen et al., *Symbolic Discovery of Optimization Algorithms*, 2023, arXiv:2302.06675.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(1, 1, bias=False, init=eln.init.Constant(1))])
    >>> y = net.forward(np.ones((1, 1), np.float32), train=True)
    >>> dx = net.backward(1000 * np.ones_like(y))
    >>> Lion(lr=0.25).step(net)
    >>> print(net["linear1"].params["W"])
    [[0.75]]
    """

    slots = ("m",)

    def __init__(
        self,
        lr: Scheduled = 1e-4,
        beta1: float = 0.9,
        beta2: float = 0.99,
        l2: float = 0.0,
        l1: float = 0.0,
        decoupled: bool = True,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        penalized: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(lr, l2, l1, clip_norm, decoupled, clip_value, penalized)
        self.beta1 = number("Lion", "beta1", beta1, "[0, 1)")
        self.beta2 = number("Lion", "beta2", beta2, "[0, 1)")

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        """Move along the sign of momentum and gradient."""
        m, beta1, beta2 = state["m"], float(self.beta1), float(self.beta2)
        w -= lr * np.sign(beta1 * m + (1 - beta1) * g)
        m *= beta2
        m += (1 - beta2) * g

    def fused(self, lr: float) -> Fused:
        """Return `update` in one pass."""
        kernel = kernels.lionw if self.decoupled else kernels.lion
        return kernel, (lr, float(self.beta1), float(self.beta2))
