"""Max and mean pooling over windows of any place and size, both ways.

Window (i, j) takes rows ``rows[i, 0]`` up to, not including, ``rows[i, 1]`` of its image, and
columns alike; each has at least one pixel. So padding, rectangles and windows of unequal sizes are
all the same here. `elunet.kernels.pooling` is the fast way for equal squares inside the image.
"""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit


@jit
def max_windows(x: Array, rows: Array, columns: Array, y: Array, winner: Array) -> None:
    """Write each window's largest value to `y`, and its pixel to `winner`; NaN is the largest.

    Of equal values the first wins, in row-major order.

    Parameters
    ----------
    x : array of shape (N, H, W, C)
    rows, columns : arrays of int64, (H_out, 2) and (W_out, 2)
    y : array of shape (N, H_out, W_out, C)
    winner : array of int32, of y's shape
        ``row * W + column``.
    """
    images, out_height, out_width, channels = y.shape
    width = x.shape[2]
    for n in range(images):
        for i in range(out_height):
            for j in range(out_width):
                best, won = y[n, i, j], winner[n, i, j]
                first = rows[i, 0] * width + columns[j, 0]
                for c in range(channels):
                    best[c] = x[n, rows[i, 0], columns[j, 0], c]
                    won[c] = first
                for row in range(rows[i, 0], rows[i, 1]):
                    for column in range(columns[j, 0], columns[j, 1]):
                        source, place = x[n, row, column], row * width + column
                        for c in range(channels):
                            value = source[c]
                            if value > best[c] or (value != value and best[c] == best[c]):
                                best[c] = value
                                won[c] = place


@jit
def max_windows_backward(dy: Array, winner: Array, dx: Array) -> None:
    """Write ``dx``: each window's gradient goes to the pixel that won; overlaps are summed.

    Parameters
    ----------
    dy, winner : arrays of shape (N, H_out, W_out, C)
    dx : array of shape (N, H, W, C), written whole
    """
    images, out_height, out_width, channels = dy.shape
    width = dx.shape[2]
    dx[...] = 0
    for n in range(images):
        for i in range(out_height):
            for j in range(out_width):
                for c in range(channels):
                    place = winner[n, i, j, c]
                    dx[n, place // width, place % width, c] += dy[n, i, j, c]


@jit
def mean_windows(x: Array, rows: Array, columns: Array, divisor: Array, y: Array) -> None:
    """Write ``y[n, i, j, c]``: the sum over the window, by `divisor`, kept in float64.

    Parameters
    ----------
    x : array of shape (N, H, W, C)
    rows, columns : arrays of int64, (H_out, 2) and (W_out, 2)
    divisor : array of float64, (H_out, W_out)
    y : array of shape (N, H_out, W_out, C)
    """
    images, out_height, out_width, channels = y.shape
    totals = np.empty(channels)  # so that several channels are taken at once
    for n in range(images):
        for i in range(out_height):
            for j in range(out_width):
                totals[:] = 0
                for row in range(rows[i, 0], rows[i, 1]):
                    for column in range(columns[j, 0], columns[j, 1]):
                        for c in range(channels):
                            totals[c] += x[n, row, column, c]
                for c in range(channels):
                    y[n, i, j, c] = totals[c] / divisor[i, j]


@jit
def mean_windows_backward(
    dy: Array, rows: Array, columns: Array, divisor: Array, dx: Array
) -> None:
    """Write ``dx``: each pixel of a window gets its gradient by `divisor`; overlaps are summed.

    Parameters
    ----------
    dy : array of shape (N, H_out, W_out, C)
    rows, columns, divisor
        As in `mean_windows`.
    dx : array of shape (N, H, W, C), written whole
    """
    images, out_height, out_width, channels = dy.shape
    dx[...] = 0
    for n in range(images):
        for i in range(out_height):
            for j in range(out_width):
                for row in range(rows[i, 0], rows[i, 1]):
                    for column in range(columns[j, 0], columns[j, 1]):
                        for c in range(channels):
                            dx[n, row, column, c] += dy[n, i, j, c] / divisor[i, j]
