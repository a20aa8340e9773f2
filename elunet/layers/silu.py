"""The sigmoid linear unit, also called swish."""

from __future__ import annotations

from elunet._types import Array
from elunet.layers.elementwise import Elementwise
from elunet.layers.sigmoid import sigmoid


class SiLU(Elementwise, spans=True):
    """Sigmoid linear unit (swish): ``y = x s(x)`` with ``s(x) = 1 / (1 + e^-x)``.

    Sources: Hendrycks, Gimpel, arXiv:1606.08415; Elfwing, Uchibe, Doya, arXiv:1702.03118.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import SiLU
    >>> SiLU().forward(np.array([-1000.0, 0.0, 1000.0]))
    array([  -0.,    0., 1000.])
    """

    slope_from = "x"

    def apply(self, x: Array) -> None:
        """Put x s(x) in x's place."""
        x *= sigmoid(x)

    def apply_slope(self, dy: Array, x: Array) -> None:
        """Multiply dy by s (1 + x (1 - s))."""
        s = sigmoid(x)
        dy *= s * (1 + x * sigmoid(-x))
