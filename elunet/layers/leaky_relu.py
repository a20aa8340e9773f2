"""The leaky rectified linear unit."""

from __future__ import annotations

import numpy as np

from elunet._checks import number
from elunet._types import Array
from elunet.layers.elementwise import Elementwise


class LeakyReLU(Elementwise, spans=True):
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

    def __init__(self, slope: float = 0.1) -> None:
        super().__init__()
        self.slope = number("LeakyReLU", "slope", slope)

    @property
    def slope_from(self) -> str:  # type: ignore[override]
        """What has x's sign."""
        return "y" if self.slope >= 0 else "x"

    def apply(self, x: Array) -> None:
        """Put f(x) in x's place."""
        x *= self._slopes(x)

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by 1 where x > 0 and by the slope elsewhere."""
        dy *= self._slopes(y)

    def _slopes(self, x: Array) -> Array:
        return np.asarray(np.where(x > 0, x.dtype.type(1), x.dtype.type(self.slope)))

    def __repr__(self) -> str:
        return f"LeakyReLU(slope={self.slope:g})"
