"""im2col and col2im: what turns a convolution into a matrix product, and back.

im2col lays each window of an image out as one row. A convolution is then one product with the
kernel's matrix. col2im is its transpose: each entry of a row is added to the pixel it came from.

Where an image has few channels, a window's line is a few numbers only, and copying them one window
after the other is slow. There, the same matrix is made transposed, a line of the output at a time,
from an image that is first laid out as planes with zeros around: `im2col_planes`, `col2im_planes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit

LANES = 8  # numbers that are moved at once: a 5x5 window's line of a color image has 15
PLACE = np.uintp  # of an index that is never negative, which saves asking whether it is


def move(source: Array, i: Any, target: Array, j: Any) -> None:
    """Copy LANES numbers, from place i on to place j on.

    So it runs when the JIT is off; compiled code takes that of `elunet.kernels._intrinsics`.
    """
    target[int(j) : int(j) + LANES] = source[int(i) : int(i) + LANES]


@jit
def _copy(source: Array, i: Any, target: Array, j: Any, count: Any) -> None:
    """Copy numbers from place i on to place j on; the last LANES may overlap those before."""
    lanes: Any = PLACE(LANES)
    if count < lanes:
        for k in range(count):
            target[j + k] = source[i + k]
    else:
        done: Any = PLACE(0)
        while done + lanes < count:
            move(source, i + done, target, j + done)
            done += lanes
        move(source, i + count - lanes, target, j + count - lanes)


@jit
def im2col(
    x: Array, kernel: tuple[int, int], stride: int, top: int, left: int, columns: Array
) -> None:
    """Write ``columns[n, i, j, u, v, c] = x[n, i*stride + u - top, j*stride + v - left, c]``.

    Parameters
    ----------
    x : C-contiguous array of shape (N, H, W, C)
    kernel : (kh, kw)
    stride, top, left : int
        Step of the window, and the rows and columns of zeros before the image.
    columns : C-contiguous array of shape (N, H_out, W_out, kh, kw, C)
        Written whole; zero where the window lies outside the image.
    """
    images, height, width, channels = x.shape
    out_height, out_width = columns.shape[1:3]
    # Pixels and channels are adjacent, in a image's line as in a window's: one run of numbers.
    source, target = x.reshape(-1), columns.reshape(-1)
    line = PLACE(kernel[1] * channels)
    place = PLACE(0)  # in the columns, which are written from start to end
    for n in range(images):
        for i in range(out_height):
            for j in range(out_width):
                first = j * stride - left  # of the image's columns; some may lie outside
                start = min(max(-first, 0), kernel[1])
                stop = max(min(width - first, kernel[1]), start)
                zeros, inside = PLACE(start * channels), PLACE((stop - start) * channels)
                for u in range(kernel[0]):
                    row = i * stride + u - top
                    if 0 <= row < height and start < stop:
                        for k in range(zeros):
                            target[place + k] = 0
                        pixel = (n * height + row) * width + first + start
                        _copy(source, PLACE(pixel * channels), target, place + zeros, inside)
                        for k in range(zeros + inside, line):
                            target[place + k] = 0
                    else:
                        for k in range(line):
                            target[place + k] = 0
                    place += line


@jit
def col2im(columns: Array, stride: int, top: int, left: int, dx: Array) -> None:
    """Write ``dx[n, h, w, c] = sum of columns[n, i, j, u, v, c]`` over all that im2col put there.

    Parameters
    ----------
    columns : array of shape (N, H_out, W_out, kh, kw, C)
    stride, top, left : int
        As in `im2col`.
    dx : array of shape (N, H, W, C)
        Written whole.
    """
    images, out_height, out_width, kernel_height, kernel_width, channels = columns.shape
    height, width = dx.shape[1:3]
    dx[...] = 0
    for n in range(images):
        for i in range(out_height):
            for j in range(out_width):
                for u in range(kernel_height):
                    row = i * stride + u - top
                    if 0 <= row < height:
                        for v in range(kernel_width):
                            column = j * stride + v - left
                            if 0 <= column < width:
                                for c in range(channels):
                                    dx[n, row, column, c] += columns[n, i, j, u, v, c]


@jit
def im2col_planes(
    x: Array, kernel: tuple[int, int], stride: int, top: int, left: int, columns: Array
) -> None:
    """Write ``columns[u, v, c, n, i, j] = x[n, i*stride + u - top, j*stride + v - left, c]``.

    Parameters
    ----------
    x : C-contiguous array of shape (N, H, W, C)
    kernel : (kh, kw)
    stride, top, left : int
        As in `im2col`; a negative `top` leaves out rows.
    columns : C-contiguous array of shape (kh, kw, C, N, H_out, W_out)
        Written whole; zero where the window lies outside the image.
    """
    images, height, width, channels = x.shape
    out_height, out_width = columns.shape[4:]
    down = (out_height - 1) * stride + kernel[0]  # a plane's size, the zeros around included
    across = (out_width - 1) * stride + kernel[1]
    first, last = max(0, -top), min(height, down - top)  # rows of the image that any window has
    line = min(width, across - left)
    planes = np.zeros(channels * down * across, x.dtype)
    source, target = x.reshape(-1), columns.reshape(-1)
    for n in range(images):
        for c in range(channels):
            for h in range(first, last):
                pixel = (n * height + h) * width * channels + c
                start = (c * down + h + top) * across + left
                for w in range(line):
                    planes[start + w] = source[pixel + w * channels]
        for u in range(kernel[0]):
            for v in range(kernel[1]):
                for c in range(channels):
                    row = ((u * kernel[1] + v) * channels + c) * images + n
                    for i in range(out_height):
                        place = (row * out_height + i) * out_width
                        start = (c * down + i * stride + u) * across + v
                        if stride == 1:
                            _copy(planes, PLACE(start), target, PLACE(place), PLACE(out_width))
                        else:
                            for j in range(out_width):
                                target[place + j] = planes[start + j * stride]


@jit
def col2im_planes(columns: Array, stride: int, top: int, left: int, dx: Array) -> None:
    """Write ``dx[n, h, w, c] = sum of columns[u, v, c, n, i, j]`` over all that came from there.

    Parameters
    ----------
    columns : array of shape (kh, kw, C, N, H_out, W_out)
    stride, top, left : int
        As in `im2col`.
    dx : array of shape (N, H, W, C)
        Written whole.
    """
    kernel_height, kernel_width, channels, images, out_height, out_width = columns.shape
    height, width = dx.shape[1:3]
    down = max((out_height - 1) * stride + kernel_height, height + top)
    across = max((out_width - 1) * stride + kernel_width, width + left)
    planes = np.empty((channels, down, across), dx.dtype)
    for n in range(images):
        planes[...] = 0
        for u in range(kernel_height):
            for v in range(kernel_width):
                for c in range(channels):
                    for i in range(out_height):
                        row = i * stride + u
                        if stride == 1:  # by itself, so that several numbers are taken at once
                            for j in range(out_width):
                                planes[c, row, j + v] += columns[u, v, c, n, i, j]
                        else:
                            for j in range(out_width):
                                planes[c, row, j * stride + v] += columns[u, v, c, n, i, j]
        for h in range(height):
            for w in range(width):
                for c in range(channels):
                    dx[n, h, w, c] = planes[c, h + top, w + left]
