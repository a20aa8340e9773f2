"""What Conv2D and Linear share: a weight W, a bias b, and where they come from."""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array, Seed, Shape
from elunet.init import He, Initializer
from elunet.layers.base import FLOATS, Layer, describe


class Weighted(Layer):
    """A layer with ``params["W"]`` of a fixed shape and, if wanted, ``params["b"]``.

    Parameters
    ----------
    shape : tuple of int
        W's shape; its last axis is the output's.
    bias : bool
    init : Initializer or None
        What draws W, He's normal distribution by default; b starts at 0.
    seed : int, SeedSequence, Generator or None
    """

    def __init__(self, shape: Shape, bias: bool, init: Initializer | None, seed: Seed) -> None:
        super().__init__(seed)
        self.shape = shape
        self.bias = bool(bias)
        self.init = He() if init is None else init
        self.reset(seed)

    def reset(self, seed: Seed) -> None:
        """Draw W anew and set b to 0, both float32."""
        drawn = self.init(np.random.default_rng(seed), self.shape)
        self.params["W"] = np.ascontiguousarray(drawn, np.float32)
        if self.bias:
            self.params["b"] = np.zeros(self.shape[-1], np.float32)

    def backward_input(self, dy: Array, weight: Array | None = None) -> Array:
        """Return dL/dx, or what `weight` in W's place would send down."""
        raise NotImplementedError

    def _weights(self, dtype: np.dtype[Any]) -> tuple[Array, Array | None]:
        W = self._param("W", self.shape, dtype)
        return W, self._param("b", self.shape[-1:], dtype) if self.bias else None

    def _sent_through(self, weight: Array | None, W: Array) -> Array:
        """Return the weight of the way down: W, or one of its shape that stands in for it."""
        if weight is None:
            return W
        floats = isinstance(weight, np.ndarray) and weight.dtype in FLOATS
        if not floats or weight.shape != self.shape:
            raise ValueError(
                f"{self!r}: expected weight as a float array of W's shape {self.shape}, got "
                + describe(weight)
            )
        return np.ascontiguousarray(weight, W.dtype)
