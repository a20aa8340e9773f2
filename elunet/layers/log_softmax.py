"""The logarithm of softmax as a layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elunet._types import Array
from elunet.kernels.activations import log_softmax
from elunet.layers.softmax import Softmax


class LogSoftmax(Softmax, spans=True):
    """Logarithm of softmax over the last axis: ``y_k = x_k - log(sum over j of e^(x_j))``.

    Exact for large x too, where the logarithm of `Softmax` would be -inf.

    Raises
    ------
    ValueError
        In `forward`, if there is no class to choose from (the last axis is empty).

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import LogSoftmax
    >>> LogSoftmax().forward(np.array([[1000.0, 0.0]]))
    array([[    0., -1000.]])
    """

    symmetric = False

    def forward_span(self, x: Array, y: Array, kept: Array) -> None:
        """Write the probabilities' logarithms."""
        log_softmax(x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1]))

    def backward_span(self, dy: Array, dx: Array, y: Array) -> None:
        """Write ``dx_k = dy_k - e^(y_k) (sum over j of dy_j)``."""
        total = dy.sum(axis=-1, keepdims=True, dtype=np.float64)
        np.subtract(dy, np.exp(y) * total, out=dx, casting="same_kind")

    def tangent(self, dx: Array, dparams: Mapping[str, Array]) -> Array:
        """Return ``dy_k = dx_k - sum over j of e^(y_j) dx_j``."""
        (y,) = self.recall()
        mean = (np.exp(y) * dx.astype(np.float64, copy=False)).sum(axis=-1, keepdims=True)
        return np.asarray(dx - mean, dx.dtype)
