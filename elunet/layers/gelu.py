"""The Gaussian error linear unit."""

from __future__ import annotations

import math

import numpy as np

from elunet._types import Array
from elunet.kernels.activations import gelu, gelu_backward
from elunet.layers.elementwise import Elementwise

SCALE, CUBIC = math.sqrt(2 / math.pi), 0.044715


class GELU(Elementwise, spans=True):
    """Gaussian error linear unit: ``y = x P(x)``, P the normal distribution's ``P(X <= x)``.

    Source: Hendrycks, Gimpel, "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415.

    Parameters
    ----------
    tanh : bool, default False
        Whether P is approximated by ``(1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2``, as in
        GPT-2 and in PyTorch's ``approximate="tanh"``.

    Raises
    ------
    TypeError
        If tanh is not a bool.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import GELU
    >>> GELU().forward(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """

    slope_from = "x"

    def __init__(self, tanh: bool = False) -> None:
        super().__init__()
        if not isinstance(tanh, bool):
            raise TypeError(f"GELU: expected tanh as a bool, got {tanh!r}")
        self.tanh = tanh

    def apply(self, x: Array) -> None:
        """Put x P(x) in x's place."""
        if self.tanh:
            x *= (1 + np.tanh(SCALE * x * (1 + CUBIC * x * x))) / 2
        else:
            gelu(x)

    def apply_slope(self, dy: Array, x: Array) -> None:
        """Multiply dy by P(x) + x P'(x)."""
        if self.tanh:
            t = np.tanh(SCALE * x * (1 + CUBIC * x * x))
            dy *= (1 + t) / 2 + x * (1 - t * t) * SCALE * (1 + 3 * CUBIC * x * x) / 2
        else:
            gelu_backward(dy, x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'tanh' if self.tanh else ''})"
