"""What rules ask that are defined on chains: the units, and parts of them as networks."""

from __future__ import annotations

from collections.abc import Iterable

from elunet.graph import Node
from elunet.network import Network, Sequential


class Chain:
    """A network in which each layer takes what the one before gives, cut into units.

    A unit is a weighted layer with all layers after it, up to the next weighted one.

    Parameters
    ----------
    net : Network
    owner : str
        Whose name stands in an error message.
    rows : bool, default False
        Whether only matrices will do as weights, as Linear has.
    random : bool, default False
        Whether layers that draw in training (dropout) will do.

    Attributes
    ----------
    before : list of Node
        The layers before the first weighted one.
    units : list of list of Node

    Raises
    ------
    ValueError
        If the network is no such chain; what is in the way is named.
    """

    def __init__(self, net: Network, owner: str, rows: bool = False, random: bool = False) -> None:
        net.expect_one_output(owner)
        starts = []
        for place, node in enumerate(net.nodes):
            layer, about = node.layer, f"got {node.name}, {node.about}"
            last = net.nodes[place - 1].name if place else "input"
            if node.inputs != (last,) or node.shared:
                raise ValueError(
                    f"{owner}: expected a chain of different layers, each taking what the one"
                    f" before gives, {about} of {', '.join(node.inputs)}"
                )
            if (layer.params or layer.state) and not layer.weighted:
                raise ValueError(
                    f"{owner}: expected no other than weighted layers to learn or keep statistics,"
                    f" {about}"
                )
            if rows and layer.weighted and layer.params["W"].ndim != 2:
                raise ValueError(f"{owner}: expected Linear as weighted layers, {about}")
            if layer.rng is not None and not random:
                raise ValueError(f"{owner}: expected no layer that draws in training, {about}")
            if layer.weighted:
                starts.append(place)
        if net.outputs != (net.names[-1],) or not starts:
            raise ValueError(
                f"{owner}: expected a chain with weighted layers that ends in the network's output,"
                f" got {net.names} with the output {', '.join(net.outputs)}"
            )
        self.before = net.nodes[: starts[0]]
        ends = [*starts[1:], len(net.nodes)]
        self.units = [net.nodes[a:b] for a, b in zip(starts, ends, strict=True)]

    @property
    def weighted(self) -> list[Node]:
        """The weighted layers."""
        return [unit[0] for unit in self.units]


def part(net: Network, nodes: Iterable[Node]) -> Network:
    """Return some layers of a twin, found there by name, as a network of their own."""
    return Sequential([net[node.name] for node in nodes])
