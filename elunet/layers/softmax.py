"""Softmax as a layer, with its full Jacobian."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels.activations import softmax
from elunet.layers.base import Layer, ieee
from elunet.workspace import empty


class Softmax(Layer):
    """Softmax over the last axis: ``y_k = e^(x_k) / sum over j of e^(x_j)``.

    Follow it with `CrossEntropy`; on logits, `SoftmaxCrossEntropy` does both at once and is exact
    for large logits too.

    Raises
    ------
    ValueError
        In `forward`, if there is no class to choose from (the last axis is empty).

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Softmax
    >>> Softmax().forward(np.zeros((1, 4)))
    array([[0.25, 0.25, 0.25, 0.25]])
    """

    @ieee
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return the probabilities, of x's shape (..., K)."""
        x = self.check_input(x, ("N", ...))
        if x.shape[-1] == 0:
            raise ValueError(f"{self!r}: expected x with a last axis of at least 1, got {x.shape}")
        y = empty(x.shape, x.dtype)
        softmax(x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1]))
        self.keep(y)
        return y

    @ieee
    def backward_input(self, dy: Array) -> Array:
        """Return ``dx_k = y_k (dy_k - sum over j of dy_j y_j)``: the full Jacobian's product."""
        (y,) = self.recall()
        dy = self.check_gradient(dy, y.shape, y.dtype)
        # In float64: where one class has nearly everything, the bracket is nearly 0.
        total = (dy.astype(np.float64) * y).sum(axis=-1, keepdims=True)
        return np.asarray(y * (dy - total), y.dtype)
