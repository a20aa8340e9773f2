"""The leaky rectified linear unit."""

from __future__ import annotations

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.deferred import deferrable, elementwise
from elunet.layers.base import Layer, ieee
from elunet.workspace import empty, over


class LeakyReLU(Layer):
    """Leaky rectified linear unit: ``x`` for x > 0, ``slope x`` for x <= 0.

    Parameters
    ----------
    slope : float, default 0.1
        Slope for x <= 0; the paper compares ELU with slope 0.1.

    Raises
    ------
    TypeError, ValueError
        If `slope` is not a finite number.

    References
    ----------
    Maas, Hannun, Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models", ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import LeakyReLU
    >>> LeakyReLU(slope=0.5).forward(np.array([-2.0, 3.0]))
    array([-1.,  3.])
    """

    pointwise = True

    def __init__(self, slope: float = 0.1) -> None:
        super().__init__()
        self.slope = number("LeakyReLU", "slope", slope)

    @deferrable
    @ieee
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return f(x), of x's shape."""
        x = self.check_input(x, ("N", ...))
        y, slopes = over(x), empty(x.shape, x.dtype)

        def work(y: Array, slopes: Array) -> None:
            slopes[...] = np.where(y > 0, y.dtype.type(1), y.dtype.type(self.slope))
            y *= slopes

        elementwise(work, x, y, slopes)
        self.keep(slopes)
        return y

    @deferrable
    @ieee
    def backward_input(self, dy: Array) -> Array:
        """Return ``dx = dy`` where x > 0 and ``slope dy`` elsewhere."""
        (slopes,) = self.recall()
        dy = self.check_gradient(dy, slopes.shape, slopes.dtype)
        dx = over(dy)
        elementwise(lambda dx, slopes: np.multiply(dx, slopes, out=dx), dy, dx, slopes)
        return dx

    def __repr__(self) -> str:
        return f"LeakyReLU(slope={self.slope:g})"
