"""Concat: the paths of a network side by side."""

from __future__ import annotations

import numpy as np

from elunet._checks import integer
from elunet._types import Array
from elunet.layers._several import checked, unlike
from elunet.layers.base import Layer


class Concat(Layer):
    """Several arrays joined along an axis: by default the last, so that channels add up.

    `forward` takes a tuple of arrays; `backward_input` returns a tuple of as many gradients.

    Parameters
    ----------
    axis : int, default -1
        Any but the first, which is the batch; negative numbers count from the end.

    Raises
    ------
    TypeError, ValueError
        If `axis` is not an integer, or the first axis; in `forward`, if x is not a tuple of at
        least one array, has no such axis, or shapes along other axes, or dtypes, differ.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Concat
    >>> Concat().forward((np.zeros((5, 2, 2, 3)), np.zeros((5, 2, 2, 1)))).shape
    (5, 2, 2, 4)
    """

    linear = True

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = integer("Concat", "axis", axis, -32)
        if axis == 0:
            raise ValueError("Concat: expected an axis other than 0, which is the batch, got 0")

    def forward(self, x: tuple[Array, ...], train: bool = False) -> Array:
        """Return all of x in a row."""
        arrays = checked(self, x)
        first = arrays[0].shape
        axis = self.axis + len(first) if self.axis < 0 else self.axis
        if not 0 < axis < len(first):
            raise ValueError(
                f"{self!r}: expected x of arrays with an axis {self.axis} behind the batch, got"
                f" shape {first}"
            )
        for place, array in enumerate(arrays):
            shape = array.shape
            if (shape[:axis], shape[axis + 1 :]) != (first[:axis], first[axis + 1 :]):
                raise unlike(self, arrays, place, f", except axis {self.axis}")
        y = np.concatenate(arrays, axis)
        self.keep(axis, [array.shape[axis] for array in arrays], y.shape, y.dtype)
        return np.asarray(y, order="C")

    def backward_input(self, dy: Array) -> tuple[Array, ...]:
        """Return each input's part of dy."""
        axis, sizes, shape, dtype = self.recall()
        dy = self.check_gradient(dy, shape, dtype)
        parts = np.split(dy, np.cumsum(sizes)[:-1], axis)
        return tuple(np.array(part, order="C") for part in parts)

    def __repr__(self) -> str:
        return "Concat()" if self.axis == -1 else f"Concat(axis={self.axis})"
