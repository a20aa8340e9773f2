"""The hard hyperbolic tangent."""

from __future__ import annotations

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.layers.elementwise import Elementwise


class HardTanh(Elementwise, spans=True):
    """Tanh's linear stand-in: ``min(max(x, low), high)``; its slope at low and high is 0.

    Source: Collobert, "Large Scale Machine Learning", 2004.

    Parameters
    ----------
    low : float, default -1.0
    high : float, default 1.0
        Finite, low below high, else a ValueError or TypeError is raised.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import HardTanh
    >>> HardTanh().forward(np.array([-2.0, 0.5, 7.0]))
    array([-1. ,  0.5,  1. ])
    """

    def __init__(self, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__()
        self.low, self.high = number("HardTanh", "low", low), number("HardTanh", "high", high)
        if not self.low < self.high:
            raise ValueError(f"HardTanh: expected low < high, got {low:g} and {high:g}")

    def apply(self, x: Array) -> None:
        """Put min(max(x, low), high) in x's place."""
        np.clip(x, x.dtype.type(self.low), x.dtype.type(self.high), out=x)

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by [low < x < high]."""
        dy *= (y > y.dtype.type(self.low)) & (y < y.dtype.type(self.high))
