"""A router decides what signal each layer learns from; no layer knows that routers exist.

All rules share one reverse walk over the network, `Network.walk`. A rule is a subclass that
overrides one or two small hooks: `send`, what goes down from a weighted layer, and `arrive`, what
reaches a layer's output; one that remembers signals takes them in `hear`. The gradients of a
layer's own parameters are always exact, given the signal that arrives.
"""

from __future__ import annotations

import copy
from inspect import signature
from typing import Any
from zlib import crc32

import numpy as np

from elunet._checks import integer
from elunet._types import Array
from elunet.layers.base import Layer
from elunet.network import Network, Node, Tap

DOMAIN = 0x0E11  # routers' seeds never draw what a layer of the same seed drew


class Router:
    """Base class of learning rules; by itself it is backpropagation.

    Attributes
    ----------
    epoch : int
        Set by the trainer, counted from 0; drives rates that depend on it.
    net : Network
        The network of the current walk.
    """

    net: Network

    def __init__(self) -> None:
        self.epoch = 0
        self._nodes: dict[int, Node] = {}

    def backward(
        self, net: Network, dy: Array, target: Array | None = None, tap: Tap | None = None
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

        Raises
        ------
        RuntimeError
            If no forward pass with ``train=True`` came before.
        """
        self.enter(net, dy, target)
        net.walk(dy, self._arrived, self.send, tap)
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

    def state(self) -> dict[str, Any]:
        """Return a copy of all that the rule remembers: what `restore` needs to go on with it."""
        return {"epoch": self.epoch} | {
            name: copy.deepcopy(getattr(self, name)) for name in self._remembered
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a `state`.

        Raises
        ------
        ValueError
            If it is another kind of router's.
        """
        if set(state) != {"epoch", *self._remembered}:
            raise ValueError(
                f"{self!r}: expected a state with {['epoch', *self._remembered]},"
                f" got {sorted(state)}"
            )
        for name, value in state.items():
            setattr(self, name, copy.deepcopy(value))

    def _arrived(self, layer: Layer, dy: Array) -> Array:
        dy = self.arrive(layer, dy)
        self.hear(layer, dy)
        return dy

    _remembered: tuple[str, ...] = ()  # attributes that make up the state

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def generator(seed: int, name: str) -> np.random.Generator:
    """Return the random numbers of one layer's matrix: the same whatever other layers there are."""
    key = (DOMAIN, crc32(name.encode()))
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def check_seed(owner: str, seed: int) -> int:
    """Return a router's seed, an integer of at least 0."""
    return integer(owner, "seed", seed, 0)


def send_through(layer: Layer, dy: Array, weight: Array) -> Array:
    """Return what a weighted layer would send down if `weight` were its W.

    Raises
    ------
    TypeError
        If it is a user's own, without backward_input's second argument.
    """
    if "weight" not in signature(layer.backward_input).parameters:
        raise TypeError(
            f"{layer!r}: expected backward_input(dy, weight=None) of a layer with a W, for rules"
            " that send through another weight; got one without weight"
        )
    return layer.backward_input(dy, weight=weight)  # type: ignore[call-arg,no-any-return]


def last_weighted(net: Network) -> Layer:
    """Return the weighted layer nearest to the output."""
    for node in reversed(net.nodes):
        if node.layer.weighted:
            return node.layer
    raise ValueError("router: expected a network with a weighted layer, got none")
