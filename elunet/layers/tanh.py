"""The hyperbolic tangent."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers.base import Layer, ieee
from elunet.workspace import empty


class Tanh(Layer):
    """Hyperbolic tangent: ``y = tanh(x)``, with slope ``1 - y^2``.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Tanh
    >>> Tanh().forward(np.array([0.0, 100.0]))
    array([0., 1.])
    """

    pointwise = True

    @ieee
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return tanh(x), of x's shape."""
        x = self.check_input(x, ("N", ...))
        y = np.tanh(x, out=empty(x.shape, x.dtype))
        self.keep(y)
        return y

    @ieee
    def backward_input(self, dy: Array) -> Array:
        """Return ``dx = dy (1 - y^2)``."""
        (y,) = self.recall()
        dx: Array = self.check_gradient(dy, y.shape, y.dtype) * (1 - y * y)
        return dx
