"""The leaky rectified linear unit."""

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.layers.elementwise import Elementwise


class LeakyReLU(Elementwise, spans=True):
    """Leaky rectified linear unit: ``x`` for x > 0, ``slope x`` for x <= 0.

    Source: Maas, Hannun, Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models",
    ICML 2013. The ELU paper compares with slope 0.1.

    Parameters
    ----------
    slope : float, default 0.1
        Finite, else a ValueError or TypeError is raised.

    Examples
    --------
    >>> LeakyReLU(slope=0.5).forward(np.array([-2.0, 3.0]))
    array([-1.,  3.])
    """

    def __init__(self, slope: float = 0.1) -> None:
        super().__init__()
        self.slope = number("LeakyReLU", "slope", slope)

    slope_from = property(
        lambda self: "y" if self.slope >= 0 else "x", doc="Something with the sign of x."
    )

    def apply(self, x: Array) -> None:
        """Put f(x) in x's place."""
        np.multiply(x, x.dtype.type(self.slope), out=x, where=~(x > 0))

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by 1 where x > 0 and by the slope elsewhere."""
        np.multiply(dy, dy.dtype.type(self.slope), out=dy, where=~(y > 0))
