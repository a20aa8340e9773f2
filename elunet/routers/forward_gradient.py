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
    The slope along a direction comes from forward-mode differentiation, `Network.jvp`: one pass up,
    and nothing goes back through the layers. So every layer needs a `tangent`. In "weights" the
    signals between layers are zeros, as nothing is sent back.

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
        """Compute the slopes, then the gradients; no other thread runs in between."""
        with net.alone():
            super().backward(net, dy, target, tap, release)

    @quiet
    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Compute the estimates: a forward-mode pass along each direction, times dy."""
        self.passes += 1
        dys = dy if isinstance(dy, tuple) else (dy,)
        if self.perturb == "weights":
            shapes = {name: value.shape for name, value in net.parameters().items()}
        else:
            shapes = {node.name: net.shapes[node.name] for node in net.nodes if node.layer.params}
        for draw in range(self.draws):
            directions = {
                name: self.direction(name, shape, draw, dys[0].dtype)
                for name, shape in shapes.items()
            }
            moved = net.jvp(directions)
            slopes = np.zeros(len(dys[0]))  # of each example's loss
            for one, along in zip(
                dys, moved if isinstance(moved, tuple) else (moved,), strict=True
            ):
                slopes = slopes + (one * along).reshape(len(one), -1).sum(axis=1, dtype=float)
            if self.perturb == "weights":
                slopes = slopes.sum(keepdims=True)  # one for all
            for name, direction in directions.items():
                self.add(name, times(slopes, direction))

    def __repr__(self) -> str:
        draws = "" if self.draws == 1 else f", draws={self.draws}"
        return f"ForwardGradient({self.perturb!r}, seed={self.seed}{draws})"
