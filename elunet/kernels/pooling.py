"""Max and mean pooling over square windows, both ways.

The channels of a pixel lie next to each other in memory: some of them are one vector, which goes
through all pixels of a window. Results are written in their order in memory, so what a vector
writes beyond a pixel's channels is written over with the next pixel's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit
from elunet.kernels.lanes import LANES, below, fill, load, rounded, store, where, widened


@jit
def max_pool(x: Array, size: int, stride: int, y: Array, winner: Array) -> None:
    """Write each window's largest value to `y` and its place in the window to `winner`.

    Of equal values the first wins, in row-major order. A NaN wins over everything.

    Parameters
    ----------
    x : C-contiguous array of shape (N, H, W, C)
    size, stride : int
        Side of the window and the step between windows; all windows lie inside the image.
    y : C-contiguous array of shape (N, H_out, W_out, C)
    winner : C-contiguous integer array of y's shape
        u * size + v for the pixel in row u and column v of the window.
    """
    images, out_height, out_width, channels = y.shape
    height, width = x.shape[1:3]
    line = width * channels  # numbers of a row of pixels
    values, largest, winners = x.reshape(-1), y.reshape(-1), winner.reshape(-1)
    place = 0
    for n in range(images):
        for i in range(out_height):
            first = (n * height + i * stride) * line
            inside = first + size * line + LANES <= x.size
            inside = inside and place + out_width * channels + LANES <= y.size
            for _ in range(out_width):
                for c in range(0, channels, LANES):
                    count = LANES if inside else channels - c
                    here = first + c
                    if size == 2:  # as a constant, for which the compiler needs no loop
                        best, won = _largest(values, here, 2, line, channels, winners, count)
                    else:
                        best, won = _largest(values, here, size, line, channels, winners, count)
                    store(largest, place + c, best, count)
                    store(winners, place + c, won, count)
                place += channels
                first += stride * channels


@jit
def _largest(
    x: Array, first: Any, size: int, line: int, channels: int, winners: Array, count: Any
) -> Any:
    """Return a window's largest values, and their places in the type of `winners`."""
    best, won = load(x, first, count), fill(winners.dtype.type(0))
    for u in range(size):
        for v in range(size):
            value = load(x, first + u * line + v * channels, count)
            better = (value > best) | (value != value)
            best = where(better, value, best)
            won = where(better, fill(winners.dtype.type(u * size + v)), won)
    return best, won


@jit
def max_pool_backward(dy: Array, winner: Array, size: int, stride: int, dx: Array) -> None:
    """Write ``dx``: each window's gradient goes to the pixel that won; overlaps are summed.

    Parameters
    ----------
    dy, winner : C-contiguous arrays of shape (N, H_out, W_out, C)
    size, stride : int
    dx : C-contiguous array of shape (N, H, W, C), written whole
    """
    images, out_height, out_width, channels = dy.shape
    height, width = dx.shape[1:3]
    line = width * channels
    source, winners, target = dy.reshape(-1), winner.reshape(-1), dx.reshape(-1)
    nothing = fill(dy.dtype.type(0))
    once = _covers_once(dy, size, stride, dx)
    if not once:
        dx[...] = 0
    for n in range(images):
        for i in range(out_height):
            for u in range(size):
                first = (n * out_height + i) * out_width * channels
                place = (n * height + i * stride + u) * line
                inside = first + out_width * channels + LANES <= dy.size
                inside = inside and place + line + LANES <= dx.size
                for _ in range(out_width):
                    for v in range(size):
                        k = fill(winners.dtype.type(u * size + v))
                        for c in range(0, channels, LANES):
                            count = LANES if inside else channels - c
                            here = place + v * channels + c
                            won = load(winners, first + c, count) == k
                            share = where(won, load(source, first + c, count), nothing)
                            if not once:
                                its = below(channels - c)
                                share = load(target, here, count) + where(its, share, nothing)
                            store(target, here, share, count)
                    first += channels
                    place += stride * channels


@jit
def mean_pool(x: Array, size: int, stride: int, y: Array) -> None:
    """Write each window's mean, ``y[n, i, j, c] = 1/size^2 * sum over the window``.

    Sums of more than four numbers are kept in float64: over a window of 2000 x 2000 a sum in
    float32 loses three digits.

    Parameters
    ----------
    x : C-contiguous array of shape (N, H, W, C)
    size, stride : int
    y : C-contiguous array of shape (N, H_out, W_out, C)
    """
    images, out_height, out_width, channels = y.shape
    height, width = x.shape[1:3]
    line = width * channels
    values, means = x.reshape(-1), y.reshape(-1)
    share, part = fill(x.dtype.type(0.25)), fill(1.0 / np.float64(size * size))
    place = 0
    for n in range(images):
        for i in range(out_height):
            first = (n * height + i * stride) * line
            inside = first + size * line + LANES <= x.size
            inside = inside and place + out_width * channels + LANES <= y.size
            for _ in range(out_width):
                for c in range(0, channels, LANES):
                    count = LANES if inside else channels - c
                    if size == 2:
                        mean = _sum_of_four(values, first + c, line, channels, count) * share
                    else:
                        total = _sum(values, first + c, size, line, channels, count)
                        mean = rounded(total * part, means)
                    store(means, place + c, mean, count)
                place += channels
                first += stride * channels


@jit
def _sum_of_four(x: Array, first: Any, line: int, channels: int, count: Any) -> Any:
    """Return the sums over a window of 2 x 2."""
    total = load(x, first, count)
    for k in range(1, 4):
        total = total + load(x, first + k // 2 * line + k % 2 * channels, count)
    return total


@jit
def _sum(x: Array, first: Any, size: int, line: int, channels: int, count: Any) -> Any:
    """Return the sums over a window, in float64."""
    total = fill(0.0)
    for u in range(size):
        for v in range(size):
            total = total + widened(load(x, first + u * line + v * channels, count))
    return total


@jit
def mean_pool_backward(dy: Array, size: int, stride: int, dx: Array) -> None:
    """Write ``dx``: each pixel of a window gets 1/size^2 of its gradient; overlaps are summed.

    Parameters
    ----------
    dy : C-contiguous array of shape (N, H_out, W_out, C)
    size, stride : int
    dx : C-contiguous array of shape (N, H, W, C), written whole
    """
    images, out_height, out_width, channels = dy.shape
    height, width = dx.shape[1:3]
    line = width * channels
    source, target = dy.reshape(-1), dx.reshape(-1)
    part, nothing = fill(dy.dtype.type(1) / dy.dtype.type(size * size)), fill(dy.dtype.type(0))
    once = _covers_once(dy, size, stride, dx)
    if not once:
        dx[...] = 0
    for n in range(images):
        for i in range(out_height):
            for u in range(size):
                first = (n * out_height + i) * out_width * channels
                place = (n * height + i * stride + u) * line
                inside = first + out_width * channels + LANES <= dy.size
                inside = inside and place + line + LANES <= dx.size
                for _ in range(out_width):
                    for v in range(size):
                        for c in range(0, channels, LANES):
                            count = LANES if inside else channels - c
                            here = place + v * channels + c
                            share = load(source, first + c, count) * part
                            if not once:
                                its = below(channels - c)
                                share = load(target, here, count) + where(its, share, nothing)
                            store(target, here, share, count)
                    first += channels
                    place += stride * channels


@jit
def _covers_once(dy: Array, size: int, stride: int, dx: Array) -> bool:
    """Return whether each pixel lies in one window: if not, in several or in none."""
    sides = size * dy.shape[1], size * dy.shape[2]
    return size == stride and dx.shape[1:3] == sides
