"""Softmax as a layer, with its full Jacobian."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels.activations import softmax
from elunet.layers.spans import SpanLayer


class Softmax(SpanLayer, spans=True):
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

    symmetric = True

    def check(self, x: Array) -> Array:
        """Return x, of shape (N, ..., K) with K > 0."""
        x = super().check(x)
        if x.shape[-1] == 0:
            raise ValueError(f"{self!r}: expected x with a last axis of at least 1, got {x.shape}")
        return x

    def allocate(self, x: Array, y: Array) -> tuple[Array, ...]:
        """Return y, from which the Jacobian follows."""
        return (y,)

    def forward_span(self, x: Array, y: Array, kept: Array) -> None:
        """Write the probabilities."""
        softmax(x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1]))

    def backward_span(self, dy: Array, dx: Array, y: Array) -> None:
        """Write ``dx_k = y_k (dy_k - sum over j of dy_j y_j)``: the full Jacobian's product."""
        # In float64: where one class has nearly everything, the bracket is nearly 0.
        total = (dy.astype(np.float64) * y).sum(axis=-1, keepdims=True)
        np.multiply(y, dy - total, out=dx, casting="same_kind")
