"""The shifted rectified linear unit, SReLU in the paper."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.deferred import deferrable, elementwise
from elunet.layers.base import Layer, ieee
from elunet.workspace import over


class ShiftedReLU(Layer):
    """Shifted rectified linear unit: ``max(x, -1)``; its slope at -1 is taken as 0.

    References
    ----------
    Clevert, Unterthiner, Hochreiter, ICLR 2016, arXiv:1511.07289, section 4 (there "SReLU").

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import ShiftedReLU
    >>> ShiftedReLU().forward(np.array([-2.0, 3.0]))
    array([-1.,  3.])
    """

    pointwise = True

    @deferrable
    @ieee
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return max(x, -1), of x's shape."""
        x = self.check_input(x, ("N", ...))
        y = over(x)
        elementwise(lambda y: np.maximum(y, -1, out=y), x, y)
        self.keep(y)
        return y

    @deferrable
    @ieee
    def backward_input(self, dy: Array) -> Array:
        """Return ``dx = dy [x > -1]``."""
        (y,) = self.recall()
        dy = self.check_gradient(dy, y.shape, y.dtype)
        dx = over(dy)
        elementwise(lambda dx, y: np.multiply(dx, y > -1, out=dx), dy, dx, y)
        return dx
