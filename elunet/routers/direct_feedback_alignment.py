"""Direct feedback alignment: the output's error goes straight to every hidden layer."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from elunet._checks import integer
from elunet._quiet import quiet
from elunet._types import Array, Shape
from elunet.init import Initializer, Uniform
from elunet.layers.base import Layer
from elunet.network import Network
from elunet.routers.base import Path
from elunet.routers.random_router import RandomRouter, generator, given


class DirectFeedbackAlignment(RandomRouter):
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
        Whether all positions of an image share one projection (C, channels). By default each has
        its own, (C, H * W * channels): 5.6 MB for all of ELU-11.
    distribution : Initializer, optional
        Draws the B_k, by default U(-sqrt(3/n), sqrt(3/n)) for n numbers of the layer's input, so
        that an image's signal is as long as its e. Publications differ in it, and it acts like a
        learning rate per layer.
    scale : float, default 1.0
        A factor of what is drawn.
    before_pooling : bool, default False
        Whether it projects to the hidden unit's end (its activation), past the pooling that follows
        it; what lies between, dropout and reshaping too, is passed over and gets zeros. B_k has
        the size of that end: 14.0 MB for all of ELU-11. Where paths meet or part between the
        two, or an activation or a layer that learns lies there, it projects to the weighted
        layer's input after all.
    connections : int, optional
        How many of e's C numbers each number of the projection is made of, drawn at random; the
        rest of B_k is 0, and what is drawn is multiplied by sqrt(C / connections), so that signals
        stay as long. By default it is all C; 1 is the sparsest.

    Attributes
    ----------
    B : dict of str to array
        By the name of the weighted layer after the projection; present from the first backward pass
        on.

    Raises
    ------
    TypeError, ValueError
        If `seed`, `scale` or `connections` is out of range; in `backward`, if there are more
        `connections` than C, or several outputs.

    References
    ----------
    Nokland, "Direct Feedback Alignment Provides Learning in Deep Neural Networks", NIPS 2016,
    arXiv:1609.01596. Sparse: Crafton, Parihar, Gebhardt, Raychowdhury, "Direct Feedback Alignment
    With Sparse Connections for Local Learning", Frontiers in Neuroscience 13, 2019,
    10.3389/fnins.2019.00525, arXiv:1903.02083.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.DirectFeedbackAlignment(seed=1)
    DirectFeedbackAlignment(seed=1, shared=False)
    """

    source: str | None = None  # where the shortcuts begin; None is the output layer

    def __init__(
        self,
        seed: int = 0,
        shared: bool = False,
        distribution: Initializer | None = None,
        before_pooling: bool = False,
        scale: float = 1.0,
        connections: int | None = None,
    ) -> None:
        super().__init__(seed, distribution, scale)
        self.shared = bool(shared)
        self.before_pooling = bool(before_pooling)
        if connections is not None:
            connections = integer(type(self).__name__, "connections", connections)
        self.connections = connections

    @property
    def B(self) -> dict[str, Array]:  # noqa: N802 - a matrix's name
        """The projections, by the name of the weighted layer after them."""
        return self.drawn

    @quiet
    def matrix(self, name: str, shape: Shape, *key: int) -> Array:
        """Return a layer's matrix, with the given number of nonzero entries in each column.

        Raises
        ------
        ValueError
            If there is one of another shape, or it has too few rows.
        """
        C, taken, new = shape[0], self.connections, name not in self.drawn
        if taken is not None and taken > C:
            raise ValueError(
                f"{self!r}: expected at most as many connections as outputs, {C}, got {taken}"
            )
        B = super().matrix(name, shape, *key)
        if new and taken is not None:
            places = generator(self.seed, name, *key, 1).random(shape).argsort(axis=0)
            B *= np.where(places < taken, math.sqrt(C / taken), 0)
        return B

    def shortcuts(self, net: Network) -> dict[str, Path]:
        """Return a shortcut to each weighted layer's input."""
        net.expect_one_output(repr(self))  # whose error, or target, goes to every layer
        graph = self.graph(net)
        source = graph.output_layer().name if self.source is None else self.source
        found = {}
        for name, node in graph.nodes.items():
            if node.layer.weighted and graph.inputs[name]:
                target = graph.below(node) if self.before_pooling else node.inputs[0]
                found[name] = Path(source, target, "direct")
        return found

    def message(self, source: str) -> Array:
        """Return the projected error, (N, C): e, summed over positions that are pooled later."""
        e = self.signals[source]
        message: Array = e.sum(axis=tuple(range(1, e.ndim - 1)))
        return message

    def feedback_weight(self, net: Network, name: str) -> Array | None:
        """Return B_k, (C, numbers of the layer's input)."""
        return self.drawn.get(name)

    @quiet
    def forward_weight(self, net: Network, name: str) -> Array | None:
        """Return the transposed product of all W from this layer on, in a chain of Linear.

        It is what B_k stands for: with slopes of 1 between, backpropagation sends e through it.
        """
        graph, product = self.graph(net), None
        nodes = net.nodes[graph.place[name] :]
        chain = all(node.inputs == (below.name,) for below, node in pairwise(nodes))
        if not chain or not all(n.layer.params["W"].ndim == 2 for n in nodes if n.layer.weighted):
            return None
        for node in nodes:
            if node.layer.weighted:
                W = node.layer.params["W"]
                product = W if product is None else product @ W
        return None if product is None else product.T

    @quiet
    def send(self, layer: Layer, dy: Array) -> Array:
        """Return the projection, or zeros if it belongs to an earlier layer."""
        node, way, shapes = self.node_of(layer), self.shortcut_at(layer), self.net.shapes
        if way is None:
            return super().send(layer, dy)
        message = self.message(way.source).astype(dy.dtype, copy=False)
        projection = self._projected(message, node.name, shapes[way.target])
        if way.target == node.inputs[0]:
            return projection
        self.signals[way.target] = projection
        return np.zeros(shapes[node.inputs[0]], dy.dtype)

    def draws(self, name: str, shape: Shape) -> Initializer:
        """Return U(-sqrt(3/n), sqrt(3/n)) for n numbers at the end of the layer's path."""
        bound = math.sqrt(3 / math.prod(self.net.shapes[self._shortcuts[name].target][1:]))
        return Uniform(-bound, bound)

    def _projected(self, message: Array, name: str, shape: Shape) -> Array:
        """Return the message through a layer's B_k, in this shape."""
        size = shape[-1] if self.shared else math.prod(shape[1:])
        B = self.matrix(name, (message.shape[1], size)).astype(message.dtype, copy=False)
        sent: Array = message @ B
        if not self.shared:
            return sent.reshape(shape)
        everywhere = sent.reshape(len(sent), *(1,) * (len(shape) - 2), shape[-1])
        return np.broadcast_to(everywhere, shape).copy()

    def __repr__(self) -> str:
        before = ", before_pooling=True" if self.before_pooling else ""
        sparse = "" if self.connections is None else f", connections={self.connections}"
        name = type(self).__name__
        return f"{name}(seed={self.seed}, shared={self.shared}{before}{sparse}{given(self)})"
