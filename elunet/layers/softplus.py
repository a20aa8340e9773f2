"""The softplus function."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers.elementwise import Elementwise


class Softplus(Elementwise, spans=True):
    """Softplus: ``y = log(1 + e^x)``, a smooth ReLU, with slope ``1 - e^-y``.

    Source: Dugas et al., "Incorporating Second-Order Functional Knowledge for Better Option
    Pricing", NIPS 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Softplus
    >>> Softplus().forward(np.array([-1000.0, 1000.0]))
    array([   0., 1000.])
    """

    def apply(self, x: Array) -> None:
        """Put log(1 + e^x) in x's place; e^x is only taken where it is at most 1."""
        x[...] = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by 1 - e^-y, the sigmoid of x."""
        dy *= -np.expm1(-y)
