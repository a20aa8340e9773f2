"""The logistic sigmoid."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers.elementwise import Elementwise


def sigmoid(x: Array) -> Array:
    """Return ``1 / (1 + e^-x)``, without overflow and exact where it is nearly 0."""
    t = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, t) / (1 + t), x.dtype)


class Sigmoid(Elementwise, spans=True):
    """Logistic sigmoid: ``y = 1 / (1 + e^-x)``, with slope ``y (1 - y)``.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Sigmoid
    >>> Sigmoid().forward(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """

    def apply(self, x: Array) -> None:
        """Put 1 / (1 + e^-x) in x's place."""
        x[...] = sigmoid(x)

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by y (1 - y)."""
        dy *= y * (1 - y)
