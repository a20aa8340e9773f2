"""Forward gradients: the slope of the loss along a random direction, times that direction."""

from __future__ import annotations

import numpy as np

from elunet._checks import choice
from elunet._quiet import quiet
from elunet._types import Array
from elunet.network import Network, Tap
from elunet.routers.perturbed import Perturbed, times


class ForwardGradient(Perturbed):
    r"""Take ``(dL/dw . v) v`` for the gradient, v drawn from N(0, 1) in each step.

    Its mean over draws is the gradient itself. In place of one direction for all weights, each
    example can have one for the outputs z of the layers: ``(sum_k dL_n/dz_k . u_k) u_k`` arrives
    there, and layers learn from it as in backpropagation. That varies less, as there are fewer
    units than weights.

    Parameters
    ----------
    perturb : "weights" or "activities", default "weights"
    seed : int, default 0
        Of the directions.
    draws : int, default 1
        Of how many directions each step takes the mean.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    The slope along a direction is the inner product with the gradient. Forward-mode automatic
    differentiation finds it in one pass up; here it is taken from backpropagation's gradient, which
    is the same number. So the rule learns as the published one does, and saves no time: it costs
    two walks. In "weights" the signals between layers are zeros, as nothing goes down.

    References
    ----------
    Baydin, Pearlmutter, Syme, Wood, Torr, "Gradients without Backpropagation", 2022,
    arXiv:2202.08587 (weights); Ren, Kornblith, Liao, Hinton, "Scaling Forward Gradient With Local
    Losses", ICLR 2023, arXiv:2210.03310 (activities).

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.ForwardGradient("activities", seed=1)
    ForwardGradient('activities', seed=1)
    """

    def __init__(self, perturb: str = "weights", seed: int = 0, draws: int = 1) -> None:
        choice("ForwardGradient", "perturb", perturb, ("weights", "activities"))
        super().__init__(seed, draws)
        self.perturb = perturb

    def backward(
        self,
        net: Network,
        dy: Array | tuple[Array, ...],
        target: Array | None = None,
        tap: Tap | None = None,
        release: bool = False,
    ) -> None:
        """Find the exact gradient, then learn from its slopes along the directions."""
        with net.alone():
            self._exact: dict[str, Array] = {}
            net.walk(dy, tap=self._note)
            if self.perturb == "weights":
                self._exact = {name: g.copy() for name, g in net.gradients().items()}
            super().backward(net, dy, target, tap, release)
            self._exact = {}

    def _note(self, name: str, delta: Array) -> None:
        self._exact[name] = delta.copy()

    @quiet
    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Find the estimates."""
        self.passes += 1
        if self.perturb == "activities":
            learning = [node.name for node in net.nodes if node.layer.params]
            self._exact = {name: self._exact[name] for name in learning}
        for draw in range(self.draws):
            v, slopes = dict[str, Array](), np.zeros(1)  # one for all, or one for each example
            for name, exact in self._exact.items():
                v[name] = self.direction(name, exact.shape, draw, exact.dtype)
                rows = 1 if self.perturb == "weights" else len(exact)
                slopes = slopes + (exact * v[name]).reshape(rows, -1).sum(axis=1, dtype=float)
            for name, direction in v.items():
                self.add(name, times(slopes, direction))

    def __repr__(self) -> str:
        draws = "" if self.draws == 1 else f", draws={self.draws}"
        return f"ForwardGradient({self.perturb!r}, seed={self.seed}{draws})"
