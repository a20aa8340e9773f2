"""The shifted rectified linear unit, SReLU in the paper."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers.elementwise import Elementwise


class ShiftedReLU(Elementwise, spans=True):
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

    def apply(self, x: Array) -> None:
        """Put max(x, -1) in x's place."""
        np.maximum(x, -1, out=x)

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by [x > -1]."""
        dy *= y > -1
