"""Dilated backprop: each unit also hears, past all Jacobians, what a unit above it heard."""

from __future__ import annotations

from elunet._checks import integer, number
from elunet._types import Array
from elunet.layers.base import Layer
from elunet.network import Network, Node
from elunet.routers.base import Router
from elunet.schedules import InverseTime


class DilatedBackprop(Router):
    r"""Add the gradient of a unit above to each unit's own: ``g_k <- J^T g_{k+1} + rate g_{k+d}``.

    A unit is a weighted layer with the layers after it that work number by number (activations,
    dropout, BatchNorm), on one path; g_k is the gradient at its end, before pooling, earlier
    additions included. The rate is ``proportion / (1 + decay * epoch)``. Nothing is added where
    paths branch or pooling lies between, or where both shapes differ: on the article's cases c to
    e exactly convolutions 2, 4, 6 and 8 gain a term.

    This is one author's heuristic, after dilated recurrent networks; there is no paper, and no
    reason why it should follow any gradient.

    Parameters
    ----------
    dilation : int, default 1
        d: how many units above.
    proportion : float, default 1.0
        The rate at epoch 0; with 0 this is backpropagation.
    decay : float, default 0.0
        At least 0.

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

    def __init__(self, dilation: int = 1, proportion: float = 1.0, decay: float = 0.0) -> None:
        super().__init__()
        self.dilation = integer("DilatedBackprop", "dilation", dilation)
        self.proportion = number("DilatedBackprop", "proportion", proportion)
        self.decay = number("DilatedBackprop", "decay", decay, "[0, inf)")

    @property
    def rate(self) -> float:
        """The factor at the current epoch."""
        return InverseTime(self.proportion, self.decay)(self.epoch)

    def begin(self, net: Network, dy: Array, target: Array | None) -> None:
        """Find the units' ends and which unit follows directly on which."""
        self._above = units_above(net)
        self._heard: dict[str, Array] = {}

    def arrive(self, layer: Layer, dy: Array) -> Array:
        """Add to a unit's gradient that of the unit above."""
        name = self.name_of(layer)
        if name not in self._above:
            return dy
        above: str | None = name
        for _ in range(self.dilation):
            above = self._above[above] if above is not None else None
        heard = self._heard.get(above) if above is not None else None
        if heard is not None and heard.shape == dy.shape:
            dy = dy + dy.dtype.type(self.rate) * heard
        return dy

    def hear(self, layer: Layer, dy: Array) -> None:
        """Remember a unit's gradient for the unit below."""
        name = self.name_of(layer)
        if name in self._above and self.rate != 0:
            self._heard[name] = dy

    def end(self) -> None:
        """Forget the gradients, so that their memory can be used again."""
        self._heard = {}

    def __repr__(self) -> str:
        return (
            f"DilatedBackprop(dilation={self.dilation}, proportion={self.proportion:g},"
            f" decay={self.decay:g})"
        )


def units_above(net: Network) -> dict[str, str | None]:
    """Return, for each unit's end by name, the end of the unit that alone takes its output."""
    takers: dict[str, list[Node]] = {node.name: [] for node in net.nodes}
    for node in net.nodes:
        for source in node.inputs:
            if source in takers:
                takers[source].append(node)

    def only_taker(name: str) -> Node | None:
        return takers[name][0] if len(takers[name]) == 1 else None

    def end_of(node: Node) -> str:
        taker = only_taker(node.name)
        while taker is not None and taker.layer.pointwise:
            node = taker
            taker = only_taker(node.name)
        return node.name

    above: dict[str, str | None] = {}
    for node in net.nodes:
        if node.layer.weighted:
            end = end_of(node)
            taker = only_taker(end)
            follows = taker is not None and taker.layer.weighted
            above[end] = end_of(taker) if taker is not None and follows else None
    return above
