"""The rectified linear unit."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers.elementwise import Elementwise


class ReLU(Elementwise, spans=True):
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

    def apply(self, x: Array) -> None:
        """Put max(x, 0) in x's place."""
        np.maximum(x, 0, out=x)

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by [x > 0]."""
        dy *= y > 0
