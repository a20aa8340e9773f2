"""The exponential linear unit."""

from elunet._checks import number
from elunet._types import Array
from elunet.kernels.activations import elu, elu_backward
from elunet.layers.elementwise import Elementwise


class ELU(Elementwise, spans=True):
    """Exponential linear unit: ``x`` for x > 0, ``alpha (e^x - 1)`` for x <= 0.

    Source: Clevert, Unterthiner, Hochreiter, "Fast and Accurate Deep Network Learning by
    Exponential Linear Units (ELUs)", ICLR 2016, arXiv:1511.07289.

    Parameters
    ----------
    alpha : float, default 1.0
        Above 0, else a ValueError or TypeError is raised. For 1 the slope has no jump at x = 0.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import ELU
    >>> ELU(alpha=2.0).forward(np.array([-100.0, 0.0, 3.0]))
    array([-2.,  0.,  3.])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = number("ELU", "alpha", alpha, "(0, inf)")

    def apply(self, x: Array) -> None:
        """Put f(x) in x's place."""
        elu(x, x.dtype.type(self.alpha))

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by f'(x), which is 1 for x > 0 and f(x) + alpha elsewhere."""
        elu_backward(dy, y, y.dtype.type(self.alpha))
