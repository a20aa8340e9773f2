"""The exponential linear unit, the paper's subject."""

from __future__ import annotations

from elunet._checks import number
from elunet._types import Array
from elunet.deferred import deferrable, elementwise
from elunet.kernels.activations import elu, elu_backward
from elunet.layers.base import Layer, ieee
from elunet.workspace import over


class ELU(Layer):
    """Exponential linear unit: ``x`` for x > 0, ``alpha (e^x - 1)`` for x <= 0.

    Parameters
    ----------
    alpha : float, default 1.0
        The negative of the limit for x -> -oo; above 0. For alpha = 1 the slope has no jump at 0.

    Raises
    ------
    TypeError, ValueError
        If alpha is not a finite number above 0.

    References
    ----------
    Clevert, Unterthiner, Hochreiter, "Fast and Accurate Deep Network Learning by Exponential
    Linear Units (ELUs)", ICLR 2016, arXiv:1511.07289.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import ELU
    >>> ELU(alpha=2.0).forward(np.array([-100.0, 0.0, 3.0]))
    array([-2.,  0.,  3.])
    """

    pointwise = True

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = number("ELU", "alpha", alpha, "(0, inf)")

    @deferrable
    @ieee
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return f(x), of x's shape."""
        x = self.check_input(x, ("N", ...))
        y = over(x)
        alpha = x.dtype.type(self.alpha)
        elementwise(lambda y: elu(y, alpha), x, y)
        self.keep(y)
        return y

    @deferrable
    @ieee
    def backward_input(self, dy: Array) -> Array:
        """Return ``dx = dy f'(x)``, with f'(x) = 1 for x > 0 and f(x) + alpha elsewhere."""
        (y,) = self.recall()
        dy = self.check_gradient(dy, y.shape, y.dtype)
        dx = over(dy)
        alpha = y.dtype.type(self.alpha)
        elementwise(lambda dx, y: elu_backward(dx, y, alpha), dy, dx, y)
        return dx

    def __repr__(self) -> str:
        return f"ELU(alpha={self.alpha:g})"
