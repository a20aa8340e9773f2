"""The plain way to compute a convolution: im2col and a matrix product.

Each window of an image is laid out as a row; the kernel is a matrix with C_out columns. Forward is
their product. Both gradients are products as well, with the same rows for dW, and with the rows'
own gradient, put back by col2im, for dx. The rows are made for a few images at a time, so that they
are multiplied while they are still in the cache, and made again for dW: that is cheaper than
keeping them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from elunet._types import Array
from elunet.kernels.columns import col2im, col2im_planes, im2col, im2col_planes
from elunet.kernels.convolution import convolve
from elunet.kernels.dot import dot
from elunet.kernels.lanes import LANES
from elunet.kernels.sums import add_rows, add_to_rows
from elunet.layers._windows import Windows
from elunet.layers.spans import (
    Queue,
    Split,
    Sum,
    even,
    new_sums,
    scratch,
    total,
    workers_for,
)

BLOCK = 1 << 20  # bytes of columns that are made at a time
FEW, SOME = 4, 12  # channels up to which planes are faster: to make columns, and to put them back


class Im2col:
    """A convolution as products with the windows of some images, the rows of a matrix.

    A 1x1 kernel at stride 1, without padding, has one pixel per window: its rows are the image
    itself.
    """

    def __init__(self, windows: Windows, dtype: np.dtype[np.floating], threads: int) -> None:
        self.windows, self.dtype = windows, dtype
        self.direct = windows.width == windows.in_channels and windows.size == windows.out
        self.direct = self.direct and (windows.stride, windows.top, windows.left) == (1, 0, 0)
        outputs = windows.out_channels  # few, and whole vectors or less than one
        self.narrow = windows.in_channels <= FEW and outputs in {*range(1, LANES + 1), 2 * LANES}
        self.narrow = self.narrow and not self.direct
        self.workers = workers_for(windows.images, windows.cost, threads)
        per_image = windows.out[0] * windows.out[1] * windows.width * dtype.itemsize
        share = -(-windows.images // self.workers)
        self.split = Split(self.workers, even(share, BLOCK // per_image))

    def kernel(self, W: Array) -> Array:
        """Return the matrix that forward's rows are multiplied with, (kh kw C_in, C_out)."""
        return W.reshape(self.windows.width, -1)

    def transposed_kernel(self, W: Array) -> Array:
        """Return the matrix that a gradient is multiplied with in the backward pass."""
        return self.kernel(W).T

    def forward_span(
        self, x: Array, y: Array, kernel: Array, b: Array | None, windows: Windows | None = None
    ) -> None:
        """Write ``y = columns W + b``; `windows` may be some of all."""
        windows = windows or self.windows
        if self.narrow:
            if b is None:
                b = np.zeros(windows.out_channels, self.dtype)
            where = windows.kernel, windows.stride, windows.top, windows.left
            convolve(x, kernel, b, *where, y)
            return
        rows = _rows(y)
        dot(self._columns(x, windows), kernel, rows)
        if b is not None:
            add_to_rows(rows, b)

    def start_rows(self, queue: Queue, x: Array, y: Array, kernel: Array, b: Array | None) -> bool:
        """Defer the work for one image alone, split over the rows of its output."""
        rows, windows = y.shape[1], self.windows
        workers = workers_for(rows, windows.cost)
        if workers == 1:
            return False
        per_row = windows.out[1] * windows.width * self.dtype.itemsize

        def work(start: int, stop: int, worker: int) -> None:
            band = replace(
                windows,
                out=(stop - start, windows.out[1]),
                top=windows.top - start * windows.stride,
            )
            self.forward_span(x, y[:, start:stop], kernel, b, band)

        block = even(-(-rows // workers), BLOCK // per_row)
        queue.add(work, rows, windows.cost, workers, block, apart=not self.direct)
        return True

    def gradient_span(self, x: Array, dy: Array, dW: Sum, db: Array | None) -> None:
        """Add ``dW = columns^T dy`` and, if there is a bias, db: the sum of dy's rows."""
        rows = _rows(dy)
        dW.add(self._columns(x, self.windows).T, rows)
        if db is not None:
            add_rows(rows, db)

    def backward_span(self, dy: Array, dx: Array, kernel: Array) -> None:
        """Write ``dx = col2im(dy W^T)``."""
        windows = self.windows
        if self.direct:
            dot(_rows(dy), kernel, _rows(dx))
        elif windows.in_channels <= SOME:
            columns = self._planes(len(dy), windows)
            dot(kernel.T, _rows(dy).T, columns.reshape(windows.width, -1))
            col2im_planes(columns, windows.stride, windows.top, windows.left, dx)
        else:
            columns = self._scratch(len(dy), windows)
            dot(_rows(dy), kernel, columns.reshape(-1, windows.width))
            col2im(columns, windows.stride, windows.top, windows.left, dx)

    def new_sums(self, several: bool) -> list[Sum]:
        """Return the sums of the gradient, one for each worker."""
        shape = (self.windows.width, self.windows.out_channels)
        return new_sums(self.workers, shape, self.dtype, several)

    def total(self, sums: list[Sum]) -> Array:
        """Return dW as a matrix."""
        return total(sums)

    def _columns(self, images: Array, windows: Windows) -> Array:
        """Return the rows of these images (im2col)."""
        if self.direct:
            first = -windows.top  # above 0 if they are some rows of an image
            return _rows(images[:, first : first + windows.out[0]])
        where = windows.kernel, windows.stride, windows.top, windows.left
        if windows.in_channels <= FEW:
            columns = self._planes(len(images), windows)
            im2col_planes(images, *where, columns)
            return columns.reshape(windows.width, -1).T
        columns = self._scratch(len(images), windows)
        im2col(images, *where, columns)
        return columns.reshape(-1, windows.width)

    def _scratch(self, images: int, windows: Windows) -> Array:
        return scratch((images, *windows.out, *windows.kernel, windows.in_channels), self.dtype)

    def _planes(self, images: int, windows: Windows) -> Array:
        return scratch((*windows.kernel, windows.in_channels, images, *windows.out), self.dtype)


def _rows(images: Array) -> Array:
    """Return the pixels as rows of their channels."""
    return images.reshape(-1, images.shape[-1])
