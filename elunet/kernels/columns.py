"""im2col and col2im: what turns a convolution into a matrix product, and back.

im2col lays each window of a picture out as one row. A convolution is then one product with the
kernel's matrix. col2im is its transpose: each entry of a row is added to the pixel it came from.
"""

from __future__ import annotations

from elunet._types import Array
from elunet.kernels._jit import jit


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
        Step of the window, and the rows and columns of zeros before the picture.
    columns : C-contiguous array of shape (N, H_out, W_out, kh, kw, C)
        Written whole; zero where the window lies outside the picture.
    """
    pictures, height, width, channels = x.shape
    out_height, out_width = columns.shape[1:3]
    kernel_height, kernel_width = kernel
    # Pixels and channels are adjacent, in a picture's line as in a window's: one run of numbers.
    lines = x.reshape(pictures, height, width * channels)
    windows = columns.reshape(
        pictures, out_height, out_width, kernel_height, kernel_width * channels
    )
    for n in range(pictures):
        for i in range(out_height):
            for j in range(out_width):
                first = j * stride - left  # of the picture's columns; some may lie outside
                start = min(max(-first, 0), kernel_width)
                stop = max(min(width - first, kernel_width), start)
                for u in range(kernel_height):
                    row = i * stride + u - top
                    window = windows[n, i, j, u]
                    if 0 <= row < height:
                        window[: start * channels] = 0
                        inside = window[start * channels : stop * channels]
                        source = lines[n, row, (first + start) * channels :]
                        for k in range(inside.size):
                            inside[k] = source[k]
                        window[stop * channels :] = 0
                    else:
                        window[:] = 0


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
    pictures, out_height, out_width, kernel_height, kernel_width, channels = columns.shape
    height, width = dx.shape[1:3]
    dx[...] = 0
    for n in range(pictures):
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
