"""Add: where the paths of a network meet."""

from __future__ import annotations

from elunet._quiet import quiet
from elunet._types import Array
from elunet.layers.base import Layer, check_float


class Add(Layer):
    """Sum of several arrays of one shape, such as a residual path and its skip.

    `forward` takes a tuple of arrays; `backward_input` returns a tuple of as many gradients.

    Raises
    ------
    TypeError, ValueError
        In `forward`, if x is not a tuple of at least one array, or shapes or dtypes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Add
    >>> Add().forward((np.array([1.0, 2.0]), np.array([10.0, 20.0])))
    array([11., 22.])
    """

    @quiet
    def forward(self, x: tuple[Array, ...], train: bool = False) -> Array:
        """Return the sum."""
        if not isinstance(x, tuple) or not x:
            raise TypeError(f"{self!r}: expected x as a tuple of arrays, got {type(x).__name__}")
        for place, array in enumerate(x):
            check_float(array, f"{self!r}: expected x[{place}]")
            if (array.shape, array.dtype) != (x[0].shape, x[0].dtype):
                raise ValueError(
                    f"{self!r}: expected x[{place}] like x[0], {x[0].dtype} of shape {x[0].shape},"
                    f" got {array.dtype} of shape {array.shape}"
                )
        total: Array = x[0].copy()
        for array in x[1:]:
            total += array
        self.keep(len(x), total.shape, total.dtype)
        return total

    @quiet
    def backward_input(self, dy: Array) -> tuple[Array, ...]:
        """Return dy once for each input: the sum's derivative is 1 along every path."""
        count, shape, dtype = self.recall()
        dx: tuple[Array, ...] = (self.check_gradient(dy, shape, dtype),) * count
        return dx
