"""The scaled exponential linear unit."""

from elunet._types import Array
from elunet.kernels.activations import elu, elu_backward
from elunet.layers.elementwise import Elementwise

ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805


class SELU(Elementwise, spans=True):
    """Scaled exponential linear unit: ``s x`` for x > 0, ``s a (e^x - 1)`` for x <= 0.

    With a = 1.6733 and s = 1.0507, weights drawn from a normal distribution of variance 1 / fan-in
    and no biases, mean 0 and variance 1 are carried from layer to layer.

    Source: Klambauer, Unterthiner, Mayr, Hochreiter, "Self-Normalizing Neural Networks", NIPS 2017,
    arXiv:1706.02515; the constants are from its equation 14.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import SELU
    >>> SELU().forward(np.array([-100.0, 0.0, 1.0])).round(4)
    array([-1.7581,  0.    ,  1.0507])
    """

    def apply(self, x: Array) -> None:
        """Put f(x) in x's place."""
        elu(x, x.dtype.type(ALPHA))
        x *= x.dtype.type(SCALE)

    def apply_slope(self, dy: Array, y: Array) -> None:
        """Multiply dy by f'(x): s for x > 0 and f(x) + s a elsewhere."""
        scale = y.dtype.type(SCALE)
        elu_backward(dy, y / scale, y.dtype.type(ALPHA))
        dy *= scale
