"""Mixed: different rules for different layers of one network."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, ClassVar

from elunet._types import Array
from elunet.graph import Node
from elunet.layers.base import Layer
from elunet.network import Network
from elunet.routers.base import Path, Router
from elunet.routers.holder import Holder

PLAIN = Router()  # for layers that no pattern matches


class Mixed(Holder):
    """Let each layer follow the rule of the first pattern that matches its name.

    A rule decides what its layers send back and what arrives at them; its shortcuts may begin and
    end at layers of other rules. Layers that work number by number (activations, dropout,
    BatchNorm) go with the layer before them, whatever their own names.

    Parameters
    ----------
    rules : dict of {pattern: Router}
        Patterns are those of `fnmatch`, on layer names: ``{"conv1*": Backprop(), "*":
        FeedbackAlignment()}``. A layer that no pattern matches follows backpropagation.

    Raises
    ------
    TypeError
        If `rules` is not a dict, a pattern no text, or a rule no router, or one that is more than
        its hooks (`GradientNoise`, `NormMatched`).
    ValueError
        In `backward`, if a pattern is the first match of no layer, activations left out.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.Mixed({"linear*": eln.routers.FeedbackAlignment(seed=1)}).rule_for("linear3")
    FeedbackAlignment(seed=1)
    """

    def __init__(self, rules: Mapping[str, Router]) -> None:
        if not isinstance(rules, Mapping):
            raise TypeError(f"Mixed: expected rules as {{pattern: router}}, got {rules!r}")
        for pattern, rule in rules.items():
            if not isinstance(pattern, str):
                raise TypeError(
                    f"Mixed: expected patterns as strings, got {pattern!r} for {rule!r}"
                )
            if not isinstance(rule, Router):
                raise TypeError(f"Mixed: expected a Router for {pattern!r}, got {rule!r}")
            kind = type(rule)
            whole = [name for name in ("forward", "backward", "predict") if _owns(kind, name)]
            if whole:
                raise TypeError(
                    "Mixed: expected rules that override hooks of single layers only, got"
                    f" {rule!r} for {pattern!r}, which overrides {' and '.join(whole)}; put"
                    " it around the Mixed instead"
                )
        super().__init__(rules)

    @property
    def rules(self) -> dict[str, Router]:
        """The rules by pattern."""
        return self.held

    def rule_for(self, name: str) -> Router:
        """Return the rule of the first pattern that matches a name."""
        return self.rules.get(_first(tuple(self.rules), name), PLAIN)

    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Check that every pattern is the first that matches some layer."""
        names = [node.name for node in net.nodes if not node.layer.pointwise]
        taken = {self._followed[name] for name in names}
        for pattern in self.rules:
            if pattern not in taken:
                raise ValueError(
                    f"Mixed: expected each pattern to be the first that matches a layer among"
                    f" {names}, got {pattern!r}; put specific patterns before general ones"
                )

    @property
    def wants(self) -> bool:  # type: ignore[override]
        """Whether one of the rules wants layers' values."""
        return any(rule.wants for rule in self.rules.values())

    def end(self, net: Network) -> None:
        """End the walk of every rule."""
        for rule in self.rules.values():
            rule.end(net)

    def weight(self, layer: Layer) -> Array | None:
        """Ask the layer's rule."""
        return self._rule_of(layer).weight(layer)

    def send(self, layer: Layer, dy: Array) -> Array:
        """Ask the layer's rule."""
        return self._rule_of(layer).send(layer, dy)

    def arrive(self, layer: Layer, dy: Array) -> Array:
        """Ask the rule of the layer whose unit this one belongs to."""
        return self._rule_of(layer).arrive(layer, dy)

    def learn(self, layer: Layer, dy: Array) -> None:
        """Ask the rule of the layer, or of the layer whose unit it belongs to."""
        self._rule_of(layer).learn(layer, dy)

    def shortcuts(self, net: Network) -> dict[str, Path]:
        """Return the shortcuts of each layer's rule."""
        found = {pattern: rule.shortcuts(net) for pattern, rule in self.rules.items()}
        taken = {name: found.get(p, {}).get(name) for name, p in self._patterns(net).items()}
        return {name: way for name, way in taken.items() if way is not None}

    def feedback_weight(self, net: Network, name: str) -> Array | None:
        """Ask the layer's rule."""
        return self.rule_for(name).feedback_weight(net, name)

    def forward_weight(self, net: Network, name: str) -> Array | None:
        """Ask the layer's rule."""
        return self.rule_for(name).forward_weight(net, name)

    def _start(
        self,
        net: Network,
        dy: Array | tuple[Array, ...],
        target: Array | None,
        signals: dict[str, Array],
    ) -> None:
        """Start every rule too; they share the walk's signals."""
        for rule in self.rules.values():
            rule.epoch, rule._values = self.epoch, self._values
            rule.tell(self.loss)
            rule._start(net, dy, target, signals)
        self._followed = self._patterns(net)
        super()._start(net, dy, target, signals)

    def _own(self, hook: str) -> bool:
        return super()._own(hook) or any([rule._own(hook) for rule in self.rules.values()])

    def _replaced(self, net: Network) -> set[str]:
        replaced = {pattern: rule._replaced(net) for pattern, rule in self.rules.items()}
        return {name for name, p in self._patterns(net).items() if name in replaced.get(p, ())}

    def _kind(self, node: Node) -> str:
        return self.rule_for(node.name)._kind(node)

    def _rule_of(self, layer: Layer) -> Router:
        return self.rules.get(self._followed[self.name_of(layer)], PLAIN)

    def _patterns(self, net: Network) -> dict[str, str]:
        """Return the pattern that each layer follows; a pointwise one goes with that before it."""
        patterns, found = tuple(self.rules), dict[str, str]()
        for node in net.nodes:
            before = node.inputs[0]
            along = node.layer.pointwise and before in found
            found[node.name] = found[before] if along else _first(patterns, node.name)
        return found

    _plain: ClassVar[dict[str, Any]] = {
        "weight": weight,
        "send": send,
        "arrive": arrive,
        "learn": learn,
    }

    def __repr__(self) -> str:
        return f"Mixed({self.rules!r})"


def _owns(kind: type[Router], name: str) -> bool:
    return getattr(kind, name) is not getattr(Router, name)


@lru_cache(10_000)
def _first(patterns: tuple[str, ...], name: str) -> str:
    """Return the first pattern that matches a name; "" if none does."""
    return next((pattern for pattern in patterns if fnmatchcase(name, pattern)), "")
