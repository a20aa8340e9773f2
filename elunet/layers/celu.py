"""The continuously differentiable exponential linear unit."""

from elunet._checks import number
from elunet._types import Array
from elunet.kernels.activations import elu, elu_backward
from elunet.layers.elementwise import Elementwise


class CELU(Elementwise, spans=True):
    """ELU without a jump of its slope: ``x`` for x > 0, ``alpha (e^(x / alpha) - 1)`` for x <= 0.

    Source: Barron, "Continuously Differentiable Exponential Linear Units", arXiv:1704.07483.

    Parameters
    ----------
    alpha : float, default 1.0
        Above 0, else a ValueError or TypeError is raised. For 1 it is ELU.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import CELU
    >>> CELU(alpha=2.0).forward(np.array([-1000.0, 0.0, 3.0]))
    array([-2.,  0.,  3.])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = number("CELU", "alpha", alpha, "(0, inf)")

    def apply(self, x: Array) -> None:
        """Put f(x) in x's place: alpha times the ELU of x / alpha."""
        alpha = x.dtype.type(self.alpha)
        x /= alpha
        elu(x, x.dtype.type(1))
        x *= alpha

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by f'(x), which is 1 for x > 0 and f(x) / alpha + 1 elsewhere."""
        elu_backward(dy, y / y.dtype.type(self.alpha), y.dtype.type(1))
