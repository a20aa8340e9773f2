"""im2col and col2im in NumPy. Compiled twins: `elunet.kernels.columns`."""

from __future__ import annotations

from elunet._types import Array
from elunet.kernels.plain._windows import Pair, add_windows, windows


def im2col(x: Array, kernel: Pair, stride: int, top: int, left: int, columns: Array) -> None:
    """Write ``columns[n, i, j, u, v, c] = x[n, i*stride + u - top, j*stride + v - left, c]``."""
    columns[...] = windows(x, kernel, columns.shape[1:3], (stride, stride), top, left)


def col2im(columns: Array, stride: int, top: int, left: int, dx: Array) -> None:
    """Write ``dx[n, h, w, c] = sum of columns[n, i, j, u, v, c]`` that im2col put there."""
    dx[...] = 0
    add_windows(columns, dx, (stride, stride), top, left)


def im2col_planes(x: Array, kernel: Pair, stride: int, top: int, left: int, columns: Array) -> None:
    """Write ``columns[u, v, c, n, i, j] = x[n, i*stride + u - top, j*stride + v - left, c]``."""
    im2col(x, kernel, stride, top, left, columns.transpose(3, 4, 5, 0, 1, 2))


def col2im_planes(columns: Array, stride: int, top: int, left: int, dx: Array) -> None:
    """Write ``dx[n, h, w, c] = sum of columns[u, v, c, n, i, j]`` over all that came from there."""
    col2im(columns.transpose(3, 4, 5, 0, 1, 2), stride, top, left, dx)
