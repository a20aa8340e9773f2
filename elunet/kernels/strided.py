"""Convolutions with any strides, dilation and groups, as rows of a matrix or channel by channel.

The window of output pixel (i, j) takes, for each u < kh and v < kw, the pixel in row
``i*sh + u*dh - top`` and column ``j*sw + v*dw - left``; what lies outside of the image is zero.
Where a group has one input channel (depthwise), there is no matrix product to be had, and the
channels, which lie next to each other in memory, are taken many at once.
"""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit

Pair = tuple[int, int]


@jit
def im2col_strided(
    x: Array, strides: Pair, dilation: Pair, top: int, left: int, columns: Array
) -> None:
    """Write ``columns[g, n, i, j, u, v, c]``, channel c of group g of the window's pixel (u, v).

    Parameters
    ----------
    x : C-contiguous array of shape (N, H, W, G C)
    strides, dilation : (int, int)
    top, left : int
    columns : C-contiguous array of shape (G, N, H_out, W_out, kh, kw, C)
        Written whole.
    """
    groups, images, out_height, out_width, kernel_height, kernel_width, channels = columns.shape
    height, width = x.shape[1:3]
    for g in range(groups):
        for n in range(images):
            for i in range(out_height):
                for j in range(out_width):
                    for u in range(kernel_height):
                        row = i * strides[0] + u * dilation[0] - top
                        for v in range(kernel_width):
                            column = j * strides[1] + v * dilation[1] - left
                            target = columns[g, n, i, j, u, v]
                            if 0 <= row < height and 0 <= column < width:
                                source = x[n, row, column, g * channels : (g + 1) * channels]
                                for c in range(channels):
                                    target[c] = source[c]
                            else:
                                for c in range(channels):
                                    target[c] = 0


@jit
def col2im_strided(
    columns: Array, strides: Pair, dilation: Pair, top: int, left: int, dx: Array
) -> None:
    """Write dx: each entry of the columns is added to the pixel that it was copied from.

    Parameters
    ----------
    columns : C-contiguous array of shape (G, N, H_out, W_out, kh, kw, C)
    strides, dilation : (int, int)
    top, left : int
        As in `im2col_strided`.
    dx : C-contiguous array of shape (N, H, W, G C)
        Written whole.
    """
    groups, images, out_height, out_width, kernel_height, kernel_width, channels = columns.shape
    height, width = dx.shape[1:3]
    dx[...] = 0
    for g in range(groups):
        for n in range(images):
            for i in range(out_height):
                for j in range(out_width):
                    for u in range(kernel_height):
                        row = i * strides[0] + u * dilation[0] - top
                        if 0 <= row < height:
                            for v in range(kernel_width):
                                column = j * strides[1] + v * dilation[1] - left
                                if 0 <= column < width:
                                    source = columns[g, n, i, j, u, v]
                                    target = dx[n, row, column]
                                    for c in range(channels):
                                        target[g * channels + c] += source[c]


@jit
def depthwise(
    x: Array, W: Array, strides: Pair, dilation: Pair, top: int, left: int, y: Array
) -> None:
    """Write ``y[n, i, j, c m + k] = sum of x[n, row, column, c] W[u, v, c m + k]``.

    Parameters
    ----------
    x : C-contiguous array of shape (N, H, W, C)
    W : C-contiguous array of shape (kh, kw, C m)
    strides, dilation : (int, int)
    top, left : int
    y : C-contiguous array of shape (N, H_out, W_out, C m)
        Written whole.
    """
    images, out_height, out_width, outputs = y.shape
    height, width, channels = x.shape[1:]
    many = outputs // channels
    for n in range(images):
        for i in range(out_height):
            for j in range(out_width):
                target = y[n, i, j]
                for o in range(outputs):
                    target[o] = 0
                for u in range(W.shape[0]):
                    row = i * strides[0] + u * dilation[0] - top
                    if 0 <= row < height:
                        for v in range(W.shape[1]):
                            column = j * strides[1] + v * dilation[1] - left
                            if 0 <= column < width:
                                source, weight = x[n, row, column], W[u, v]
                                if many == 1:  # by itself, so that several are taken at once
                                    for c in range(channels):
                                        target[c] += source[c] * weight[c]
                                else:
                                    for o in range(outputs):
                                        target[o] += source[o // many] * weight[o]


@jit
def depthwise_backward(
    dy: Array, W: Array, strides: Pair, dilation: Pair, top: int, left: int, dx: Array
) -> None:
    """Write dx: each pixel gets ``dy W`` from all windows that it lies in.

    Parameters
    ----------
    dy : C-contiguous array of shape (N, H_out, W_out, C m)
    W : C-contiguous array of shape (kh, kw, C m)
    strides, dilation : (int, int)
    top, left : int
    dx : C-contiguous array of shape (N, H, W, C)
        Written whole.
    """
    images, out_height, out_width, outputs = dy.shape
    height, width, channels = dx.shape[1:]
    many = outputs // channels
    dx[...] = 0
    for n in range(images):
        for i in range(out_height):
            for j in range(out_width):
                source = dy[n, i, j]
                for u in range(W.shape[0]):
                    row = i * strides[0] + u * dilation[0] - top
                    if 0 <= row < height:
                        for v in range(W.shape[1]):
                            column = j * strides[1] + v * dilation[1] - left
                            if 0 <= column < width:
                                target, weight = dx[n, row, column], W[u, v]
                                if many == 1:
                                    for c in range(channels):
                                        target[c] += source[c] * weight[c]
                                else:
                                    for o in range(outputs):
                                        target[o // many] += source[o] * weight[o]


@jit
def depthwise_gradient(
    x: Array, dy: Array, strides: Pair, dilation: Pair, top: int, left: int, dW: Array
) -> None:
    """Add ``dW[u, v, c m + k] += sum over n, i, j of x[n, row, column, c] dy[n, i, j, c m + k]``.

    A line's sum is in x's dtype, and the lines' sum in float64.

    Parameters
    ----------
    x : C-contiguous array of shape (N, H, W, C)
    dy : C-contiguous array of shape (N, H_out, W_out, C m)
    strides, dilation : (int, int)
    top, left : int
    dW : C-contiguous array of float64, (kh, kw, C m)
    """
    images, out_height, out_width, outputs = dy.shape
    height, width, channels = x.shape[1:]
    many = outputs // channels
    line = np.zeros(outputs, x.dtype)
    for n in range(images):
        for i in range(out_height):
            for u in range(dW.shape[0]):
                row = i * strides[0] + u * dilation[0] - top
                if 0 <= row < height:
                    for v in range(dW.shape[1]):
                        line[:] = 0
                        for j in range(out_width):
                            column = j * strides[1] + v * dilation[1] - left
                            if 0 <= column < width:
                                source, given = x[n, row, column], dy[n, i, j]
                                if many == 1:
                                    for c in range(channels):
                                        line[c] += source[c] * given[c]
                                else:
                                    for o in range(outputs):
                                        line[o] += source[o // many] * given[o]
                        for o in range(outputs):
                            dW[u, v, o] += line[o]
