"""Windows of images as views: what im2col, pooling and Winograd's tiles have in common."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from elunet._types import Array

Pair = tuple[int, int]


def windows(
    x: Array, kernel: Pair, out: Pair, strides: Pair, top: int, left: int, dilation: Pair = (1, 1)
) -> Array:
    """Return a view ``[n, i, j, u, v, c]`` of x, with zeros around it where windows reach out.

    It is ``x[n, i*sh + u*dh - top, j*sw + v*dw - left, c]``; what lies outside is 0.
    """
    reach = tuple((size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True))
    sides = [(n - 1) * step + far for n, step, far in zip(out, strides, reach, strict=True)]
    view = sliding_window_view(_cut(x, top, left, sides), reach, (1, 2))
    view = view[:, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


def add_windows(
    columns: Array, dx: Array, strides: Pair, top: int, left: int, dilation: Pair = (1, 1)
) -> None:
    """Add ``columns[n, i, j, u, v, c]`` to the pixels of dx that `windows` takes there."""
    images, down, across, kernel_height, kernel_width, channels = columns.shape
    height, width = dx.shape[1:3]
    sides = [
        max((n - 1) * step + (size - 1) * apart + 1, before + side)
        for n, step, size, apart, before, side in (
            (down, strides[0], kernel_height, dilation[0], top, height),
            (across, strides[1], kernel_width, dilation[1], left, width),
        )
    ]
    whole = np.zeros((images, *sides, channels), dx.dtype)
    for u in range(kernel_height):
        for v in range(kernel_width):
            whole[:, _every(u * dilation[0], down, strides[0])][
                :, :, _every(v * dilation[1], across, strides[1])
            ] += columns[:, :, :, u, v]
    dx += whole[:, top : top + height, left : left + width]


def places(x: Array, size: int, stride: int, out: Pair) -> list[Array]:
    """Return for each place (u, v) of a square window a view of x, in all windows."""
    return [
        x[:, _every(u, out[0], stride)][:, :, _every(v, out[1], stride)]
        for u in range(size)
        for v in range(size)
    ]


def _every(first: int, count: int, step: int) -> slice:
    return slice(first, first + (count - 1) * step + 1, step)


def _cut(x: Array, top: int, left: int, sides: list[int]) -> Array:
    """Return so many rows and columns of x with zeros around it, from `top` and `left` before."""
    images, height, width, channels = x.shape
    first, start = max(-top, 0), max(-left, 0)
    last = max(first, min(height, sides[0] - top))
    stop = max(start, min(width, sides[1] - left))
    if (top, left) == (-first, -start) and (last - first, stop - start) == tuple(sides):
        return x[:, first:last, start:stop]
    cut = np.zeros((images, *sides, channels), x.dtype)
    cut[:, top + first : top + last, left + start : left + stop] = x[:, first:last, start:stop]
    return cut
