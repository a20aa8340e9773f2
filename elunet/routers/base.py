"""A router decides what signal each layer learns from; no layer knows that routers exist.

All rules share one reverse walk over the network, `Network.walk`. A rule is a subclass that
overrides one or two small hooks: `send`, what goes down from a weighted layer, and `arrive`, what
reaches a layer's output. The gradients of a layer's own parameters are always exact, given the
signal that arrives.
"""

from __future__ import annotations

from typing import Any

from elunet._types import Array
from elunet.layers.base import Layer
from elunet.network import Network, Tap


class Router:
    """Base class of learning rules; by itself it is backpropagation.

    Attributes
    ----------
    epoch : int
        Set by the trainer, counted from 0; drives rates that depend on it.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._names: dict[int, str] = {}

    def backward(
        self, net: Network, dy: Array, target: Array | None = None, tap: Tap | None = None
    ) -> None:
        """Fill every layer's grads from the loss gradient.

        Parameters
        ----------
        net : Network
            After ``forward(x, train=True)``.
        dy : array of the output's shape
            dL/dlogits.
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
        self._names = {id(node.layer): node.name for node in net.nodes}
        self.begin(net, dy, target)
        net.walk(dy, self.arrive, self.send, tap)

    def begin(self, net: Network, dy: Array, target: Array | None) -> None:
        """Prepare for a walk; rules with matrices of their own draw or check them here."""

    def send(self, layer: Layer, dy: Array) -> Array:
        """Return what goes down from a weighted layer."""
        return layer.backward_input(dy)  # type: ignore[no-any-return]

    def arrive(self, layer: Layer, dy: Array) -> Array:
        """Return what reaches a layer's output."""
        return dy

    def name_of(self, layer: Layer) -> str:
        """Return the layer's name in the network of the current walk."""
        return self._names[id(layer)]

    def parameters(self) -> dict[str, Array]:
        """Return the backward weights that the rule learns, by name; {} if it learns none."""
        return {}

    def gradients(self) -> dict[str, Array]:
        """Return the gradients of `parameters`."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on with the same rule."""
        return {"epoch": self.epoch}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
