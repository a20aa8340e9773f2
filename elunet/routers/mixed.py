"""Mixed: different rules for different layers of one network."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from elunet._types import Array
from elunet.layers.base import Layer
from elunet.network import Network, Node
from elunet.routers.base import Path, Router
from elunet.routers.holder import Holder


class Mixed(Holder):
    """Let each layer follow the rule of the first pattern that matches its name.

    A rule decides what its layers send down and what arrives at them; all rules see the whole
    network. Layers that work number by number (activations, dropout, BatchNorm) go with the layer
    before them, whatever their own names.

    Parameters
    ----------
    rules : dict of {pattern: Router}
        Patterns are those of `fnmatch`, on layer names: ``{"conv1*": Backprop(), "*":
        FeedbackAlignment()}``. A layer that no pattern matches follows backpropagation.

    Raises
    ------
    TypeError
        If a rule is no router, or one that is more than its hooks (`GradientNoise`, `NormMatched`).
    ValueError
        In `backward`, if a pattern is the first match of no layer, activations left out.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.Mixed({"linear*": eln.routers.FeedbackAlignment(seed=1)}).rule_for("linear3")
    FeedbackAlignment(seed=1, distribution=He(distribution='normal'))
    """

    def __init__(self, rules: Mapping[str, Router]) -> None:
        for pattern, rule in rules.items():
            if not isinstance(rule, Router):
                raise TypeError(f"Mixed: expected a Router for {pattern!r}, got {rule!r}")
            if type(rule).backward is not Router.backward:
                raise TypeError(
                    f"Mixed: expected rules that only decide what is sent and what arrives, got"
                    f" {rule!r} for {pattern!r}; put it around the Mixed instead"
                )
        super().__init__(rules)

    @property
    def rules(self) -> dict[str, Router]:
        """The rules by pattern."""
        return self.held

    def begin(self, net: Network, dy: Array, target: Array | None) -> None:
        """Let every rule prepare."""
        names = [node.name for node in net.nodes if not node.layer.pointwise]
        taken = [next((p for p in self.rules if fnmatchcase(name, p)), None) for name in names]
        for pattern, rule in self.rules.items():
            if pattern not in taken:
                raise ValueError(
                    f"Mixed: expected each pattern to be the first that matches a layer among"
                    f" {names}, got {pattern!r}; put the special ones before the general"
                )
            rule.epoch = self.epoch
            rule.enter(net, dy, target)

    def rule_for(self, name: str) -> Router:
        """Return the rule of the first pattern that matches a name."""
        for pattern, rule in self.rules.items():
            if fnmatchcase(name, pattern):
                return rule
        return Router()

    def send(self, layer: Layer, dy: Array) -> Array:
        """Ask the layer's rule."""
        return self.rule_for(self.name_of(layer)).send(layer, dy)

    def arrive(self, layer: Layer, dy: Array) -> Array:
        """Ask the rule of the layer whose unit this one belongs to."""
        return self._rule_of(self.net, self.node_of(layer)).arrive(layer, dy)

    def deliver(self, layer: Layer, dy: Array) -> Array:
        """Let every rule hand over what it sent past layers."""
        for rule in self.rules.values():
            dy = rule.deliver(layer, dy)
        return dy

    def hear(self, layer: Layer, dy: Array) -> None:
        """Let every rule look on."""
        for rule in self.rules.values():
            rule.hear(layer, dy)

    def end(self) -> None:
        """Let every rule let go."""
        for rule in self.rules.values():
            rule.end()

    def feedback_weight(self, net: Network, name: str) -> Array | None:
        """Ask the layer's rule."""
        return self.rule_for(name).feedback_weight(net, name)

    def links(self, net: Network, node: Node) -> list[Path]:
        """Ask the rule of the layer whose unit this one belongs to."""
        return self._rule_of(net, node).links(net, node)

    def _rule_of(self, net: Network, node: Node) -> Router:
        nodes = {node.name: node for node in net.nodes}
        while node.layer.pointwise and node.inputs[0] in nodes:
            node = nodes[node.inputs[0]]
        return self.rule_for(node.name)

    def __repr__(self) -> str:
        return f"Mixed({self.rules!r})"
