"""Adam: steps of about the same size for every parameter, whatever its gradient's scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.kernels import optimizers as kernels
from elunet.optim.base import Fused, Optimizer, Scheduled

__all__ = ["Adam"]


class Adam(Optimizer):
    r"""Adaptive moment estimation.

    .. math::
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
        w \leftarrow w - \eta \, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Both averages start at 0 and are therefore too small at first; dividing by 1 - beta^t makes
    up for that, with t = 1, 2, ... the step's number. (Not by 1 - beta, which would make all
    later steps wrong.)

    Parameters
    ----------
    lr : float or schedule
        The learning rate, eta.
    beta1 : float or schedule
        How slowly the average of g forgets, in [0, 1).
    beta2 : float
        How slowly the average of g^2 forgets, in [0, 1).
    eps : float
        Above 0; keeps steps finite where gradients vanish.
    l2, l1, clip_norm, clip_value, penalized
        See `Optimizer`.
    decoupled : bool
        Whether penalties bypass m and v and shrink weights by lr * (l2 * w + l1 * sign(w)), as in
        `AdamW`.

    References
    ----------
    Kingma, Ba, *Adam*, 2015, arXiv:1412.6980; Loshchilov, Hutter, *Decoupled Weight Decay
    Regularization*, 2019, arXiv:1711.05101.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(1, 1, bias=False, init=eln.init.Constant(1))])
    >>> y = net.forward(np.ones((1, 1), np.float32), train=True)
    >>> dx = net.backward(1000 * np.ones_like(y))
    >>> Adam(lr=0.25).step(net)  # whatever the gradient's size, the first step is lr
    >>> print(net["linear1"].params["W"])
    [[0.75]]
    """

    slots = ("m", "v")
    schedulable: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Optimizer.schedulable,
        "beta1": (0.0, 1.0),
    }

    def __init__(
        self,
        lr: Scheduled = 1e-3,
        beta1: Scheduled = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        l2: float = 0.0,
        l1: float = 0.0,
        decoupled: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        penalized: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(lr, l2, l1, clip_norm, decoupled, clip_value, penalized)
        name = type(self).__name__
        self.beta1 = self._scheduled("beta1", beta1)
        self.beta2 = number(name, "beta2", beta2, "[0, 1)")
        self.eps = number(name, "eps", eps, "(0, inf)")

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        """Move along the mean gradient, measured in units of the root mean square."""
        m, v = state["m"], state["v"]
        beta1, beta2, t = self.now("beta1"), float(self.beta2), self.steps + 1
        m *= beta1
        m += (1 - beta1) * g
        np.square(g, out=g)
        v *= beta2
        v += (1 - beta2) * g
        # The scratch space g becomes the denominator.
        np.sqrt(v / (1 - beta2**t), out=g)
        g += float(self.eps)
        w -= lr / (1 - beta1**t) * (m / g)

    def fused(self, lr: float) -> Fused:
        """Return `update` in one pass."""
        kernel = kernels.adamw if self.decoupled else kernels.adam
        beta1, beta2, t = self.now("beta1"), float(self.beta2), self.steps + 1
        unbias1, unbias2 = 1 / (1 - beta1**t), 1 / (1 - beta2**t)
        return kernel, (lr, beta1, beta2, unbias1, unbias2, float(self.eps))
