"""Flatten: each image becomes a row."""

from __future__ import annotations

import math

from elunet._types import Shape
from elunet.layers.spans import SpanLayer


class Flatten(SpanLayer, spans=True):
    """Reshape (N, ...) to (N, product of the rest), in memory order: a view, no copy.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Flatten
    >>> Flatten().forward(np.zeros((5, 2, 2, 3))).shape
    (5, 12)
    """

    linear = True

    def output_shape(self, x_shape: Shape) -> Shape:
        """Return (N, D)."""
        return x_shape[0], math.prod(x_shape[1:])

    def passes_on(self, train: bool) -> bool:
        """Return True: y is x in its own shape."""
        return True
