"""Add: where the paths of a network meet."""

from __future__ import annotations

import numpy as np

from elunet._quiet import quiet
from elunet._types import Array
from elunet.layers._several import broadcast, summed
from elunet.layers.base import Layer


class Add(Layer):
    """Sum of several arrays, such as a residual path and its skip.

    `forward` takes a tuple of arrays; `backward_input` returns a tuple of as many gradients. The
    arrays have one shape, or are broadcast to one: axes of size 1 (but not the batch), and rows
    (N, C) over images (N, H, W, C).

    Raises
    ------
    TypeError, ValueError
        In `forward`, if x is not a tuple of at least one array, or shapes or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Add
    >>> Add().forward((np.array([1.0, 2.0]), np.array([10.0, 20.0])))
    array([11., 22.])
    """

    linear = True

    @quiet
    def forward(self, x: tuple[Array, ...], train: bool = False) -> Array:
        """Return the sum."""
        arrays = broadcast(self, x)
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        total: Array = np.broadcast_to(arrays[0], shape).copy()
        for array in arrays[1:]:
            total += array
        self.keep([array.shape for array in x], total.shape, total.dtype)
        return total

    @quiet
    def backward_input(self, dy: Array) -> tuple[Array, ...]:
        """Return dy for each input, summed over the axes along which the input was broadcast.

        The sum's derivative is 1 along every path.
        """
        shapes, shape, dtype = self.recall()
        dy = self.check_gradient(dy, shape, dtype)
        return tuple(summed(dy, own) for own in shapes)
