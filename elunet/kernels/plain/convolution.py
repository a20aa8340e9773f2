"""A convolution of few channels in NumPy. Compiled twin: `elunet.kernels.convolution`."""

from __future__ import annotations

from elunet._types import Array
from elunet.kernels.dot import dot
from elunet.kernels.plain._windows import Pair, windows


def convolve(
    x: Array, W: Array, b: Array, kernel: Pair, stride: int, top: int, left: int, y: Array
) -> None:
    """Write ``y[n, i, j, o] = b[o] + sum of x[n, i*stride + u - top, j*stride + v - left, c] W``.

    Here it is im2col and a product, image by image.
    """
    out = y.shape[1:3]
    for image, result in zip(x[:, None], y, strict=True):
        columns = windows(image, kernel, out, (stride, stride), top, left).reshape(-1, len(W))
        dot(columns, W, result.reshape(-1, y.shape[3]))
    y += b
