"""Convolutions with strides, dilation and groups in NumPy. Compiled: `elunet.kernels.strided`."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels.plain._windows import Pair, add_windows, windows


def im2col_strided(
    x: Array, strides: Pair, dilation: Pair, top: int, left: int, columns: Array
) -> None:
    """Write ``columns[g, n, i, j, u, v, c]``, channel c of group g of the window's pixel (u, v)."""
    out, kernel = columns.shape[2:4], columns.shape[4:6]
    for group, part in zip(columns, np.split(x, len(columns), axis=3), strict=True):
        group[...] = windows(part, kernel, out, strides, top, left, dilation)


def col2im_strided(
    columns: Array, strides: Pair, dilation: Pair, top: int, left: int, dx: Array
) -> None:
    """Write dx: each entry of the columns is added to the pixel that it was copied from."""
    dx[...] = 0
    for group, part in zip(columns, np.split(dx, len(columns), axis=3), strict=True):
        add_windows(group, part, strides, top, left, dilation)


def depthwise(
    x: Array, W: Array, strides: Pair, dilation: Pair, top: int, left: int, y: Array
) -> None:
    """Write ``y[n, i, j, c m + k] = sum of x[n, row, column, c] W[u, v, c m + k]``."""
    y[...] = 0
    view = windows(x, W.shape[:2], y.shape[1:3], strides, top, left, dilation)
    for u, v in np.ndindex(W.shape[:2]):
        y += view[:, :, :, u, v].repeat(y.shape[3] // x.shape[3], axis=3) * W[u, v]


def depthwise_backward(
    dy: Array, W: Array, strides: Pair, dilation: Pair, top: int, left: int, dx: Array
) -> None:
    """Write dx: each pixel gets ``dy W`` from all windows that it lies in."""
    channels = dx.shape[3]
    shares = dy[:, :, :, None, None] * W
    dx[...] = 0
    sums = shares.reshape(*shares.shape[:5], channels, -1).sum(axis=-1)
    add_windows(sums, dx, strides, top, left, dilation)


def depthwise_gradient(
    x: Array, dy: Array, strides: Pair, dilation: Pair, top: int, left: int, dW: Array
) -> None:
    """Add ``dW[u, v, c m + k] += sum over n, i, j of x[n, row, column, c] dy[n, i, j, c m + k]``.

    A line's sum is in x's dtype, and the lines' sum in float64.
    """
    view = windows(x, dW.shape[:2], dy.shape[1:3], strides, top, left, dilation)
    for u, v in np.ndindex(dW.shape[:2]):
        products = view[:, :, :, u, v].repeat(dy.shape[3] // x.shape[3], axis=3) * dy
        dW[u, v] += products.sum(axis=2).sum(axis=(0, 1), dtype=np.float64)
