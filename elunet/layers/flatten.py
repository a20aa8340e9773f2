"""Flatten: each picture becomes a row."""

from __future__ import annotations

import math

from elunet._types import Array
from elunet.deferred import deferrable
from elunet.layers.base import Layer


class Flatten(Layer):
    """Reshape (N, ...) to (N, product of the rest), in memory order: a view, no copy.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Flatten
    >>> Flatten().forward(np.zeros((5, 2, 2, 3))).shape
    (5, 12)
    """

    @deferrable
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return x as (N, D)."""
        x = self.check_input(x, ("N", ...))
        self.keep(x.shape, x.dtype)
        return x.reshape(len(x), math.prod(x.shape[1:]))

    @deferrable
    def backward_input(self, dy: Array) -> Array:
        """Return dy in x's shape."""
        shape, dtype = self.recall()
        return self.check_gradient(dy, (shape[0], math.prod(shape[1:])), dtype).reshape(shape)
