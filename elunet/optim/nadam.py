"""NAdam: Adam that looks one step ahead along its momentum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.kernels import optimizers as kernels
from elunet.optim.base import Fused, Optimizer, Scheduled

__all__ = ["NAdam"]


class NAdam(Optimizer):
    r"""Adam with Nesterov's momentum, in PyTorch's form.

    .. math::
        \mu_t = \beta_1 (1 - 0.5 \cdot 0.96^{t \psi}), \qquad
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2

    .. math::
        w \leftarrow w - \eta \,
        \frac{\frac{1 - \mu_t}{1 - \mu_1 \cdots \mu_t} g
            + \frac{\mu_{t+1}}{1 - \mu_1 \cdots \mu_{t+1}} m}
        {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Parameters
    ----------
    lr : float or schedule
        The learning rate, eta.
    beta1, beta2 : float
        How slowly the averages of g and of g^2 forget, in [0, 1).
    eps : float
        Above 0; keeps steps finite where gradients vanish.
    momentum_decay : float
        psi, at least 0: how fast mu comes from beta1 / 2 to beta1.
    l2, l1, clip_norm, decoupled, clip_value, penalized
        See `Optimizer`.

    References
    ----------
    Dozat, *Incorporating Nesterov Momentum into Adam*, ICLR workshop 2016.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(1, 1, bias=False, init=eln.init.Constant(1))])
    >>> y = net.forward(np.ones((1, 1), np.float32), train=True)
    >>> dx = net.backward(np.ones_like(y))
    >>> NAdam(lr=0.25).step(net)
    >>> print(net["linear1"].params["W"].round(3))
    [[0.736]]
    """

    slots = ("m", "v")

    def __init__(
        self,
        lr: Scheduled = 2e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        momentum_decay: float = 4e-3,
        l2: float = 0.0,
        l1: float = 0.0,
        decoupled: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        penalized: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(lr, l2, l1, clip_norm, decoupled, clip_value, penalized)
        self.beta1 = number("NAdam", "beta1", beta1, "[0, 1)")
        self.beta2 = number("NAdam", "beta2", beta2, "[0, 1)")
        self.eps = number("NAdam", "eps", eps, "(0, inf)")
        self.momentum_decay = number("NAdam", "momentum_decay", momentum_decay, "[0, inf)")
        self._product: tuple[int, float, float, float] = (0, self.beta1, self.momentum_decay, 1.0)

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        """Move along gradient and momentum, measured in units of the root mean square."""
        m, v = state["m"], state["v"]
        beta1, beta2, eps = float(self.beta1), float(self.beta2), float(self.eps)
        for_g, for_m = self._shares()
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * np.square(g)
        g *= for_g
        g += for_m * m
        g /= np.sqrt(v / (1 - beta2 ** (self.steps + 1))) + eps
        w -= lr * g

    def fused(self, lr: float) -> Fused:
        """Return `update` in one pass."""
        beta1, beta2, t = float(self.beta1), float(self.beta2), self.steps + 1
        for_g, for_m = self._shares()
        kernel = kernels.nadamw if self.decoupled else kernels.nadam
        return kernel, (lr, beta1, beta2, for_g, for_m, 1 / (1 - beta2**t), float(self.eps))

    def _shares(self) -> tuple[float, float]:
        """Return the factors of g and of m in this step."""
        t = self.steps + 1
        now, ahead = self._mu(t), self._mu(t + 1)
        product = self._product_until(t)
        return (1 - now) / (1 - product), ahead / (1 - product * ahead)

    def _mu(self, t: int) -> float:
        kept = 1 - 0.5 * 0.96 ** (t * float(self.momentum_decay))
        return float(self.beta1) * float(kept)

    def _product_until(self, t: int) -> float:
        """Return mu_1 ... mu_t, multiplied in the same order as in an uninterrupted run."""
        beta1, decay = float(self.beta1), float(self.momentum_decay)
        done, *made_with, product = self._product
        if made_with != [beta1, decay] or done > t:
            done, product = 0, 1.0
        for step in range(done + 1, t + 1):
            product *= self._mu(step)
        self._product = t, beta1, decay, product
        return product
