"""A convolution with a different kernel at every position."""

from __future__ import annotations

import numpy as np

from elunet._checks import integer, merged, pair
from elunet._quiet import quiet
from elunet._types import Array, Seed
from elunet.init import Initializer
from elunet.kernels.strided import col2im_strided, im2col_strided
from elunet.layers._padding import Padding, around, shortest, sides_or_same
from elunet.layers.weighted import Weighted


class LocallyConnected2D(Weighted):
    """Windows of NHWC images of one size, each with a kernel and a bias of its own.

    ``y[n, i, j, o] = b + sum of x[n, i*s + u - top, j*s + v - left, c] W[u, v, c]``, with the W
    and b of the unit (i, j, o): as `Conv2D`, but no two units share weights.

    Parameters
    ----------
    image_size : int or (int, int)
        Height and width of the images.
    in_channels, out_channels, kernel_size, stride, padding, bias, init, seed
        As in `Conv2D`; the default padding is "valid".

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or images have no room for a window.

    Notes
    -----
    ``params["W"]`` is (kh, kw, in_channels, units) and ``params["b"]`` (units,), with a unit for
    each row, column and channel of the output, in this order.

    References
    ----------
    LeCun, *Generalization and Network Design Strategies*, 1989; Bartunov et al., *Assessing the
    Scalability of Biologically-Motivated Deep Learning Algorithms and Architectures*, 2018,
    arXiv:1807.04587.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import LocallyConnected2D
    >>> layer = LocallyConnected2D(8, 3, 4, kernel_size=3, stride=2, seed=0)
    >>> layer.forward(np.ones((1, 8, 8, 3), np.float32)).shape, layer.params["W"].shape
    ((1, 3, 3, 4), (3, 3, 3, 36))
    """

    def __init__(
        self,
        image_size: int | tuple[int, int],
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Padding = "valid",
        bias: bool = True,
        init: Initializer | None = None,
        seed: Seed = None,
    ) -> None:
        name = "LocallyConnected2D"
        self.image_size = pair(name, "image_size", image_size)
        self.in_channels = integer(name, "in_channels", in_channels)
        self.out_channels = integer(name, "out_channels", out_channels)
        self.kernel_size = pair(name, "kernel_size", kernel_size)
        self.strides = pair(name, "stride", stride)
        self.stride = merged(self.strides)
        given = sides_or_same(name, padding)
        self.padding = padding if given is None or isinstance(padding, str) else shortest(given)
        windows = [*zip(self.image_size, self.kernel_size, self.strides, strict=True)]
        self.zeros = [around(given, axis, *window) for axis, window in enumerate(windows)]
        room = [
            size + sum(zeros) - kernel
            for (size, kernel, _), zeros in zip(windows, self.zeros, strict=True)
        ]
        if min(room) < 0:
            raise ValueError(
                f"{name}: expected image_size with room for a window, padding included, got"
                f" {image_size!r} for kernel_size {kernel_size!r}"
            )
        self.out_size = room[0] // self.strides[0] + 1, room[1] // self.strides[1] + 1
        self._where = self.strides, (1, 1), self.zeros[0][0], self.zeros[1][0]
        units = self.out_size[0] * self.out_size[1] * self.out_channels
        super().__init__((*self.kernel_size, self.in_channels, units), bias, init, seed)

    @quiet
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y, (N, H_out, W_out, C_out)."""
        x = self.check_input(x, ("N", *self.image_size, self.in_channels))
        W = self.parameter("W", self.shape, x.dtype)
        y = np.matmul(self._columns(x), self._by_position(W)).transpose(1, 0, 2)
        y = np.ascontiguousarray(y).reshape(len(x), *self.out_size, self.out_channels)
        if self.bias:
            y += self.parameter("b", self.shape[-1:], x.dtype).reshape(y.shape[1:])
        self.keep(x, W)
        return y

    @quiet
    def backward_params(self, dy: Array) -> None:
        """Fill ``dW = window^T dy`` of each position, and db: the sum of dy over the images."""
        x, _ = self.recall()
        dy = self._checked(dy, x)
        dW = np.matmul(self._columns(x).transpose(0, 2, 1), self._rows(dy))
        self.store_gradient("W", dW.transpose(1, 0, 2).reshape(self.shape), x.dtype)
        if self.bias:
            self.store_gradient("b", dy.sum(axis=0, dtype=np.float64).reshape(-1), x.dtype)

    @quiet
    def backward_input(self, dy: Array, weight: Array | None = None) -> Array:
        """Return dL/dx, or what `weight`, of W's shape, would give instead of W."""
        x, _ = self.recall()
        dy = self._checked(dy, x)
        _, (W,) = self.carried(weight)
        columns = np.matmul(self._rows(dy), self._by_position(W).transpose(0, 2, 1))
        dx = np.empty(x.shape, x.dtype)
        by_image = np.ascontiguousarray(columns.transpose(1, 0, 2))
        col2im_strided(by_image.reshape(self._columns_shape(len(x))), *self._where, dx)
        return dx

    def _checked(self, dy: Array, x: Array) -> Array:
        return self.check_gradient(dy, (len(x), *self.out_size, self.out_channels), x.dtype)

    def _columns_shape(self, images: int) -> tuple[int, ...]:
        return (1, images, *self.out_size, *self.kernel_size, self.in_channels)

    def _columns(self, x: Array) -> Array:
        """Return the windows by position, (positions, N, kh kw C_in)."""
        columns = np.empty(self._columns_shape(len(x)), x.dtype)
        im2col_strided(x, *self._where, columns)
        return columns.reshape(len(x), self._positions, self._window).transpose(1, 0, 2)

    @property
    def _window(self) -> int:
        return self.kernel_size[0] * self.kernel_size[1] * self.in_channels

    @property
    def _positions(self) -> int:
        return self.out_size[0] * self.out_size[1]

    def _by_position(self, W: Array) -> Array:
        """Return each position's kernel, (positions, kh kw C_in, C_out)."""
        return W.reshape(self._window, -1, self.out_channels).transpose(1, 0, 2)

    def _rows(self, dy: Array) -> Array:
        """Return dy by position, (positions, N, C_out)."""
        return dy.reshape(len(dy), self._positions, self.out_channels).transpose(1, 0, 2)

    def __repr__(self) -> str:
        (high, wide), (height, width) = self.kernel_size, self.image_size
        extras = f", stride {self.stride}" if self.stride != 1 else ""
        extras += "" if self.padding == "valid" else f", padding {self.padding}"
        channels = f"{self.in_channels}->{self.out_channels}"
        return f"LocallyConnected2D({height}x{width}, {channels}, {high}x{wide}{extras})"
