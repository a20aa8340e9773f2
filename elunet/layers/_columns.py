"""The plain way to compute a convolution: im2col and one matrix product.

Each window of the picture becomes a row of k_h k_w C_in numbers; the kernel, flattened the same
way, is a matrix with C_out columns. Forward is their product. Both gradients are products as well,
with the same rows for dW, and with the rows' own gradient, put back by col2im, for dx. The rows are
made for a few pictures at a time, so that they are multiplied while they are still in the cache,
and made again for dW: that is cheaper than keeping them.
"""

from __future__ import annotations

import numpy as np

from elunet import parallel
from elunet._types import Array
from elunet.kernels.columns import col2im, im2col
from elunet.kernels.sums import add_rows
from elunet.layers._products import SumOfProducts
from elunet.layers._windows import Windows
from elunet.workspace import empty

BLOCK = 1 << 20  # bytes of columns that one worker makes at a time


class Columns:
    """A convolution as products with the windows of some pictures, the rows of a matrix.

    A 1x1 kernel at stride 1, without padding, has one pixel per window: its rows are the picture
    itself.
    """

    def __init__(self, windows: Windows, dtype: np.dtype[np.floating]) -> None:
        self.windows, self.dtype = windows, dtype
        self.direct = windows.width == windows.in_channels and windows.size == windows.out
        self.direct = self.direct and (windows.stride, windows.top, windows.left) == (1, 0, 0)
        self.workers = parallel.workers_for(windows.pictures)
        picture = windows.out[0] * windows.out[1] * windows.width * dtype.itemsize
        share = -(-windows.pictures // self.workers)
        self.block = max(1, min(BLOCK // picture, share))
        self.blocks = -(-share // self.block)
        scratch = (self.workers, self.block, *windows.out, *windows.kernel, windows.in_channels)
        self.scratch = empty((0,) if self.direct else scratch, dtype)

    def forward(self, x: Array, W: Array, b: Array | None) -> Array:
        """Return ``columns W + b``."""
        y = empty(self.windows.y_shape, self.dtype)
        kernel = W.reshape(self.windows.width, -1)

        def work(start: int, stop: int, worker: int) -> None:
            rows = _rows(y[start:stop])
            np.matmul(self._gather(x[start:stop], worker), kernel, out=rows)
            if b is not None:
                rows += b

        self.windows.run(work, self.workers, self.block)
        return y

    def kernel_gradient(self, x: Array, dy: Array, bias: bool) -> tuple[Array, Array]:
        """Return ``dW = columns^T dy`` and, if there is a bias, db: the sum of dy's rows."""
        shape = (self.windows.width, self.windows.out_channels)
        dW = SumOfProducts(self.workers, self.blocks, shape, self.dtype)
        db = np.zeros((self.workers, self.windows.out_channels))

        def work(start: int, stop: int, worker: int) -> None:
            rows = _rows(dy[start:stop])
            dW.add(worker, self._gather(x[start:stop], worker).T, rows)
            if bias:
                add_rows(rows, db[worker])

        self.windows.run(work, self.workers, self.block)
        return dW.total(), db.sum(axis=0)

    def input_gradient(self, dy: Array, W: Array) -> Array:
        """Return ``dx = col2im(dy W^T)``."""
        windows = self.windows
        dx = empty(windows.x_shape, self.dtype)
        down = W.reshape(windows.width, -1).T

        def work(start: int, stop: int, worker: int) -> None:
            pictures = dx[start:stop]
            columns = pictures if self.direct else self.scratch[worker, : stop - start]
            np.matmul(_rows(dy[start:stop]), down, out=columns.reshape(-1, windows.width))
            if not self.direct:
                col2im(columns, windows.stride, windows.top, windows.left, pictures)

        self.windows.run(work, self.workers, self.block)
        return dx

    def _gather(self, pictures: Array, worker: int) -> Array:
        """Return the rows of these pictures (im2col)."""
        windows = self.windows
        if self.direct:
            return _rows(pictures)
        columns = self.scratch[worker, : len(pictures)]
        im2col(pictures, windows.kernel, windows.stride, windows.top, windows.left, columns)
        return columns.reshape(-1, windows.width)


def _rows(pictures: Array) -> Array:
    """Return the pixels as rows of their channels."""
    return pictures.reshape(-1, pictures.shape[-1])
