"""Dilated backprop: each unit also gets the gradient of a later unit, past all Jacobians."""

from __future__ import annotations

import numpy as np

from elunet._checks import integer, number
from elunet._quiet import quiet
from elunet._types import Array, Shape
from elunet.init import LeCun
from elunet.layers.base import Layer
from elunet.network import Network
from elunet.routers.base import Path
from elunet.routers.graph import Graph
from elunet.routers.random_router import RandomRouter
from elunet.schedules import InverseTime


class DilatedBackprop(RandomRouter):
    r"""Add the gradient of a later unit to each unit's own: ``g_k <- J^T g_{k+1} + rate g_{k+d}``.

    A unit is a weighted layer with the layers after it that work number by number (activations,
    dropout, BatchNorm), on one path; g_k is the gradient at its end, before pooling, earlier
    additions included. The rate is ``proportion / (1 + decay * epoch)``. By default nothing is
    added where paths branch or pooling lies between, or where both shapes differ: on the article's
    cases c to e exactly convolutions 2, 4, 6 and 8 gain a term.

    This is one author's heuristic, after dilated recurrent networks; there is no paper, and no
    reason why it should follow any gradient.

    Parameters
    ----------
    dilation : int, default 1
        d: how many later units.
    proportion : float, default 1.0
        The rate at epoch 0; with 0 this is backpropagation.
    decay : float, default 0.0
        At least 0.
    projection : None or "random", default None
        With "random" a unit is also followed past pooling and whatever else has no weight (not past
        branches), and g_{k+d} is changed to g_k's shape: where the channels differ, at each
        position by a fixed random matrix P of shape (C_{k+d}, C_k), which keeps its scale; where
        the positions differ, each number is divided evenly among the positions that lie nearest
        to its own, so that the sum over positions stays. (After 2x2 pooling that is a quarter for
        each of the window's four.) A linear layer's gradient has one position, the whole image.
        On the article's cases all ten hidden convolutions gain a term.
    seed : int, default 0
        Of the P, with the name of the lower unit's end.

    Attributes
    ----------
    rate : float
        The factor at the current epoch.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    J. D. Seo, "[ICLR 2016] Fast and Accurate Deep Networks Learning By Exponential Linear Units
    (ELUs) with Interactive Code [Manual Back Prop with TF]", Towards Data Science, 2018, and his
    posts on dilated back propagation of that year.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.DilatedBackprop(proportion=0.003, decay=0.9)
    DilatedBackprop(dilation=1, proportion=0.003, decay=0.9)
    """

    def __init__(
        self,
        dilation: int = 1,
        proportion: float = 1.0,
        decay: float = 0.0,
        projection: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(seed, LeCun("uniform"))
        self.dilation = integer("DilatedBackprop", "dilation", dilation)
        self.proportion = number("DilatedBackprop", "proportion", proportion)
        self.decay = number("DilatedBackprop", "decay", decay, "[0, inf)")
        if projection not in (None, "random"):
            raise ValueError(
                f'DilatedBackprop: expected projection as None or "random", got {projection!r}'
            )
        self.projection = projection

    @property
    def rate(self) -> float:
        """The factor at the current epoch."""
        return InverseTime(self.proportion, self.decay)(self.epoch)

    @property
    def is_random(self) -> bool:
        """Whether the signals depend on random matrices, as they do with a projection."""
        return self.projection is not None

    def shortcuts(self, net: Network) -> dict[str, Path]:
        """Return the path from a later unit to each unit's end, where its gradient is added."""
        graph, shapes, fits = self.graph(net), net.shapes, self.projection is not None
        ends = {name: self._above(graph, name) for name in graph.ends if self.proportion != 0}
        found = {name: Path(above, name, "dilated") for name, above in ends.items() if above}
        if not fits and any(way.source not in shapes for way in found.values()):
            raise RuntimeError(
                f"{self!r}: expected a forward pass before paths(net) and backward, which"
                " need the shapes, got none"
            )
        return {k: way for k, way in found.items() if fits or shapes[way.source] == shapes[k]}

    @quiet
    def arrive(self, layer: Layer, dy: Array) -> Array:
        """Add to a unit's gradient that of the next unit."""
        way = self.shortcut_at(layer)
        if way is None:
            return dy
        g, channels = self.signals[way.source], dy.shape[-1]
        if g.shape[-1] != channels:
            g = g @ self.matrix(way.target, (g.shape[-1], channels)).astype(g.dtype, copy=False)
        total: Array = dy + dy.dtype.type(self.rate) * resize(g, dy.shape)
        return total

    def _above(self, graph: Graph, name: str) -> str | None:
        """Return the end of the unit whose gradient is added here."""
        above: str | None = name
        for _ in range(self.dilation):
            if above not in graph.ends:
                return None
            above = graph.above(above, past_pooling=self.projection is not None)
        return above

    def __repr__(self) -> str:
        random = "" if self.projection is None else f", projection='random', seed={self.seed}"
        return (
            f"DilatedBackprop(dilation={self.dilation}, proportion={self.proportion:g},"
            f" decay={self.decay:g}{random})"
        )


def resize(g: Array, shape: Shape) -> Array:
    """Bring a gradient to the positions of a shape: by the nearest ones, and with the same sum.

    Parameters
    ----------
    g : (N, ..., C) array
    shape : tuple of int
        N, the positions wanted, and C. If it has another number of axes than g, what g has at all
        positions is summed first.
    """
    if g.ndim != len(shape):
        summed = g.sum(axis=tuple(range(1, g.ndim - 1)))
        g = summed.reshape(len(g), *(1,) * (len(shape) - 2), g.shape[-1])
    for axis, size in enumerate(shape[1:-1], start=1):
        if g.shape[axis] != size:
            shares = nearest(g.shape[axis], size).astype(g.dtype)
            g = np.moveaxis(np.tensordot(g, shares, (axis, 0)), -1, axis)
    return g


def nearest(above: int, below: int) -> Array:
    """Return the (later, earlier) matrix that spreads each number over the nearest positions.

    Positions are the middles of equal parts of one length; each of the many goes with the nearest
    of the few. Rows sum to 1.
    """
    many, few = max(above, below), min(above, below)
    places = np.arange(many)
    partners = (2 * places + 1) * few // (2 * many)
    shares = np.zeros((above, below))
    shares[(places, partners) if above == many else (partners, places)] = 1
    shares /= shares.sum(axis=1, keepdims=True)
    return shares
