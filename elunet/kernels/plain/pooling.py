"""Max and mean pooling over square windows in NumPy. Compiled twins: `elunet.kernels.pooling`."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels.plain._windows import places


def max_pool(x: Array, size: int, stride: int, y: Array, winner: Array) -> None:
    """Write each window's largest value to `y` and its place in the window to `winner`.

    Of equal values the first wins, in row-major order. A NaN wins over everything.
    """
    first, *others = places(x, size, stride, y.shape[1:3])
    y[...], winner[...] = first, 0
    for k, value in enumerate(others, 1):
        better = (value > y) | (value != value)
        np.copyto(y, value, where=better)
        winner[better] = k


def max_pool_backward(dy: Array, winner: Array, size: int, stride: int, dx: Array) -> None:
    """Write ``dx``: each window's gradient goes to the pixel that won; overlaps are summed."""
    dx[...] = 0
    for k, place in enumerate(places(dx, size, stride, dy.shape[1:3])):
        place += np.where(winner == k, dy, dy.dtype.type(0))


def mean_pool(x: Array, size: int, stride: int, y: Array) -> None:
    """Write each window's mean; sums of more than four numbers are kept in float64."""
    first, *others = places(x, size, stride, y.shape[1:3])
    total = first.astype(x.dtype if size == 2 else np.float64)
    for value in others:
        total += value
    y[...] = total / (size * size)


def mean_pool_backward(dy: Array, size: int, stride: int, dx: Array) -> None:
    """Write ``dx``: each pixel of a window gets 1/size^2 of its gradient; overlaps are summed."""
    dx[...] = 0
    share = dy * (dy.dtype.type(1) / dy.dtype.type(size * size))
    for place in places(dx, size, stride, dy.shape[1:3]):
        place += share
