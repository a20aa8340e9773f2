"""The graph of a network: layers with names and inputs.

Nothing is computed here. A layer is added after its inputs, so the layers can run in the order in
which they were added. `Network` makes its passes through this graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from elunet import _display
from elunet._checks import seed as checked_seed
from elunet._types import Array, Seed
from elunet.engine.plan import Stage
from elunet.layers import twins
from elunet.layers.base import Layer
from elunet.layers.spans import carries, starts

INPUT = "input"


class Node(NamedTuple):
    """A layer in its place: its name, and the names of its inputs."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    learns: bool  # whether it or anything below it has parameters
    home: str  # where the layer stands for the first time: its own name, unless it is shared

    @property
    def shared(self) -> bool:
        """Whether the layer shares its parameters with an earlier place, its home."""
        return self.home != self.name

    @property
    def about(self) -> str:
        """The layer as it prints, and whose weights it shares."""
        return f"{self.layer!r}{f', shared with {self.home}' if self.shared else ''}"


class LayerGraph:
    """Named layers in forward order; `Network` describes them."""

    def __init__(self, seed: Seed = None) -> None:
        self.nodes: list[Node] = []
        self._by_name: dict[str, Node] = {}
        self._seed = checked_seed(type(self).__name__, seed)
        self._plans: dict[Any, Any] = {}
        self._places: dict[int, int] = {}  # of layers, by id
        self._kinds = Counter[type]()  # how many layers there are of each class
        self._outputs: tuple[str, ...] = ()  # as they were set; () for the last layer

    def _changed(self) -> None:
        """Drop what was computed for the old graph."""
        self._plans = {}

    def add(
        self, layer: Layer, name: str | None = None, inputs: str | Sequence[str] | None = None
    ) -> str:
        """Add a layer and return its name.

        Parameters
        ----------
        layer : Layer
            One that is in the network already shares its weights with the new place.
        name : str, optional
            By default kind and count: conv1, elu1, conv2.
        inputs : str or sequence of str, optional
            Names of what the layer takes, "input" for the network's own; by default what was added
            last. A layer with several gets a tuple.

        Raises
        ------
        TypeError, ValueError
            If the layer is not a layer, the name is taken, an input unknown, or the layer is there
            already and cannot be copied.
        """
        if not isinstance(layer, Layer):
            raise TypeError(
                f"Network.add: expected layer as a Layer, got {layer!r}; a custom layer"
                " subclasses elunet.layers.Layer"
            )
        if not hasattr(layer, "params"):
            raise TypeError(
                f"Network.add: expected layer to have params, got a {type(layer).__name__}"
                " without; its __init__ has to call super().__init__() first"
            )
        if not _takes_train(type(layer)):  # type: ignore[arg-type]
            raise TypeError(
                f"Network.add: expected {type(layer).__name__} with forward(self, x, train=False),"
                f" got forward{signature(type(layer).forward)}"
            )
        place = self._place(layer)
        name = self._check_name(self._default_name(layer) if name is None else name)
        if inputs is None:
            inputs = self.nodes[-1].name if self.nodes else INPUT
        taken = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        if not taken:
            raise ValueError(f"Network.add: expected at least one input of {name}, got none")
        for source in taken:
            if source != INPUT and source not in self._by_name:
                raise ValueError(
                    f"Network.add: expected inputs of {name} among {[INPUT, *self.names]},"
                    f" got {source!r}"
                )
        home = name if place is None else self.nodes[place].home
        if place is not None:
            layer = twins.sharing(self[home], f"Network.add: {name}")
        elif layer.seed is None:  # now it gets one, so that no other network draws it again
            layer.seed = _child(self._seed, len(self.nodes))
            if self._seed is not None:
                layer.reset(layer.seed)
        below = any(source != INPUT and self._by_name[source].learns for source in taken)
        node = Node(name, layer, taken, bool(layer.params) or below, home)
        self._places[id(layer)] = len(self.nodes)
        self._kinds[type(layer)] += 1
        self.nodes.append(node)
        self._by_name[name] = node
        self._changed()
        return name

    @property
    def homes(self) -> list[Node]:
        """The places except those of shared layers; they give arrays their names."""
        return [node for node in self.nodes if not node.shared]

    @property
    def layers(self) -> list[Layer]:
        """The layers in forward order."""
        return [node.layer for node in self.nodes]

    @property
    def names(self) -> list[str]:
        """The layers' names in forward order."""
        return [node.name for node in self.nodes]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the layers whose outputs are the network's, by default the last one.

        ``net.outputs = ["class", "box"]`` sets others, once these layers are there. With several,
        `forward` returns a tuple and `backward` takes a tuple of gradients, in this order. An
        output may also be taken by other layers; its gradient is then added to theirs.

        Raises
        ------
        TypeError, ValueError
            On setting, if it is not a sequence of different names of layers.
        """
        return self._outputs or ((self.nodes[-1].name,) if self.nodes else ())

    @outputs.setter
    def outputs(self, names: Sequence[str]) -> None:
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise TypeError(f"Network: expected outputs as a list of layers' names, got {names!r}")
        chosen = tuple(names)
        unknown = [name for name in chosen if name not in self._by_name]
        if unknown or not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(
                f"Network: expected outputs as different names among {self.names}, got {chosen}"
            )
        self._outputs = chosen
        self._changed()

    def __getitem__(self, name: str) -> Layer:
        """Return the layer of this name."""
        if name not in self._by_name:
            raise KeyError(f"Network: expected one of {self.names}, got {name!r}")
        return self._by_name[name].layer

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Layer]:
        """Go through the layers in forward order."""
        return iter(self.layers)

    def __contains__(self, item: object) -> bool:
        """Whether there is a layer of this name, or this very layer."""
        return any(item == node.name or item is node.layer for node in self.nodes)

    def parameters(self) -> dict[str, Array]:
        """Return {"conv1.W": array, ...} in forward order: the live arrays."""
        return {
            f"{node.name}.{key}": value
            for node in self.homes
            for key, value in node.layer.params.items()
        }

    def expect_one_output(self, owner: str) -> None:
        """Raise a ValueError, which begins with `owner`, if there are several outputs."""
        if len(self.outputs) > 1:
            raise ValueError(
                f"{owner}: expected a network with one output, got {', '.join(self.outputs)}"
            )

    def __repr__(self) -> str:
        lines = [f"  {node.name}: {node.about} of {', '.join(node.inputs)}" for node in self.nodes]
        if self._outputs:
            lines.append(f"  outputs: {', '.join(self._outputs)}")
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def _repr_html_(self) -> str:
        return _display.network(self)

    def turns(self, make: Callable[..., Any], *how: Any) -> Any:
        """Return the turns of a pass, computed once for each kind of pass."""
        started = starts(node.layer for node in self.nodes)
        turns = self._plans.get((make, how, started))
        if turns is None:
            if not self.nodes:
                raise RuntimeError("Network: expected at least one layer, got none; use add(layer)")
            stages = [
                Stage(node.name, node.inputs, its, node.learns, carries(node.layer, its))
                for node, its in zip(self.nodes, started, strict=True)
            ]
            turns = self._plans[make, how, started] = make(stages, *how)
        return turns

    def _default_name(self, layer: Layer) -> str:
        kind = type(layer).__name__.lower().removesuffix("2d")
        number = 1 + self._kinds[type(layer)]
        while f"{kind}{number}" in self._by_name:
            number += 1
        return f"{kind}{number}"

    def _place(self, layer: Layer) -> int | None:
        """Return a layer's place; None if it has none."""
        if len(self._places) != len(self.nodes):  # in a copy, or after somebody changed `nodes`
            self._places = {id(node.layer): k for k, node in enumerate(self.nodes)}
            self._kinds = Counter(type(node.layer) for node in self.nodes)
        return self._places.get(id(layer))

    def __getstate__(self) -> dict[str, Any]:
        """Return the content of a copy; it has its own lists, to which layers can be added."""
        own = {"nodes": [*self.nodes], "_by_name": {**self._by_name}, "_plans": {}}
        return {**vars(self), **own, "_places": {}, "_kinds": Counter()}

    def _check_name(self, name: str) -> str:
        # A dot parts a layer from its arrays, others are patterns', a dollar is a formula's in
        # figures, and what cannot be printed (lone surrogates) cannot be written to a file either.
        fine = isinstance(name, str) and name.isprintable() and not set(name) & set(".*?[]$")
        if not fine or not name or name == INPUT:
            raise ValueError(
                'Network.add: expected name as printable text without any of ".*?[]$", not'
                f' "{INPUT}", got {name!r}'
            )
        if name in self._by_name:
            raise ValueError(f"Network.add: expected a new name, got {name!r}, which is taken")
        return name


@cache
def _takes_train(kind: type[Layer]) -> bool:
    """Return whether forward can be called as a network calls it: forward(x, train)."""
    try:
        signature(kind.forward).bind(None, None, False)
    except TypeError:
        return False
    return True


def _child(seed: Seed, place: int) -> np.random.SeedSequence:
    """Return the seed of the layer at this place; it does not depend on the other layers."""
    if isinstance(seed, np.random.Generator):
        return np.random.SeedSequence(int(seed.integers(1 << 62)))
    parent = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    key = (*parent.spawn_key, place)
    return np.random.SeedSequence(parent.entropy, spawn_key=key)
