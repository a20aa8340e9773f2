"""Units: a weighted layer with the layers after it that work number by number, on one path.

They are what a rule means that speaks of hidden layers: the unit's end is where a hidden layer's
activity leaves it, before pooling.
"""

from __future__ import annotations

from elunet.network import Network, Node


class Units:
    """A network's units, and which follows which.

    Attributes
    ----------
    ends : set of str
        Names of the layers at which a unit ends.
    """

    def __init__(self, net: Network) -> None:
        self._nodes = {node.name: node for node in net.nodes}
        self._takers: dict[str, list[Node]] = {name: [] for name in self._nodes}
        for node in net.nodes:
            for source in node.inputs:
                if source in self._takers:
                    self._takers[source].append(node)
        self.ends = {self._end(node) for node in net.nodes if node.layer.weighted}

    def above(self, end: str, past_pooling: bool = False) -> str | None:
        """Return the end of the unit that alone takes this unit's output; None if none does.

        With `past_pooling` other layers may lie between, on the same one path.
        """
        taker = self._only_taker(end)
        while past_pooling and taker and not taker.layer.weighted and len(taker.inputs) == 1:
            taker = self._only_taker(taker.name)
        return self._end(taker) if taker and taker.layer.weighted else None

    def below(self, node: Node) -> str:
        """Return the end of the unit below a weighted layer, past pooling, reshaping and dropout.

        It is the layer's own input where there is no such unit: where paths meet or part on the
        way, or an activation or a layer that learns lies between.
        """
        name = node.inputs[0]
        while name in self._nodes and self._only_taker(name):
            if name in self.ends:
                return name
            between = self._nodes[name]
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
        takers = self._takers[name]
        return takers[0] if len(takers) == 1 else None


def output_layer(net: Network) -> Node:
    """Return the weighted layer nearest to the output.

    Raises
    ------
    ValueError
        If there is none.
    """
    for node in reversed(net.nodes):
        if node.layer.weighted:
            return node
    raise ValueError("router: expected a network with a weighted layer, got none")
