"""The hyperbolic tangent."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.deferred import deferrable, elementwise
from elunet.layers.base import Layer, ieee
from elunet.workspace import over


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

    @deferrable
    @ieee
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return tanh(x), of x's shape."""
        x = self.check_input(x, ("N", ...))
        y = over(x)
        elementwise(lambda y: np.tanh(y, out=y), x, y)
        self.keep(y)
        return y

    @deferrable
    @ieee
    def backward_input(self, dy: Array) -> Array:
        """Return ``dx = dy (1 - y^2)``."""
        (y,) = self.recall()
        dy = self.check_gradient(dy, y.shape, y.dtype)
        dx = over(dy)
        elementwise(lambda dx, y: np.multiply(dx, 1 - y * y, out=dx), dy, dx, y)
        return dx
