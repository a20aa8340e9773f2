"""Max and mean pooling over square windows, both ways.

The channels lie next to each other in memory, so the innermost loops run over them: each position
of a window is one pass over a vector of channels, without branches.
"""

from __future__ import annotations

from elunet._types import Array
from elunet.kernels._jit import jit


@jit
def max_pool(x: Array, size: int, stride: int, y: Array, winner: Array) -> None:
    """Write each window's largest value to `y` and its place in the window to `winner`.

    Of equal values the first wins, in row-major order. A NaN wins over everything.

    Parameters
    ----------
    x : array of shape (N, H, W, C)
    size, stride : int
        Side of the window and the step between windows; all windows lie inside the picture.
    y : array of shape (N, H_out, W_out, C)
    winner : integer array of y's shape
        u * size + v for the pixel in row u and column v of the window.
    """
    pictures, out_height, out_width, channels = y.shape
    for n in range(pictures):
        for i in range(out_height):
            for j in range(out_width):
                for c in range(channels):
                    y[n, i, j, c] = x[n, i * stride, j * stride, c]
                    winner[n, i, j, c] = 0
                for k in range(1, size * size):
                    row, column = i * stride + k // size, j * stride + k % size
                    for c in range(channels):
                        value = x[n, row, column, c]
                        better = (value > y[n, i, j, c]) | (value != value)
                        y[n, i, j, c] = value if better else y[n, i, j, c]
                        winner[n, i, j, c] = k if better else winner[n, i, j, c]


@jit
def max_pool_backward(dy: Array, winner: Array, size: int, stride: int, dx: Array) -> None:
    """Write ``dx``: each window's gradient goes to the pixel that won; overlaps are summed.

    Parameters
    ----------
    dy, winner : arrays of shape (N, H_out, W_out, C)
    size, stride : int
    dx : array of shape (N, H, W, C), written whole
    """
    pictures, out_height, out_width, channels = dy.shape
    zero = dy.dtype.type(0)
    once = size == stride and dx.shape[1:3] == (size * out_height, size * out_width)
    for n in range(pictures):
        if not once:  # some pixels lie in several windows, or in none
            dx[n] = zero
        for i in range(out_height):
            for j in range(out_width):
                for k in range(size * size):
                    row, column = i * stride + k // size, j * stride + k % size
                    for c in range(channels):
                        before = zero if once else dx[n, row, column, c]
                        won = winner[n, i, j, c] == k
                        dx[n, row, column, c] = before + (dy[n, i, j, c] if won else zero)


@jit
def mean_pool(x: Array, size: int, stride: int, y: Array) -> None:
    """Write each window's mean, ``y[n, i, j, c] = 1/size^2 * sum over the window``.

    Parameters
    ----------
    x : array of shape (N, H, W, C)
    size, stride : int
    y : array of shape (N, H_out, W_out, C)
    """
    pictures, out_height, out_width, channels = y.shape
    share = x.dtype.type(1) / x.dtype.type(size * size)
    for n in range(pictures):
        for i in range(out_height):
            for j in range(out_width):
                for c in range(channels):
                    y[n, i, j, c] = x[n, i * stride, j * stride, c]
                for k in range(1, size * size):
                    row, column = i * stride + k // size, j * stride + k % size
                    for c in range(channels):
                        y[n, i, j, c] += x[n, row, column, c]
                for c in range(channels):
                    y[n, i, j, c] *= share


@jit
def mean_pool_backward(dy: Array, size: int, stride: int, dx: Array) -> None:
    """Write ``dx``: each pixel of a window gets 1/size^2 of its gradient; overlaps are summed.

    Parameters
    ----------
    dy : array of shape (N, H_out, W_out, C)
    size, stride : int
    dx : array of shape (N, H, W, C), written whole
    """
    pictures, out_height, out_width, channels = dy.shape
    zero = dy.dtype.type(0)
    once = size == stride and dx.shape[1:3] == (size * out_height, size * out_width)
    share = dy.dtype.type(1) / dy.dtype.type(size * size)
    for n in range(pictures):
        if not once:  # some pixels lie in several windows, or in none
            dx[n] = zero
        for i in range(out_height):
            for j in range(out_width):
                for k in range(size * size):
                    row, column = i * stride + k // size, j * stride + k % size
                    for c in range(channels):
                        before = zero if once else dx[n, row, column, c]
                        dx[n, row, column, c] = before + dy[n, i, j, c] * share
