"""Pooling over windows of any size, in NumPy. Compiled twins: `elunet.kernels.windows`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from elunet._types import Array


def max_windows(x: Array, rows: Array, columns: Array, y: Array, winner: Array) -> None:
    """Write each window's largest value to `y`, and its pixel to `winner`; NaN is the largest.

    Of equal values the first wins, in row-major order.
    """
    width = x.shape[2]
    for i, j, window, (top, left) in _windows(x, rows, columns):
        flat = window.reshape(len(x), -1, x.shape[3])
        best = flat.argmax(axis=1)  # NumPy, too, takes the first NaN for the largest
        y[:, i, j] = np.take_along_axis(flat, best[:, None], 1)[:, 0]
        row, column = np.divmod(best, window.shape[2])
        winner[:, i, j] = (top + row) * width + left + column


def max_windows_backward(dy: Array, winner: Array, dx: Array) -> None:
    """Write ``dx``: each window's gradient goes to the pixel that won; overlaps are summed."""
    dx[...] = 0
    row, column = np.divmod(winner, dx.shape[2])
    n, c = np.arange(len(dy))[:, None, None, None], np.arange(dy.shape[3])
    np.add.at(dx, (n, row, column, c), dy)


def mean_windows(x: Array, rows: Array, columns: Array, divisor: Array, y: Array) -> None:
    """Write ``y[n, i, j, c]``: the sum over the window, by `divisor`, kept in float64."""
    for i, j, window, _ in _windows(x, rows, columns):
        y[:, i, j] = window.sum(axis=(1, 2), dtype=np.float64) / divisor[i, j]


def mean_windows_backward(
    dy: Array, rows: Array, columns: Array, divisor: Array, dx: Array
) -> None:
    """Write ``dx``: each pixel of a window gets its gradient by `divisor`; overlaps are summed."""
    dx[...] = 0
    for i, j, window, _ in _windows(dx, rows, columns):
        window += (dy[:, i, j] / divisor[i, j])[:, None, None]


def _windows(
    x: Array, rows: Array, columns: Array
) -> Iterator[tuple[int, int, Array, tuple[int, int]]]:
    """Go through the windows: (i, j, the view, its first row and column)."""
    for i, (top, bottom) in enumerate(rows.tolist()):
        for j, (left, right) in enumerate(columns.tolist()):
            yield i, j, x[:, top:bottom, left:right], (top, left)
