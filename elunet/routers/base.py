"""A router decides what signal each layer learns from; no layer knows that routers exist.

All rules share one reverse walk over the network, `Network.walk`. A rule is a subclass that
overrides one or two small hooks: `send`, what goes down from a weighted layer, and `arrive`, what
reaches a layer's output; one that remembers signals takes them in `hear`, one that sends past
layers hands them over in `deliver`. The gradients of a layer's own parameters are always exact,
given the signal that arrives.
"""

from __future__ import annotations

import copy
from functools import cache
from inspect import signature
from typing import Any, ClassVar, NamedTuple, Self

from elunet._checks import integer
from elunet._types import Array
from elunet.layers.base import Layer
from elunet.network import Arrive, Network, Node, Tap
from elunet.routers.memory import Check, count


class Path(NamedTuple):
    """One way that a signal takes down through a network, between two layers' outputs.

    Attributes
    ----------
    source, target : str
        Names of layers; the source may be "target", for a rule that sends the targets.
    kind : str
        "exact", through the layer's own transposed Jacobian; "feedback", from a weighted layer in
        the rule's own way, such as through another matrix than W; "direct", past all layers
        between; "dilated", added to what comes down otherwise.

    Examples
    --------
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(4, 3), eln.layers.ELU(), eln.layers.Linear(3, 2)])
    >>> eln.routers.FeedbackAlignment().paths(net)[0]
    Path(source='linear2', target='elu1', kind='feedback')
    """

    source: str
    target: str
    kind: str


class Router:
    """Base class of learning rules; by itself it is backpropagation.

    Attributes
    ----------
    epoch : int
        Set by the trainer, counted from 0; drives rates that depend on it.
    net : Network
        The network of the current walk.

    Examples
    --------
    A rule of one's own, which sends half of what backpropagation would:

    >>> import numpy as np
    >>> import elunet as eln
    >>> class Half(eln.routers.Router):
    ...     def send(self, layer, dy):
    ...         return 0.5 * layer.backward_input(dy)
    >>> net = eln.Sequential([eln.layers.Linear(4, 3), eln.layers.Linear(3, 2)], seed=0)
    >>> dy = net.forward(np.ones((5, 4)), train=True)
    >>> Half().backward(net, dy)
    >>> half = net["linear1"].grads["b"].copy()
    >>> eln.routers.Backprop().backward(net, dy)
    >>> bool(np.allclose(half, 0.5 * net["linear1"].grads["b"]))
    True
    """

    net: Network

    remembers: ClassVar[dict[str, Check]] = {"epoch": count}
    """What makes up the `state`: attributes by name, each with what checks and copies its value."""

    def __init__(self) -> None:
        self.epoch = 0
        self._nodes: dict[int, Node] = {}

    def backward(
        self,
        net: Network,
        dy: Array,
        target: Array | None = None,
        tap: Tap | None = None,
        release: bool = False,
    ) -> None:
        """Fill every layer's grads from the loss gradient.

        Parameters
        ----------
        net : Network
            After ``forward(x, train=True)``.
        dy : array of the output's shape
            The loss gradient at the network's output, dL/dlogits for most networks.
        target : array, optional
            The targets, for rules that send them instead of the error.
        tap : callable, optional
            ``tap(name, delta)`` is shown the signal at each layer's output; it must not write into
            it, and copies what it keeps.
        release : bool, default False
            Whether each layer lets go of what forward kept when its turn is over. That takes less
            memory, and no other backward pass can follow before the next forward pass.

        Raises
        ------
        RuntimeError
            If no forward pass with ``train=True`` came before.
        """
        self.enter(net, dy, target)
        net.walk(dy, self._arrival(), None if getattr(self.send,'__func__',None) is Router.send else self.send, tap=tap, release=release)
        self.end()

    def enter(self, net: Network, dy: Array, target: Array | None) -> None:
        """Take note of the network, and `begin`; a router that holds others enters them too."""
        self.net = net
        self._nodes = {id(node.layer): node for node in net.nodes}
        self.begin(net, dy, target)

    def begin(self, net: Network, dy: Array, target: Array | None) -> None:
        """Prepare for a walk; rules with matrices or messages of their own do it here."""

    def end(self) -> None:
        """Let go, after a walk, of what was kept for it."""

    def send(self, layer: Layer, dy: Array) -> Array:
        """Return what goes down from a weighted layer."""
        return layer.backward_input(dy)  # type: ignore[no-any-return]

    def arrive(self, layer: Layer, dy: Array) -> Array:
        """Return what reaches a layer's output."""
        return dy

    def hear(self, layer: Layer, dy: Array) -> None:
        """Look on at what has reached a layer's output, whichever rule decided it."""

    def deliver(self, layer: Layer, dy: Array) -> Array:
        """Return what comes down to a layer's output; other than dy if sent past layers above."""
        return dy

    def node_of(self, layer: Layer) -> Node:
        """Return the layer's place in the network of the current walk."""
        return self._nodes[id(layer)]

    def name_of(self, layer: Layer) -> str:
        """Return the layer's name in the network of the current walk."""
        return self.node_of(layer).name

    def parameters(self) -> dict[str, Array]:
        """Return the backward weights that the rule learns, by name; {} if it learns none."""
        return {}

    def gradients(self) -> dict[str, Array]:
        """Return the gradients of `parameters`."""
        return {}

    @property
    def is_random(self) -> bool:
        """Whether random matrices decide what goes down, so that `redrawn` would change it."""
        return False

    def redrawn(self, seed: int) -> Self:
        """Return a twin whose random matrices are drawn as a router of this seed would draw them.

        All else is as it is here (what was learned or counted, the epoch), and the twin's own:
        whatever it does changes nothing here. The network is not copied. With many twins one sees
        how much of an angle to backprop is the matrices' luck.

        Parameters
        ----------
        seed : int
            At least 0.

        Raises
        ------
        TypeError, ValueError
            If `seed` is none.
        """
        integer(type(self).__name__, "seed", seed, 0)
        twin = copy.copy(self)
        memo: dict[int, Any] = {id(part): part for part in self._shared()} | {id(self): twin}
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin

    def feedback_weight(self, net: Network, name: str) -> Array | None:
        """Return the matrix of W's shape through which a layer last sent down, in place of W.

        Parameters
        ----------
        net : Network
        name : str
            A weighted layer's.

        Returns
        -------
        array or None
            Not to be written into. None where the rule has none: it sends through W itself, or
            something else than its signal, or has not sent down from this layer.
        """
        return None

    def paths(self, net: Network) -> list[Path]:
        """Return the ways that signals take down through a network, in backward order.

        Only those that something learns from: none leads to the network's input, nor to layers
        below which nothing has parameters.

        Raises
        ------
        RuntimeError
            If the rule's ways depend on shapes, and no forward pass has told them.
        """
        found: list[Path] = []
        reached = set(net.names[-1:])
        for node in reversed(net.nodes):
            if node.learns and node.name in reached:
                links = self.links(net, node)
                found += links
                reached |= {path.target for path in links}
        return found

    def links(self, net: Network, node: Node) -> list[Path]:
        """Return the paths that a layer's rule decides on: down from it, and added to it."""
        own = type(self).send is not Router.send
        kind = "feedback" if node.layer.weighted and own else "exact"
        return [Path(node.name, source, kind) for source in learning_inputs(net, node)]

    def state(self) -> dict[str, Any]:
        """Return a copy of all that the rule remembers: what `restore` needs to go on with it.

        It is plain data, dicts of numbers, texts and arrays, and can be written without pickle.
        """
        values = {name: getattr(self, name) for name in self.remembers}
        return {"rule": type(self).__name__, **self._copied(values)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a `state`; a state that is refused changes nothing.

        Raises
        ------
        TypeError, ValueError
            If it is another kind of router's, or something in it is not what it should be.
        """
        for router, values in self.checked(state):
            for name, value in values.items():
                setattr(router, name, value)

    def checked(self, state: dict[str, Any]) -> list[tuple[Router, dict[str, Any]]]:
        """Return a copy of a state's values and whose they are, if `restore` may take them."""
        own, kind = type(self).__name__, state.get("rule") if isinstance(state, dict) else None
        names = ["rule", *self.remembers]
        if not isinstance(kind, str) or kind != own or set(state) != set(names):
            got = f"one of {kind} with {list(state)}" if isinstance(state, dict) else repr(state)
            raise ValueError(f"{self!r}: expected a state of {own} with {names}, got {got}")
        return [(self, self._copied(state))]

    def _arrival(self) -> Arrive | None:
        """Return what decides on arriving signals; without hooks, nobody looks at them."""
        plain = (Router.arrive, Router.hear, Router.deliver)
        own = (self.arrive, self.hear, self.deliver)
        same = all(getattr(a, "__func__", None) is b for a, b in zip(own, plain, strict=True))
        return None if same else self._arrived

    def _arrived(self, layer: Layer, dy: Array) -> Array:
        dy = self.arrive(layer, self.deliver(layer, dy))
        self.hear(layer, dy)
        return dy

    def _copied(self, values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: check(repr(self), name, values[name]) for name, check in self.remembers.items()
        }

    def _shared(self) -> list[Any]:
        """Return what a twin does not copy: the network, and its layers."""
        net = getattr(self, "net", None)
        return [] if net is None else [net, *net.layers]

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def learning_inputs(net: Network, node: Node) -> list[str]:
    """Return those of a layer's inputs at or below which something learns: it sends to these."""
    learning = {below.name for below in net.nodes if below.learns}
    return [source for source in node.inputs if source in learning]


@cache
def _takes_weight(kind: type[Layer]) -> bool:
    return "weight" in signature(kind.backward_input).parameters


def send_through(layer: Layer, dy: Array, weight: Array) -> Array:
    """Return what a weighted layer would send down if `weight` were its W.

    Raises
    ------
    TypeError
        If it is a user's own, without backward_input's second argument.
    """
    if not _takes_weight(type(layer)):  # type: ignore[arg-type]  # a class can be hashed
        raise TypeError(
            f"{layer!r}: expected backward_input(dy, weight=None) of a layer with a W, for rules"
            " that send through another weight; got one without weight"
        )
    return layer.backward_input(dy, weight=weight)  # type: ignore[call-arg,no-any-return]
