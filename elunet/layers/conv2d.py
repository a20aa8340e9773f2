"""The two-dimensional convolution, as im2col and one matrix product.

Each window of the picture becomes a row of k_h k_w C_in numbers; the kernel, flattened the same
way, is a matrix with C_out columns. Forward is their product. Both gradients are products as well,
with the same rows for dW, and with the rows' own gradient, put back by col2im, for dx. The rows are
made for a few pictures at a time, so that they are multiplied while they are still in the cache,
and made again for dW: that is cheaper than keeping them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from elunet import parallel
from elunet._checks import integer
from elunet._types import Array, Seed
from elunet.init import Initializer
from elunet.kernels.columns import col2im, im2col
from elunet.kernels.sums import add_rows
from elunet.layers.weighted import Weighted
from elunet.workspace import empty

BLOCK = 1 << 21  # bytes of columns that one worker makes at a time

Padding = str | int | tuple[int, int]


class Conv2D(Weighted):
    """Convolution (cross-correlation, as everywhere in deep learning) of NHWC pictures.

    ``y[n, i, j, o] = b[o] + sum of x[n, i*s + u - top, j*s + v - left, c] W[u, v, c, o]`` over the
    window's rows u and columns v and the channels c, with stride s.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or (int, int)
        Height and width of the window.
    stride : int, default 1
    padding : "same", "valid", int or (int, int), default "same"
        Zeros around the picture. "same" is TensorFlow's: the output has ceil(size / stride) rows
        and columns; of the zeros needed, half (rounded down) come before, the rest after. An
        integer, or one for height and one for width, is put on both sides.
    bias : bool, default True
    init : Initializer, optional
        Draws W, by default `elunet.init.He()`; b starts at 0.
    seed : int, SeedSequence, Generator or None, optional

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer or is too small, or `padding` is none of the above.

    Notes
    -----
    ``params["W"]`` is (kh, kw, in_channels, out_channels), ``params["b"]`` (out_channels,).

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Conv2D
    >>> Conv2D(3, 16, 3, stride=2, seed=0).forward(np.ones((1, 7, 7, 3), np.float32)).shape
    (1, 4, 4, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int = 1,
        padding: Padding = "same",
        bias: bool = True,
        init: Initializer | None = None,
        seed: Seed = None,
    ) -> None:
        self.in_channels = integer("Conv2D", "in_channels", in_channels)
        self.out_channels = integer("Conv2D", "out_channels", out_channels)
        self.kernel_size = _pair("kernel_size", kernel_size, 1)
        self.stride = integer("Conv2D", "stride", stride)
        self._around = None if padding == "same" else _sides(padding)
        self.padding = padding if isinstance(padding, str) else self._around
        shape = (*self.kernel_size, self.in_channels, self.out_channels)
        super().__init__(shape, bias, init, seed)

    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y of shape (N, H_out, W_out, C_out) for x of shape (N, H, W, C_in)."""
        hint = "; arrays are (N, H, W, C)" if _looks_like_nchw(x, self.in_channels) else ""
        x = self.check_input(x, ("N", "H", "W", self.in_channels), hint)
        W, b = self._weights(x.dtype)
        y = empty((len(x), *self._output_size(x), self.out_channels), x.dtype)
        columns = _Columns(self, x, y)
        kernel = W.reshape(columns.width, -1)

        def work(start: int, stop: int, worker: int) -> None:
            rows = y[start:stop].reshape(-1, self.out_channels)
            np.matmul(columns.gather(start, stop, worker), kernel, out=rows)
            if b is not None:
                rows += b

        parallel.run(work, len(x), columns.workers, columns.block)
        self.keep(x, W, y.shape)
        return y

    def backward_params(self, dy: Array) -> None:
        """Fill ``dW = columns^T dy`` and ``db = sum of dy over pictures and positions``."""
        x, _, shape = self.recall()
        dy = self.check_gradient(dy, shape, x.dtype)
        columns = _Columns(self, x, dy)
        dW = np.zeros((columns.workers, columns.width, self.out_channels), x.dtype)
        product = empty(dW.shape, x.dtype)
        db = np.zeros((columns.workers, self.out_channels))

        def work(start: int, stop: int, worker: int) -> None:
            rows = dy[start:stop].reshape(-1, self.out_channels)
            np.matmul(columns.gather(start, stop, worker).T, rows, out=product[worker])
            dW[worker] += product[worker]
            if self.bias:
                add_rows(rows, db[worker])

        parallel.run(work, len(x), columns.workers, columns.block)
        self.store_gradient("W", dW.sum(axis=0).reshape(self.shape), x.dtype)
        if self.bias:
            self.store_gradient("b", db.sum(axis=0), x.dtype)

    def backward_input(self, dy: Array, weight: Array | None = None) -> Array:
        """Return ``dx = col2im(dy W^T)``; `weight`, of W's shape, stands in for W if given."""
        x, W, shape = self.recall()
        dy = self.check_gradient(dy, shape, x.dtype)
        columns = _Columns(self, x, dy)
        down = self._sent_through(weight, W).reshape(columns.width, -1).T
        dx = empty(x.shape, x.dtype)

        def work(start: int, stop: int, worker: int) -> None:
            rows = dy[start:stop].reshape(-1, self.out_channels)
            np.matmul(rows, down, out=columns.lend(dx, start, stop, worker))
            columns.scatter(dx, start, stop, worker)

        parallel.run(work, len(x), columns.workers, columns.block)
        return dx

    def _output_size(self, x: Array) -> tuple[int, int]:
        """Return (H_out, W_out)."""
        sizes = []
        for axis, name in ((0, "height"), (1, "width")):
            size, kernel = x.shape[1 + axis], self.kernel_size[axis]
            padded = size + sum(self._zeros(size, axis))
            if size < 1 or padded < kernel:
                raise ValueError(
                    f"{self!r}: expected x of at least {kernel} pixels in {name}, padding included,"
                    f" got {padded} (x of shape {x.shape})"
                )
            sizes.append((padded - kernel) // self.stride + 1)
        return sizes[0], sizes[1]

    def _zeros(self, size: int, axis: int) -> tuple[int, int]:
        """Return how many zeros come before and after a picture of this size, along one axis."""
        if self._around is not None:
            return self._around[axis], self._around[axis]
        steps = math.ceil(size / self.stride) - 1
        total = max(steps * self.stride + self.kernel_size[axis] - size, 0)
        return total // 2, total - total // 2

    def __repr__(self) -> str:
        height, width = self.kernel_size
        extras = f", stride {self.stride}" if self.stride > 1 else ""
        extras += "" if self.padding == "same" else f", padding {self.padding}"
        return f"Conv2D({self.in_channels}->{self.out_channels}, {height}x{width}{extras})"


class _Columns:
    """The windows of some pictures as rows of a matrix, made block by block.

    A 1x1 kernel at stride 1, without padding, has one pixel per window: its rows are the picture
    itself.
    """

    def __init__(self, layer: Conv2D, x: Array, y: Array) -> None:
        self.x, self.stride, self.kernel = x, layer.stride, layer.kernel_size
        self.top = layer._zeros(x.shape[1], 0)[0]
        self.left = layer._zeros(x.shape[2], 1)[0]
        self.width = math.prod(layer.shape[:-1])
        self.direct = (self.kernel, self.top, self.left) == ((1, 1), 0, 0)
        self.direct = self.direct and x.shape[:3] == y.shape[:3]
        positions = y.shape[1] * y.shape[2]
        operations = len(x) * positions * math.prod(layer.shape)
        self.workers = parallel.workers_for(len(x), operations)
        picture_bytes = positions * self.width * x.dtype.itemsize
        self.block = max(1, BLOCK // picture_bytes)
        if not self.direct:
            share = -(-len(x) // self.workers)
            block = (self.workers, min(self.block, share), *y.shape[1:3], *layer.shape[:-1])
            self.scratch = empty(block, x.dtype)

    def gather(self, start: int, stop: int, worker: int) -> Array:
        """Return the rows of pictures `start` to `stop` (im2col)."""
        rows = self.lend(self.x, start, stop, worker)
        if not self.direct:
            columns = self.scratch[worker, : stop - start]
            pictures = self.x[start:stop]
            im2col(pictures, self.kernel, self.stride, self.top, self.left, columns)
        return rows

    def lend(self, pictures: Array, start: int, stop: int, worker: int) -> Array:
        """Return where the rows of these pictures belong."""
        target = pictures[start:stop] if self.direct else self.scratch[worker, : stop - start]
        return target.reshape(-1, self.width)

    def scatter(self, dx: Array, start: int, stop: int, worker: int) -> None:
        """Add the rows' gradients up at the pixels that they came from (col2im)."""
        if not self.direct:
            columns = self.scratch[worker, : stop - start]
            col2im(columns, self.stride, self.top, self.left, dx[start:stop])


def _sides(padding: Padding) -> tuple[int, int]:
    """Return the zeros on each side, in height and in width."""
    return (0, 0) if padding == "valid" else _pair("padding", padding, 0)


def _pair(name: str, value: Any, least: int) -> tuple[int, int]:
    """Return (height, width) from one integer or two."""
    pair = value if isinstance(value, tuple) else (value, value)
    if len(pair) != 2 or isinstance(value, str):
        texts = '"same", "valid", ' if name == "padding" else ""
        raise ValueError(f"Conv2D: expected {name} as {texts}an integer or two, got {value!r}")
    height, width = (integer("Conv2D", name, size, least) for size in pair)
    return height, width


def _looks_like_nchw(x: object, channels: int) -> bool:
    shape: tuple[int, ...] = getattr(x, "shape", ())
    return len(shape) == 4 and shape[1] == channels and shape[3] != channels
