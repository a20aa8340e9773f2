"""The rectified linear unit."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.deferred import deferrable, elementwise
from elunet.layers.base import Layer, ieee
from elunet.workspace import over


class ReLU(Layer):
    """Rectified linear unit: ``max(x, 0)``; its slope at 0 is taken as 0.

    References
    ----------
    Nair, Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines", ICML 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import ReLU
    >>> ReLU().forward(np.array([-2.0, 3.0]))
    array([0., 3.])
    """

    pointwise = True

    @deferrable
    @ieee
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return max(x, 0), of x's shape."""
        x = self.check_input(x, ("N", ...))
        y = over(x)
        elementwise(lambda y: np.maximum(y, 0, out=y), x, y)
        self.keep(y)
        return y

    @deferrable
    @ieee
    def backward_input(self, dy: Array) -> Array:
        """Return ``dx = dy [x > 0]``."""
        (y,) = self.recall()
        dy = self.check_gradient(dy, y.shape, y.dtype)
        dx = over(dy)
        elementwise(lambda dx, y: np.multiply(dx, y > 0, out=dx), dy, dx, y)
        return dx
