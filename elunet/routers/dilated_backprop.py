"""Dilated backprop: each unit also hears, past all Jacobians, what a unit above it heard."""

from __future__ import annotations

from elunet._checks import integer, number
from elunet._types import Array, Shape
from elunet.init import LeCun
from elunet.layers.base import Layer
from elunet.network import Network, Node
from elunet.routers.base import Path
from elunet.routers.positions import spread
from elunet.routers.random_router import RandomRouter
from elunet.routers.units import Units
from elunet.schedules import InverseTime


class DilatedBackprop(RandomRouter):
    r"""Add the gradient of a unit above to each unit's own: ``g_k <- J^T g_{k+1} + rate g_{k+d}``.

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
        d: how many units above.
    proportion : float, default 1.0
        The rate at epoch 0; with 0 this is backpropagation.
    decay : float, default 0.0
        At least 0.
    projection : None or "random", default None
        With "random" a unit is also followed past pooling and whatever else has no weight (not past
        branches), and g_{k+d} is brought to g_k's shape: where the channels differ, at each
        position by a fixed random matrix P of shape (C_{k+d}, C_k), which keeps its scale; where
        the positions differ, each number is shared out evenly among the positions that lie nearest
        to its own, so that the sum over positions stays. (After 2x2 pooling that is a quarter for
        each of the window's four.) A linear layer's gradient has one position, the whole picture.
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
        """Whether random matrices decide what goes down: only with a projection."""
        return self.projection is not None

    def begin(self, net: Network, dy: Array, target: Array | None) -> None:
        """Find the units' ends and which unit follows on which."""
        self._units = Units(net)
        self._heard: dict[str, Array] = {}

    def arrive(self, layer: Layer, dy: Array) -> Array:
        """Add to a unit's gradient that of the unit above."""
        name = self.name_of(layer)
        above = self._above(self._units, name)
        heard = None if above is None else self._heard.pop(above, None)  # no other unit needs it
        if heard is None or (heard.shape != dy.shape and self.projection is None):
            return dy
        total: Array = dy + dy.dtype.type(self.rate) * self._fitted(heard, dy.shape, name)
        return total

    def hear(self, layer: Layer, dy: Array) -> None:
        """Remember a unit's gradient for the unit below."""
        name = self.name_of(layer)
        if name in self._units.ends and self.rate != 0:
            self._heard[name] = dy

    def end(self) -> None:
        """Forget the gradients, so that their memory can be used again."""
        self._heard = {}

    def links(self, net: Network, node: Node) -> list[Path]:
        """Return the added path too; whether shapes fit, a forward pass has to have told."""
        paths = super().links(net, node)
        above = self._above(Units(net), node.name)
        if above is None or self.proportion == 0:
            return paths
        if self.projection is None:
            if above not in net.shapes:
                raise RuntimeError(
                    f"{self!r}: expected a forward pass before paths(net): it adds only where"
                    " shapes fit"
                )
            if net.shapes[above] != net.shapes[node.name]:
                return paths
        return [Path(above, node.name, "dilated"), *paths]

    def _above(self, units: Units, name: str) -> str | None:
        """Return the end of the unit whose gradient is added here."""
        above: str | None = name
        for _ in range(self.dilation):
            if above not in units.ends:
                return None
            above = units.above(above, past_pooling=self.projection is not None)
        return above

    def _fitted(self, g: Array, shape: Shape, name: str) -> Array:
        """Return g in this shape."""
        if g.shape[-1] != shape[-1]:
            g = g @ self.matrix(name, (g.shape[-1], shape[-1])).astype(g.dtype, copy=False)
        return spread(g, shape)

    def __repr__(self) -> str:
        random = "" if self.projection is None else f", projection='random', seed={self.seed}"
        return (
            f"DilatedBackprop(dilation={self.dilation}, proportion={self.proportion:g},"
            f" decay={self.decay:g}{random})"
        )
