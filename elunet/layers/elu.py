"""The exponential linear unit."""

from elunet._checks import choice, number
from elunet._types import Array
from elunet.kernels.activations import elu, elu_backward, elu_backward_from_input
from elunet.layers.elementwise import Elementwise


class ELU(Elementwise, spans=True):
    """Exponential linear unit: ``x`` for x > 0, ``alpha (e^x - 1)`` for x <= 0.

    Source: Clevert, Unterthiner, Hochreiter, "Fast and Accurate Deep Network Learning by
    Exponential Linear Units (ELUs)", ICLR 2016, arXiv:1511.07289.

    Parameters
    ----------
    alpha : float, default 1.0
        Above 0, else a ValueError or TypeError is raised. For 1 the slope has no jump at x = 0.
    slope_from : "y" or "x", default "y"
        What the slope below 0 is computed from: ``y + alpha``, or ``alpha e^x``. The first needs no
        memory besides y. Its error is at most half a unit in alpha's last place, which is small
        beside 1, but not beside the slope of a unit far below 0: in float32, 6 % of it at
        x = -16, and it is 0 from -17 on. The second has all digits, and keeps x beside y.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import ELU
    >>> ELU(alpha=2.0).forward(np.array([-100.0, 0.0, 3.0]))
    array([-2.,  0.,  3.])
    """

    def __init__(self, alpha: float = 1.0, slope_from: str = "y") -> None:
        super().__init__()
        self.alpha = number("ELU", "alpha", alpha, "(0, inf)")
        choice("ELU", "slope_from", slope_from, ("y", "x"))
        self.slope_from = slope_from

    def apply(self, x: Array) -> None:
        """Put f(x) in x's place."""
        elu(x, x.dtype.type(self.alpha))

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by f'(x): 1 for x > 0, and ``f(x) + alpha = alpha e^x`` elsewhere."""
        slope = elu_backward if self.slope_from == "y" else elu_backward_from_input
        slope(dy, y, y.dtype.type(self.alpha))

    def __repr__(self) -> str:
        text = super().__repr__()
        return text if self.slope_from == "y" else f"{text[:-1]}, slope_from='x')"
