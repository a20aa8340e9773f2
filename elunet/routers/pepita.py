"""PEPITA: the error is added to the input, and a second forward pass shows what it changes."""

from __future__ import annotations

import math

import numpy as np

from elunet._quiet import quiet
from elunet._types import Array, Shape
from elunet.graph import Node
from elunet.init import Initializer, Uniform
from elunet.layers.base import Layer
from elunet.network import Network
from elunet.routers.base import Path
from elunet.routers.beside import Beside, learn_as
from elunet.routers.chain import Chain
from elunet.routers.random_router import RandomRouter, given

F = "input"  # no layer has this name


class PEPITA(Beside, RandomRouter):
    r"""Learn from ``h_k - h'_k``, h' being what layers give for ``x' = x + e F``.

    F is fixed and random, and e = N dL/dlogits, of shape (N, C), each example's error. With the
    activity h_k of a hidden layer k, and h_k' in the pass on x', it and the output layer K learn

    .. math::
        dW_k = \frac{1}{N} h_{k-1}'^\top (h_k - h_k'), \qquad dW_K = \frac{1}{N} h_{K-1}'^\top e

    No signal goes back, and the slope of no activation is needed.

    Parameters
    ----------
    seed : int, default 0
        Of F.
    distribution : Initializer, optional
        Draws F, by default U(-sqrt(6/n), sqrt(6/n)) for n numbers of an example.
    scale : float, default 0.05
        A factor of what is drawn. It has to be small: x' should be close to x.

    Attributes
    ----------
    F : array of shape (C, n)
        There from the first backward pass on.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `backward`, if the network is not a chain of weighted
        layers and layers without parameters, or its logits are not of shape (N, C).
    RuntimeError
        In `backward`, if the rule's own ``forward(net, x, target)`` did not come before.

    Notes
    -----
    The activity is taken at the end of a unit: a weighted layer with the layers after it that work
    number by number, before pooling. Dropout's masks are the same in both passes, as in the
    publication. A bias learns as a weight from an input of 1.

    References
    ----------
    Dellaferrera, Kreiman, "Error-driven Input Modulation: Solving the Credit Assignment Problem
    without a Backward Pass", ICML 2022, arXiv:2201.11665.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.PEPITA(seed=1)
    PEPITA(seed=1)
    """

    def __init__(
        self, seed: int = 0, distribution: Initializer | None = None, scale: float = 0.05
    ) -> None:
        super().__init__(seed, distribution, scale)

    @property
    def F(self) -> Array:  # noqa: N802 - a matrix's name
        """The matrix that brings the error to the input."""
        return self.drawn[F]

    def draws(self, name: str, shape: Shape) -> Initializer:
        """Return U(-sqrt(6/n), sqrt(6/n)) for n numbers of an example."""
        bound = math.sqrt(6 / shape[1])
        return Uniform(-bound, bound)

    @quiet
    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Run the network on x + e F, and compare the hidden activities."""
        units, x, e = Chain(net, repr(self), random=True).units, self.x, len(dy) * np.asarray(dy)
        if e.ndim != 2:
            raise ValueError(f"{self!r}: expected logits of shape (N, C), got {e.shape}")
        matrix = self.matrix(F, (e.shape[1], math.prod(x.shape[1:])))
        ends = {_end(unit).name: unit[0].name for unit in units[:-1]}

        def compare(name: str, h: Array) -> None:
            if name in ends:
                self.signals[ends[name]] = (self._value(name) - h) / len(x)

        self.again().forward(x + (e @ matrix).reshape(x.shape).astype(x.dtype), True, compare)

    def learn(self, layer: Layer, dy: Array) -> None:
        """Learn in the pass on x'."""
        twin = self.twin[self.name_of(layer)]
        twin.backward_params(dy)
        learn_as(layer, twin)

    def paths(self, net: Network) -> list[Path]:
        """Return one path, from the output to the first layer, where the error is added."""
        first, *above = Chain(net, repr(self), random=True).weighted
        return [Path(net.outputs[0], first.name, "direct")] if above else []

    def __repr__(self) -> str:
        return f"PEPITA(seed={self.seed}{given(self, 0.05)})"


def _end(unit: list[Node]) -> Node:
    """Return the layer at which a unit's activity is taken."""
    last, *after = unit
    for node in after:
        if not node.layer.pointwise:
            break
        last = node
    return last
