"""A convolution without im2col, for images of few channels.

There, columns are many more numbers than the image and the output together, and all the time goes
into memory. This kernel keeps some channels of eight neighboring outputs in registers, and goes
with them through a window's numbers: each is one number of the image and a vector of the kernel.
"""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit
from elunet.kernels.lanes import LANES, fill, load, multiply_add, store

PIXELS = 8  # outputs at once


@jit
def convolve(
    x: Array,
    W: Array,
    b: Array,
    kernel: tuple[int, int],
    stride: int,
    top: int,
    left: int,
    y: Array,
) -> None:
    """Write ``y[n, i, j, o] = b[o] + sum of x[n, i*stride + u - top, j*stride + v - left, c] W``.

    Parameters
    ----------
    x : C-contiguous array of shape (N, H, W, C)
    W : C-contiguous array of shape (kh * kw * C, O)
    b : array of shape (O,)
    kernel : (kh, kw)
    stride, top, left : int
        As in `elunet.kernels.columns.im2col`; a negative `top` leaves out rows.
    y : C-contiguous array of shape (N, H_out, W_out, O)
        Written whole. O is a multiple of `LANES`, or less than that.
    """
    images, height, width, channels = x.shape
    out_height, out_width, outputs = y.shape[1:]
    down = (out_height - 1) * stride + kernel[0]  # the image with zeros around
    across = (max(out_width, PIXELS) - 1) * stride + kernel[1]
    first, last = max(0, -top), min(height, down - top)
    line = min(width, across - left) * channels
    padded = np.zeros(down * across * channels, x.dtype)
    vectors = -(-outputs // LANES) * LANES
    weights, bias = np.zeros(len(W) * vectors, x.dtype), np.zeros(vectors, x.dtype)
    bias[:outputs] = b
    for k in range(len(W)):
        for o in range(outputs):
            weights[k * vectors + o] = W[k, o]
    source, target = x.reshape(-1), y.reshape(-1)
    step, run = stride * channels, kernel[1] * channels
    for n in range(images):
        for h in range(first, last):
            to = ((h + top) * across + left) * channels
            pixel = (n * height + h) * width * channels
            for k in range(line):
                padded[to + k] = source[pixel + k]
        for i in range(out_height):
            row = (n * out_height + i) * out_width
            for o in range(0, outputs, LANES):
                for start in range(0, out_width, PIXELS):
                    j = max(0, min(start, out_width - PIXELS))
                    corner = (i * stride * across + j * stride) * channels
                    a0 = load(bias, o, LANES)
                    a1, a2, a3, a4, a5, a6, a7 = a0, a0, a0, a0, a0, a0, a0
                    place = o
                    for u in range(kernel[0]):
                        here = corner + u * across * channels
                        for k in range(here, here + run):
                            w = load(weights, place, LANES)
                            place += vectors
                            a0 = multiply_add(fill(padded[k]), w, a0)
                            a1 = multiply_add(fill(padded[k + step]), w, a1)
                            a2 = multiply_add(fill(padded[k + 2 * step]), w, a2)
                            a3 = multiply_add(fill(padded[k + 3 * step]), w, a3)
                            a4 = multiply_add(fill(padded[k + 4 * step]), w, a4)
                            a5 = multiply_add(fill(padded[k + 5 * step]), w, a5)
                            a6 = multiply_add(fill(padded[k + 6 * step]), w, a6)
                            a7 = multiply_add(fill(padded[k + 7 * step]), w, a7)
                    # In order: what a vector writes beyond its pixel is written over by the next.
                    goal = (row + j) * outputs + o
                    for p, vector in enumerate((a0, a1, a2, a3, a4, a5, a6, a7)):
                        if j + p < out_width:
                            store(target, goal, vector, target.size - goal)
                            goal += outputs
