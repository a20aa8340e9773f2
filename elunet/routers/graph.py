"""A network's graph as rules need it: each layer's place, and the hidden units.

A hidden unit is a weighted layer with the layers after it that work number by number (activations,
dropout, BatchNorm), on one path. Its end is where the hidden layer's activity leaves it, before
pooling.
"""

from __future__ import annotations

from operator import is_
from typing import Any

from elunet.graph import Node
from elunet.layers.base import Layer
from elunet.network import Network


class Graph:
    """A network's graph, read once; valid until layers or outputs change.

    Attributes
    ----------
    nodes : dict of str to Node
        The layers by name, in forward order.
    inputs : dict of str to list of str
        Of each layer's inputs those at or below which something learns: it sends to these.
    place : dict of str to int
        The layers' places in forward order, from 0.
    ends : set of str
        Names of the layers at which a unit ends.

    Parameters
    ----------
    net : Network

    Examples
    --------
    >>> import elunet as eln
    >>> net = eln.models.small_cnn(seed=0)
    >>> graph = eln.routers.Graph(net)
    >>> sorted(graph.ends), graph.above("elu1", past_pooling=True), graph.output_layer().name
    (['elu1', 'elu2', 'elu3', 'linear1'], 'elu2', 'linear1')
    """

    def __init__(self, net: Network) -> None:
        self.net = net
        self.nodes = {node.name: node for node in net.nodes}
        self._by_layer = {id(node.layer): node for node in net.nodes}
        self.place = {name: index for index, name in enumerate(self.nodes)}
        self._outputs = net.outputs
        self._takers: dict[str, list[Node]] = {name: [] for name in self.nodes}
        self.inputs: dict[str, list[str]] = {}
        for node in net.nodes:
            inside = [source for source in node.inputs if source in self.nodes]
            self.inputs[node.name] = [name for name in inside if self.nodes[name].learns]
            for source in inside:
                self._takers[source].append(node)
        self.ends = {self._end(node) for node in net.nodes if node.layer.weighted}

    def fits(self, net: Network) -> bool:
        """Return whether it is the graph of this network as it is now."""
        same = net is self.net and len(net.nodes) == len(self.nodes)
        same = same and net.outputs == self._outputs
        return same and all(map(is_, net.nodes, self.nodes.values()))

    def node_of(self, layer: Layer) -> Node:
        """Return a layer's place."""
        return self._by_layer[id(layer)]

    def output_layer(self) -> Node:
        """Return the weighted layer nearest to the output.

        Raises
        ------
        ValueError
            If there is none.
        """
        for node in reversed(self.nodes.values()):
            if node.layer.weighted:
                return node
        raise ValueError("router: expected a network with a weighted layer, got none")

    def above(self, end: str, past_pooling: bool = False) -> str | None:
        """Return the end of the next unit, if it alone takes this unit's output; else None.

        With `past_pooling` other layers may lie between, on the same one path.
        """
        taker = self._only_taker(end)
        while past_pooling and taker and not taker.layer.weighted and len(taker.inputs) == 1:
            taker = self._only_taker(taker.name)
        return self._end(taker) if taker and taker.layer.weighted else None

    def below(self, node: Node) -> str:
        """Return the end of the unit before a weighted layer, across pooling and the like.

        It is the layer's own input where there is no such unit: where paths meet or part on the
        way, or an activation or a layer that learns lies between.
        """
        name = node.inputs[0]
        while name in self.nodes and self._only_taker(name):
            if name in self.ends:
                return name
            between = self.nodes[name]
            passed = not between.layer.pointwise or between.layer.rng is not None
            if between.layer.params or len(between.inputs) != 1 or not passed:
                break
            name = between.inputs[0]
        return node.inputs[0]

    def _end(self, node: Node) -> str:
        taker = self._only_taker(node.name)
        while taker and taker.layer.pointwise:
            node = taker
            taker = self._only_taker(node.name)
        return node.name

    def _only_taker(self, name: str) -> Node | None:
        takers = self._takers[name]  # and the loss takes the outputs
        return takers[0] if len(takers) == 1 and name not in self._outputs else None

    def __reduce__(self) -> tuple[Any, ...]:
        return Graph, (self.net,)  # a copy is made of the copied network, whose layers are others
