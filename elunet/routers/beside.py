"""What rules share that compute their gradients in additional passes through the network.

The walk still visits every layer, but no signal is sent back in it: the gradients were computed
before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.graph import INPUT
from elunet.layers.base import Layer
from elunet.network import Network, Tap
from elunet.routers.base import Router


class Silent(Router):
    """A rule whose weighted layers send nothing back.

    In `begin` a subclass puts into `signals` what arrives at a layer in place of that, or it
    overrides `learn`.
    """

    @property
    def by_rows(self) -> bool:
        """Whether all gradients are sums over rows, which those of additional passes are not."""
        return False

    def send(self, layer: Layer, dy: Array) -> Array:
        """Return zeros."""
        return np.zeros(self.net.shapes[self.node_of(layer).inputs[0]], dy.dtype)


class Beside(Silent):
    """A rule that runs the network again in each step.

    Attributes
    ----------
    x : array
        The network's input in the last forward pass.
    twin : Network
        The last one that `again` gave.

    Raises
    ------
    RuntimeError
        In `backward`, if the rule's own ``forward(net, x, target)`` did not come before.
    """

    wants = True
    _before: Network | None = None
    _twin: Network | None = None

    def forward(
        self, net: Network, x: Array, target: Array | None = None, tap: Tap | None = None
    ) -> Array:
        """Run the forward pass; a twin keeps the network's state from before."""
        self._before = net.aside()
        return super().forward(net, x, target, tap)

    @property
    def x(self) -> Array:
        """The network's input in the last forward pass."""
        return self._value(INPUT)

    def again(self) -> Network:
        """Return a twin of the network before its last forward pass: it draws the same masks."""
        self._twin = self._before.aside()  # type: ignore[union-attr]  # since there was a pass
        return self._twin

    @property
    def twin(self) -> Network:
        """The last twin that `again` gave."""
        return self._twin  # type: ignore[return-value]  # asked for in a walk, after `again`

    def _shared(self) -> list[Any]:
        return [*super()._shared(), self._before, self._twin]


def learn_as(layer: Layer, other: Layer) -> None:
    """Copy a layer's grads from its twin."""
    for name, gradient in other.grads.items():
        layer.store_gradient(name, gradient, gradient.dtype)
