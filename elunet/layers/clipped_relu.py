"""The clipped rectified linear unit."""

from __future__ import annotations

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.layers.elementwise import Elementwise


class ClippedReLU(Elementwise, spans=True):
    """Clipped rectified linear unit: ``min(max(x, 0), limit)``; its slope at 0 and limit is 0.

    Source: Krizhevsky, "Convolutional Deep Belief Networks on CIFAR-10", 2010, with limit 6, which
    others call ReLU6.

    Parameters
    ----------
    limit : float, default 6.0
        Above 0, else a ValueError or TypeError is raised.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import ClippedReLU
    >>> ClippedReLU().forward(np.array([-2.0, 3.0, 7.0]))
    array([0., 3., 6.])
    """

    def __init__(self, limit: float = 6.0) -> None:
        super().__init__()
        self.limit = number("ClippedReLU", "limit", limit, "(0, inf)")

    def apply(self, x: Array) -> None:
        """Put min(max(x, 0), limit) in x's place."""
        np.clip(x, 0, x.dtype.type(self.limit), out=x)

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by [0 < x < limit]."""
        dy *= (y > 0) & (y < y.dtype.type(self.limit))
