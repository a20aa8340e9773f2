"""The hyperbolic tangent."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers.elementwise import Elementwise


class Tanh(Elementwise, spans=True):
    """Hyperbolic tangent: ``y = tanh(x)``, with slope ``1 - y^2``.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Tanh
    >>> Tanh().forward(np.array([0.0, 100.0]))
    array([0., 1.])
    """

    def apply(self, x: Array) -> None:
        """Put tanh(x) in x's place."""
        np.tanh(x, out=x)

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by 1 - y^2."""
        dy *= 1 - y * y
