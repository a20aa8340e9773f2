"""Direct feedback alignment: every hidden layer hears of the output's error at first hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from elunet._types import Array, Shape
from elunet.init import Initializer, LeCun
from elunet.layers.base import Layer
from elunet.network import Network, Node
from elunet.routers.base import Path, learning_inputs
from elunet.routers.random_router import RandomRouter
from elunet.routers.units import Units, output_layer


class DirectRouter(RandomRouter):
    """What the direct rules share: a fixed random projection to the hidden unit below each layer.

    A subclass says what is projected, in `message`.
    """

    source: str | None = None  # where `paths` begin; None is the output layer
    _message: Array  # set when the output layer's error arrives, before anything is sent

    def __init__(
        self,
        seed: int = 0,
        shared: bool = False,
        distribution: Initializer | None = None,
        before_pooling: bool = False,
    ) -> None:
        super().__init__(seed, LeCun("uniform") if distribution is None else distribution)
        self.shared = bool(shared)
        self.before_pooling = bool(before_pooling)

    @property
    def B(self) -> dict[str, Array]:  # noqa: N802 - a matrix's name
        """The projections, by the name of the layer above them."""
        return self.drawn

    def begin(self, net: Network, dy: Array, target: Array | None) -> None:
        """Find the output layer, whose error is e, and the units."""
        self._output, self._units = output_layer(net).name, Units(net)
        self._past: dict[str, Array] = {}

    def hear(self, layer: Layer, dy: Array) -> None:
        """Take the message when the output layer's error arrives."""
        if self.name_of(layer) == self._output:
            self._message = self.message(_summed(dy))

    def message(self, error: Array) -> Array:
        """Return what is projected, (N, C), given e = dL/dlogits."""
        raise NotImplementedError(f"{self!r}: a direct rule has to define message(error)")

    def send(self, layer: Layer, dy: Array) -> Array:
        """Return the projection, or zeros if it goes to a layer further down."""
        node = self.node_of(layer)
        below, lands = node.inputs[0], self._lands(self._units, node)
        projection = self._projected(node.name, self.net.shapes[lands], dy.dtype)
        if lands == below:
            return projection
        self._past[lands] = projection
        return np.zeros(self.net.shapes[below], dy.dtype)

    def deliver(self, layer: Layer, dy: Array) -> Array:
        """Hand over the projection that was sent past the layers above."""
        return self._past.pop(self.name_of(layer), dy)

    def links(self, net: Network, node: Node) -> list[Path]:
        """Return a direct path in place of each weighted layer's."""
        if not node.layer.weighted or not learning_inputs(net, node):
            return super().links(net, node)
        source = output_layer(net).name if self.source is None else self.source
        return [Path(source, self._lands(Units(net), node), "direct")]

    def _lands(self, units: Units, node: Node) -> str:
        return units.below(node) if self.before_pooling else node.inputs[0]

    def _projected(self, name: str, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Return the message through a layer's B_k, in this shape."""
        projected = shape[-1:] if self.shared else shape[1:]
        B = self.matrix(name, (self._message.shape[1], math.prod(projected)))
        sent: Array = self._message @ B.astype(dtype, copy=False)
        if not self.shared:
            return sent.reshape(shape)
        spread = sent.reshape(len(sent), *(1,) * (len(shape) - 2), shape[-1])
        return np.broadcast_to(spread, shape).copy()

    def __repr__(self) -> str:
        before = ", before_pooling=True" if self.before_pooling else ""
        return f"{type(self).__name__}(seed={self.seed}, shared={self.shared}{before})"


class DirectFeedbackAlignment(DirectRouter):
    r"""Send ``e B_k`` to the input of each weighted layer k, B_k fixed and random.

    e = dL/dlogits of shape (N, C) is the gradient at the output layer. The projection replaces the
    signal at the input of each weighted layer, which is the output of the hidden unit below, after
    its activation and pooling; from there to the unit's own pre-activation the exact Jacobians
    apply. So no error has to pass through the layers between. Where several paths go up from that
    input, what they bring is summed: projections of other weighted layers, a skip's signal.

    Parameters
    ----------
    seed : int, default 0
        Of the matrices; each depends on the seed and its layer's name only.
    shared : bool, default False
        Whether all positions of a picture share one projection (C, channels). By default each has
        its own, (C, H * W * channels): 5.6 MB for all of ELU-11.
    distribution : Initializer, optional
        Draws the B_k, by default `LeCun("uniform")`: U(-sqrt(3/C), sqrt(3/C)), so that e keeps its
        scale. Publications differ in it, and it acts like a learning rate per layer.
    before_pooling : bool, default False
        Whether it projects to the hidden unit's end (its activation), past the pooling that follows
        it; what lies between, dropout and reshaping too, is passed over and gets zeros. B_k has
        the size of that end: 14.0 MB for all of ELU-11. Where paths meet or part between the
        two, or an activation or a layer that learns lies there, it projects to the weighted
        layer's input after all.

    Attributes
    ----------
    B : dict of str to array
        By the name of the weighted layer above the projection; there from the first backward pass
        on.

    References
    ----------
    Nokland, "Direct Feedback Alignment Provides Learning in Deep Neural Networks", NIPS 2016,
    arXiv:1609.01596.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.DirectFeedbackAlignment(seed=1)
    DirectFeedbackAlignment(seed=1, shared=False)
    """

    def message(self, error: Array) -> Array:
        """Return e itself."""
        return error


def _summed(dy: Array) -> Array:
    """Return e of shape (N, C): for an output over positions that are pooled later, their sum."""
    summed: Array = dy.sum(axis=tuple(range(1, dy.ndim - 1)))
    return summed
