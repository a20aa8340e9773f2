"""A router decides what signal each layer learns from; no layer knows that routers exist.

All rules share one backward walk over the network, `Network.walk`. A rule is a subclass of `Router`
that overrides one or two small hooks:

    weight(layer)           the matrix through which a weighted layer sends its signal back
    send(layer, dy)         the signal that a weighted layer sends back, if no matrix gives it
    arrive(layer, dy)       the signal at a layer's output
    learn(layer, dy)        how a layer learns from what reached it
    shortcuts(net)          paths on which signals skip layers
    begin(net, dy, target)  called before each walk
    end(net)                called after each walk

By default the gradients of a layer's own parameters are exact, given the signal that arrives.

A rule that changes more than the backward signals overrides a whole part of the step:

    forward(net, x, target) the forward pass of a training step
    backward(net, dy, ...)  everything that follows from the loss gradient
    predict(net, x)         the output in evaluation
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from inspect import signature
from typing import Any, ClassVar, NamedTuple, Self

from elunet._checks import integer
from elunet._types import Array
from elunet.graph import INPUT, Node
from elunet.layers.base import Layer
from elunet.losses import Loss
from elunet.network import Network, Tap
from elunet.routers.graph import Graph
from elunet.routers.memory import Check, count


class Path(NamedTuple):
    """A path of a signal back through a network, between two layers' outputs.

    Attributes
    ----------
    source, target : str
        Names of layers; the source may be "target", for a rule that sends the targets.
    kind : str
        "exact", through the layer's own transposed Jacobian; "feedback", from a weighted layer in
        the rule's own way, such as through another matrix than W; "direct", a shortcut past all
        layers between; "dilated", one whose signal is added to the signal from the next layers.

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
    loss : Loss or None
        Set by the trainer: the loss that it trains with, for rules that compute it themselves.
    net : Network
        The network of the current walk.
    signals : dict of str to array
        Signals of the current walk, by the layer at whose output they are; empty after the walk.
        What arrives at a shortcut's source is here until the shortcut's target has been reached. A
        signal that a rule puts here, in `begin` or for a layer further down, arrives there, in
        place of what is sent there.

    Examples
    --------
    A custom rule, which sends half of what backpropagation would:

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
    signals: dict[str, Array]
    loss: Loss | None = None
    _told: Loss | None = None  # the loss that it was told last
    _graph: Graph | None = None
    _values: tuple[Any, dict[str, Array]] | None = None  # of which pass, and the outputs in it

    wants: bool = False
    """Whether the rule asks for `input_of` or `output_of`; `forward` keeps the outputs then."""

    remembers: ClassVar[dict[str, Check]] = {"epoch": count}
    """The attributes of the `state`, each with a function that checks and copies its value."""

    def __init__(self) -> None:
        self.epoch = 0

    def forward(
        self, net: Network, x: Array, target: Array | None = None, tap: Tap | None = None
    ) -> Array:
        """Make the forward pass of a training step, and return the output.

        By default that is ``net.forward(x, train=True)``. The trainer calls it before the loss.

        Parameters
        ----------
        net : Network
        x : array
        target : array, optional
            The targets, for rules that show them to the network.
        tap : callable, optional
            ``tap(name, y)`` is shown every layer's output; it must not write into it.
        """
        if not self.wants:
            return net.forward(x, train=True, tap=tap)
        values = {INPUT: x}

        def keep(name: str, y: Array) -> None:
            values[name] = y
            if tap is not None:
                tap(name, y)

        y = net.forward(x, train=True, tap=keep)
        self._values = net.passed, values
        return y

    def predict(self, net: Network, x: Array) -> Array:
        """Return the output in evaluation: by default ``net.forward(x)``."""
        return net.forward(x)

    def input_of(self, layer: Layer) -> Any:
        """Return a layer's input in the last forward pass; a tuple if it has several.

        Raises
        ------
        RuntimeError
            If the rule does not say that it `wants` to know, or its `forward` did not make the
            network's last forward pass.
        """
        taken = [self._value(name) for name in self.node_of(layer).inputs]
        return taken[0] if len(taken) == 1 else tuple(taken)

    def output_of(self, layer: Layer) -> Array:
        """Return a layer's output in the last forward pass; errors as in `input_of`."""
        return self._value(self.name_of(layer))

    def _value(self, name: str) -> Array:
        if self._values is None or self._values[0] is not self.net.passed:
            raise RuntimeError(
                f"{self!r}: expected wants = True in the rule's class, and a last forward"
                " pass by its forward(net, x, target), before layers' values are asked for"
            )
        return self._values[1][name]

    def backward(
        self,
        net: Network,
        dy: Array | tuple[Array, ...],
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
            Whether each layer releases what forward kept when its turn is over. That takes less
            memory, and no other backward pass can follow before the next forward pass.

        Raises
        ------
        RuntimeError
            If no forward pass with ``train=True`` came before, or a hook made another one with this
            network and not with a twin, ``net.aside()``.
        """
        signals: dict[str, Array] = {}
        try:
            with same_pass(self, net):
                self._start(net, dy, target, signals)
            looked_for = self._shortcuts or signals or self._own("arrive")
            arrive = self._arrived if looked_for else None
            send = self.send if self._own("send") else None
            weight = self._checked_weight if self._own("weight") else None
            learn = self.learn if self._own("learn") else None
            net.walk(dy, arrive, send, weight, tap, release=release, learn=learn)
            self._sum_own(net)
            with same_pass(self, net):
                self.end(net)
        finally:
            signals.clear()
            if release:
                self._values = None

    def _sum_own(self, net: Network) -> None:
        """Sum the rule's own gradients over a group, if the network's sums do not include them."""
        if net.group.size > 1:
            summed = {id(gradient) for gradient in net.gradients().values()}
            for gradient in self.gradients().values():
                if id(gradient) not in summed:
                    net.group.sum_rows(gradient)

    def tell(self, loss: Loss | None) -> None:
        """Take the trainer's loss, unless the rule was given its own."""
        if self.loss is self._told:
            self.loss = self._told = loss

    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Prepare for a walk: count it, look at the target, check matrices."""

    def end(self, net: Network) -> None:
        """End a walk, after all gradients are computed: update what the rule itself learns."""

    def weight(self, layer: Layer) -> Array | None:
        """Return the matrix of W's shape through which a weighted layer sends back; None for W.

        The walk may ask before the signal is there. Code that asks again before the next `begin`
        has to get the same matrix: a separate array for each layer, not written to during the walk.
        """
        return None

    def send(self, layer: Layer, dy: Array) -> Array:
        """Return the signal that a weighted layer sends back: by default through its `weight`."""
        weight = self._checked_weight(layer)
        if weight is None:
            return layer.backward_input(dy)  # type: ignore[no-any-return]
        return layer.backward_input(dy, weight=weight)  # type: ignore[call-arg,no-any-return]

    def arrive(self, layer: Layer, dy: Array) -> Array:
        """Return the signal at a layer's output, given what was sent to it: by default the sum."""
        return dy

    def learn(self, layer: Layer, dy: Array) -> None:
        """Fill a layer's ``grads`` from the signal at its output: by default exactly."""
        layer.backward_params(dy)

    def shortcuts(self, net: Network) -> dict[str, Path]:
        """Return the shortcuts past layers, by the name of the layer at which each is taken.

        One that leads to that layer's own output is added to the signal there, by `arrive`.
        One that leads elsewhere is taken in place of all that the layer would send back, by `send`.
        Both find it in `shortcut_at`, and the signal at its source in `signals`.
        """
        return {}

    def shortcut_at(self, layer: Layer) -> Path | None:
        """Return the shortcut that is taken at a layer in the current walk; None if none is."""
        return self._shortcuts.get(self.name_of(layer))

    def node_of(self, layer: Layer) -> Node:
        """Return the layer's place in the network of the current walk."""
        return self._graph.node_of(layer)  # type: ignore[union-attr]  # there since its start

    def name_of(self, layer: Layer) -> str:
        """Return the layer's name in the network of the current walk."""
        return self.node_of(layer).name

    def graph(self, net: Network) -> Graph:
        """Return the network's graph, which is read once for all walks."""
        known = self._graph
        return known if known is not None and known.fits(net) else Graph(net)

    def parameters(self) -> dict[str, Array]:
        """Return the backward weights that the rule learns, by name; {} if it learns none."""
        return {}

    def gradients(self) -> dict[str, Array]:
        """Return the gradients of `parameters`."""
        return {}

    @property
    def by_rows(self) -> bool:
        """Whether all gradients are sums over the batch's rows, given the loss gradient.

        Only such a rule can train over several processes, each with some rows.
        """
        return True

    @property
    def is_random(self) -> bool:
        """Whether the signals depend on random matrices, so that `redrawn` would change them."""
        return False

    def redrawn(self, seed: int) -> Self:
        """Return a twin whose random matrices are drawn as a router of this seed would draw them.

        All else is copied (what was learned or counted, the epoch), except the network. What the
        twin does changes nothing here. Many twins show how much of an angle to backprop is due to
        the draw of the matrices.

        Parameters
        ----------
        seed : int
            At least 0.

        Raises
        ------
        TypeError, ValueError
            If `seed` is not a valid seed.
        """
        integer(type(self).__name__, "seed", seed, 0)
        twin = copy.copy(self)
        memo: dict[int, Any] = {id(part): part for part in self._shared()} | {id(self): twin}
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin

    def feedback_weight(self, net: Network, name: str) -> Array | None:
        """Return the matrix through which a layer sent back last, as `weight` says it now.

        Parameters
        ----------
        net : Network
        name : str
            A weighted layer's.

        Returns
        -------
        array or None
            Not to be written into. None where the rule has none: it sends through W itself, or
            something else than its signal, or has not sent back from this layer.
        """
        graph = self._graph
        if graph is None or graph.net is not net or not graph.inputs.get(name):
            return None
        layer = graph.nodes[name].layer
        return self.weight(layer) if layer.weighted else None

    def forward_weight(self, net: Network, name: str) -> Array | None:
        """Return the weights that a layer's `feedback_weight` stands for, in its shape.

        By default its W; in direct rules the product of the W above. None where there are none.
        """
        layer = net[name]
        return layer.params["W"] if layer.weighted else None

    def paths(self, net: Network) -> list[Path]:
        """Return the paths of signals back through a network, in backward order.

        Only those that something learns from: none leads to the network's input, nor to layers
        below which nothing has parameters.

        Raises
        ------
        RuntimeError
            If the rule's ways depend on shapes, and no forward pass came before.
        """
        graph, shortcuts, replaced = self.graph(net), self.shortcuts(net), self._replaced(net)
        found: list[Path] = []
        reached = set(net.outputs)
        for node in reversed(net.nodes):
            if node.name in replaced:
                found.append(Path("target", node.name, "direct"))
                reached.add(node.name)
            if not (node.learns and node.name in reached):
                continue
            shortcut, inputs = shortcuts.get(node.name), graph.inputs[node.name]
            if shortcut is not None:
                found.append(shortcut)
                reached.add(shortcut.target)
            kind = self._kind(node)
            if kind and (shortcut is None or shortcut.target == node.name):
                found += [Path(node.name, s, kind) for s in inputs if s not in replaced]
                reached.update(inputs)
        return found

    def state(self) -> dict[str, Any]:
        """Return a copy of all that the rule remembers: what `restore` needs to continue it.

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
        """Return copies of a state's values with their owners, if `restore` can take them."""
        own, kind = type(self).__name__, state.get("rule") if isinstance(state, dict) else None
        names = ["rule", *self.remembers]
        if not isinstance(kind, str) or kind != own or set(state) != set(names):
            got = f"one of {kind} with {list(state)}" if isinstance(state, dict) else repr(state)
            raise ValueError(f"{self!r}: expected a state of {own} with {names}, got {got}")
        return [(self, self._copied(state))]

    def _start(
        self,
        net: Network,
        dy: Array | tuple[Array, ...],
        target: Array | None,
        signals: dict[str, Array],
    ) -> None:
        """Take note of the network and of the walk's signals, and `begin`."""
        self._graph = graph = self.graph(net)
        self.net, self.signals, self._shortcuts = net, signals, self.shortcuts(net)
        ways = sorted(self._shortcuts.values(), key=lambda way: graph.place[way.target])
        self._last = {way.source: way.target for way in reversed(ways)}  # targets reached last
        self.begin(net, dy, target)

    def _own(self, hook: str) -> bool:
        """Return whether a hook was overridden: in a subclass, or in the object."""
        return getattr(getattr(self, hook), "__func__", None) is not self._plain[hook]

    def _arrived(self, layer: Layer, dy: Array) -> Array:
        """Return the signal at a layer's output, and keep it if a shortcut starts there."""
        name = self.name_of(layer)
        dy = self.arrive(layer, self.signals.pop(name, dy))
        if name in self._last:
            self.signals[name] = dy
        for source, target in self._last.items():
            if target == name:  # so that its memory can be used again
                self.signals.pop(source, None)
        return dy

    def _checked_weight(self, layer: Layer) -> Array | None:
        """Return the layer's `weight`, if the layer can send through it."""
        weight = self.weight(layer)
        if weight is not None and not _takes_weight(type(layer)):  # type: ignore[arg-type]
            raise TypeError(
                f"{layer!r}: expected backward_input(dy, weight=None), because the rule sends"
                " through another weight, got a backward_input without weight"
            )
        return weight

    def _replaced(self, net: Network) -> set[str]:
        """Return the layers whose signal is made from the targets, not by later layers."""
        return set()

    def _kind(self, node: Node) -> str:
        """Return the kind of a layer's paths to its own inputs; "" if it sends nothing."""
        own = node.layer.weighted and (self._own("weight") or self._own("send"))
        return "feedback" if own else "exact"

    _plain: ClassVar[dict[str, Any]] = {
        "weight": weight,
        "send": send,
        "arrive": arrive,
        "learn": learn,
    }

    def _copied(self, values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: check(repr(self), name, values[name]) for name, check in self.remembers.items()
        }

    def _shared(self) -> list[Any]:
        """Return what a twin does not copy: network, layers, loss, and the arrays of a pass."""
        net = getattr(self, "net", None)
        return [self._values, self.loss, self._told, *([] if net is None else [net, *net.layers])]

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@contextmanager
def same_pass(router: Router, net: Network, releases: bool = False) -> Iterator[None]:
    """Refuse, at the end of a block, a rule's own forward pass in the network itself.

    The layers keep that pass, or nothing after an evaluation pass. So the next look at this step
    would see another pass. The walk needs no such block: the network refuses passes meanwhile. A
    rule that overrides `backward` is held to it by those who call it. If it `releases` what layers
    kept, only other passes that they keep are seen.

    Raises
    ------
    RuntimeError
        If the network has kept another pass than at the block's start.
    """
    before, kept = net.passed, net.can_go_back and not releases
    yield
    if net.passed is not before or (kept and not net.can_go_back):
        raise RuntimeError(
            f"{router!r}: expected a rule's own forward passes to run in net.aside(), got one in"
            " the network itself, after which its layers no longer have the pass of this step"
        )


@cache
def _takes_weight(kind: type[Layer]) -> bool:
    return "weight" in signature(kind.backward_input).parameters
