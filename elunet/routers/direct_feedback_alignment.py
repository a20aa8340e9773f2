"""Direct feedback alignment: every hidden layer hears of the output's error at first hand."""

from __future__ import annotations

import math

import numpy as np

from elunet._types import Array
from elunet.init import Initializer, LeCun
from elunet.layers.base import Layer
from elunet.network import Network
from elunet.routers.base import Router, check_seed, generator, last_weighted


class DirectRouter(Router):
    """What the direct rules share: a fixed random projection to each weighted layer's input.

    A subclass says what is projected, in `message`.
    """

    _remembered = ("B",)
    _message: Array  # set when the output layer's error arrives, before anything is sent

    def __init__(
        self, seed: int = 0, shared: bool = False, distribution: Initializer | None = None
    ) -> None:
        super().__init__()
        self.seed = check_seed(type(self).__name__, seed)
        self.shared = bool(shared)
        self.distribution = LeCun("uniform") if distribution is None else distribution
        self.B: dict[str, Array] = {}

    def begin(self, net: Network, dy: Array, target: Array | None) -> None:
        """Find the output layer, whose error is e."""
        self._last = last_weighted(net)

    def hear(self, layer: Layer, dy: Array) -> None:
        """Take the message when the output layer's error arrives."""
        if layer is self._last:
            self._message = self.message(_summed(dy))

    def message(self, error: Array) -> Array:
        """Return what is projected, (N, C), given e = dL/dlogits."""
        raise NotImplementedError(f"{self!r}: a direct rule has to define message(error)")

    def send(self, layer: Layer, dy: Array) -> Array:
        """Return the projection, in the shape of the layer's input."""
        node, message = self.node_of(layer), self._message
        shape = self.net.shapes[node.inputs[0]]
        projected = shape[-1:] if self.shared else shape[1:]
        size = (message.shape[1], math.prod(projected))
        if node.name not in self.B:
            drawn = self.distribution(generator(self.seed, node.name), size)
            self.B[node.name] = np.asarray(drawn, np.float32)
        if self.B[node.name].shape != size:
            raise ValueError(
                f"{self!r}: expected B of {node.name} of shape {size}, got"
                f" {self.B[node.name].shape}; use one router per network"
            )
        sent: Array = message @ self.B[node.name].astype(dy.dtype, copy=False)
        if not self.shared:
            return sent.reshape(shape)
        spread = sent.reshape(len(sent), *(1,) * (len(shape) - 2), shape[-1])
        return np.broadcast_to(spread, shape).copy()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(seed={self.seed}, shared={self.shared})"


class DirectFeedbackAlignment(DirectRouter):
    r"""Send ``e B_k`` to the input of each weighted layer k, B_k fixed and random.

    e = dL/dlogits of shape (N, C) is the gradient at the output layer. The projection replaces the
    signal at the input of each weighted layer, which is the output of the hidden unit below, after
    its activation and pooling; from there to the unit's own pre-activation the exact Jacobians
    apply. So no error has to pass through the layers between.

    Parameters
    ----------
    seed : int, default 0
        Of the matrices; each depends on the seed and its layer's name only.
    shared : bool, default False
        Whether all positions of a picture share one projection (C, channels). By default each has
        its own, (C, H * W * channels): 5.6 MB for all of ELU-11.
    distribution : Initializer, optional
        Draws the B_k, by default `LeCun("uniform")`: U(-sqrt(3/C), sqrt(3/C)), so that e keeps its
        scale. Publications differ in it, and it acts like a learning rate per layer.

    Attributes
    ----------
    B : dict of str to array
        By the name of the layer at whose input it projects; there from the first backward pass on.

    References
    ----------
    Nokland, "Direct Feedback Alignment Provides Learning in Deep Neural Networks", NIPS 2016,
    arXiv:1609.01596.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.DirectFeedbackAlignment(seed=1)
    DirectFeedbackAlignment(seed=1, shared=False)
    """

    def message(self, error: Array) -> Array:
        """Return e itself."""
        return error


def _summed(dy: Array) -> Array:
    """Return e of shape (N, C): for an output over positions that are pooled later, their sum."""
    summed: Array = dy.sum(axis=tuple(range(1, dy.ndim - 1)))
    return summed
