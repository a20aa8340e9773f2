"""Chains of layers, for rules that need them: their units, and parts of them as networks."""

from __future__ import annotations

from collections.abc import Iterable

from elunet.graph import Node
from elunet.network import Network, Sequential


class Chain:
    """A network in which each layer takes the output of the previous one, cut into units.

    A unit is a weighted layer with all layers after it, up to the next weighted one.

    Parameters
    ----------
    net : Network
    owner : str
        The name at the start of an error message.
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
        If the network is not such a chain; the message names the layer.
    """

    def __init__(self, net: Network, owner: str, rows: bool = False, random: bool = False) -> None:
        net.expect_one_output(owner)
        starts = []
        for place, node in enumerate(net.nodes):
            layer, about = node.layer, f"got {node.name}, {node.about}"
            last = net.nodes[place - 1].name if place else "input"
            if node.inputs != (last,) or node.shared:
                raise ValueError(
                    f"{owner}: expected a chain of different layers, each taking the output"
                    f" of the previous one, {about} of {', '.join(node.inputs)}"
                )
            if (layer.params or layer.state) and not layer.weighted:
                raise ValueError(
                    f"{owner}: expected only weighted layers to have parameters or"
                    f" statistics, {about}"
                )
            if rows and layer.weighted and layer.params["W"].ndim != 2:
                raise ValueError(f"{owner}: expected only Linear as weighted layers, {about}")
            if layer.rng is not None and not random:
                raise ValueError(
                    f"{owner}: expected no layer that draws random numbers in training, {about}"
                )
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
