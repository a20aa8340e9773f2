"""The two-dimensional convolution: one product of every window of the image with the kernel.

Three algorithms compute the products, with the same methods: `Im2col`, which is plain and exact;
`Winograd`, which takes fewer operations for small kernels in float32; and `General`, for unequal
strides, dilation and groups. `Bordered` is any of them, on images that were mirrored or repeated at
their borders.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from elunet._checks import choice, integer, merged, pair
from elunet._types import Array, Seed, Shape
from elunet.init import Initializer
from elunet.layers._bordered import Bordered
from elunet.layers._im2col import Im2col
from elunet.layers._padding import (
    Mode,
    Padding,
    Sides,
    around,
    check_room,
    checked_mode,
    shortest,
    sides_or_same,
)
from elunet.layers._strided import General, Strided
from elunet.layers._windows import Windows
from elunet.layers._winograd import KERNELS, Winograd, pays
from elunet.layers.spans import Queue, Split, Started, Sum, get_num_threads
from elunet.layers.weighted import Weighted

Way = Im2col | Winograd | General


class Conv2D(Weighted, spans=True):
    """Convolution (cross-correlation, as everywhere in deep learning) of NHWC images.

    ``y[n, i, j, o] = b[o] + sum of x[n, i*s + u*d - top, j*s + v*d - left, c] W[u, v, c, o]`` over
    the window's rows u and columns v and the channels c, with stride s and dilation d.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or (int, int)
        Height and width of the window.
    stride : int or (int, int), default 1
    padding : "same", "valid", int, (int, int) or ((int, int), (int, int)), default "same"
        Zeros around the image. "same" is TensorFlow's: the output has ceil(size / stride) rows
        and columns; of the zeros needed, half (rounded down) come before, the rest after. An
        integer, or one for height and one for width, is put on both sides; four are
        ((top, bottom), (left, right)).
    bias : bool, default True
    init : Initializer, optional
        Draws W, by default `elunet.init.He()`; b starts at 0.
    seed : int, SeedSequence, Generator or None, optional
    algorithm : "auto", "im2col" or "winograd", default "auto"
        How float32 is computed; float64 always takes im2col. "winograd" is for 2x2 and 3x3 kernels
        at stride 1, and "auto" takes it where it is faster: from 16 or 32 channels on, unless the
        images are few and small. It rounds three to five times as coarsely as im2col (relative
        error about 1e-6 instead of 3e-7).
    groups : int, default 1
        Input and output channels are split into so many parts, and each part of the outputs sees
        its part of the inputs only. With as many groups as input channels, the convolution is
        depthwise.
    dilation : int or (int, int), default 1
        Step between the pixels of a window.
    padding_mode : "zeros", "reflect" or "replicate", default "zeros"
        What is put around the image; see `Pad`.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer or is too small, channels cannot be split into `groups`, or
        `padding`, `padding_mode` or `algorithm` is not one of the above.

    Notes
    -----
    ``params["W"]`` is (kh, kw, in_channels / groups, out_channels), ``params["b"]``
    (out_channels,). Groups, dilation, unequal strides and other padding than zeros are as in
    PyTorch. PyTorch has no padding of four different sides, and no "same" at larger strides.

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
        stride: int | tuple[int, int] = 1,
        padding: Padding = "same",
        bias: bool = True,
        init: Initializer | None = None,
        seed: Seed = None,
        algorithm: str = "auto",
        groups: int = 1,
        dilation: int | tuple[int, int] = 1,
        padding_mode: Mode = "zeros",
    ) -> None:
        self.in_channels = integer("Conv2D", "in_channels", in_channels)
        self.out_channels = integer("Conv2D", "out_channels", out_channels)
        self.groups = integer("Conv2D", "groups", groups)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                "Conv2D: expected groups that in_channels and out_channels can be split into, got"
                f" groups={groups} for {in_channels} and {out_channels} channels"
            )
        self.kernel_size = pair("Conv2D", "kernel_size", kernel_size)
        self.strides = pair("Conv2D", "stride", stride)
        self.stride = merged(self.strides)
        self.dilations = pair("Conv2D", "dilation", dilation)
        self.dilation = merged(self.dilations)
        self.padding_mode = checked_mode("Conv2D", "padding_mode", padding_mode)
        given = self._around = sides_or_same("Conv2D", padding)
        self.padding = padding if given is None or isinstance(padding, str) else shortest(given)
        self.algorithm = algorithm
        choice("Conv2D", "algorithm", algorithm, ("auto", "im2col", "winograd"))
        if algorithm == "winograd" and (
            self.kernel_size not in KERNELS or self.stride != 1 or not self._is_plain
        ):
            raise ValueError(
                "Conv2D: expected a 2x2 or 3x3 kernel, and stride, dilation and groups of 1, for"
                f" algorithm winograd, got kernel_size {kernel_size!r}, stride {stride}, dilation"
                f" {dilation}, groups {groups}"
            )
        shape = (*self.kernel_size, self.in_channels // self.groups, self.out_channels)
        super().__init__(shape, bias, init, seed)

    @property
    def _is_plain(self) -> bool:
        """Whether nothing needs the general algorithm."""
        equal, dense = isinstance(self.stride, int), self.dilation == 1
        return equal and dense and self.groups == 1

    def settings(self) -> tuple[Any, ...]:
        """Return the attributes that the windows and the algorithm depend on."""
        more = self.groups, self.dilations, self.padding_mode
        return self.kernel_size, self.strides, self._around, self.algorithm, more

    def check(self, x: Array) -> Array:
        """Return x, of shape (N, H, W, C_in), with room for a window."""
        hint = "; arrays are (N, H, W, C)" if _looks_like_nchw(x, self.in_channels) else ""
        x = self.check_input(x, ("N", "H", "W", self.in_channels), hint)
        way: Way | Bordered
        if self.padding_mode == "zeros":
            way = self._way(x.shape, x.dtype)
        else:
            sides = self._zeros(x.shape[1], 0), self._zeros(x.shape[2], 1)
            check_room(self, x, sides, self.padding_mode)
            way = Bordered(self._way(x.shape, x.dtype, sides), sides, self.padding_mode)
        self.way = way
        return x

    def output_shape(self, x_shape: Shape) -> Shape:
        """Return (N, H_out, W_out, C_out)."""
        return x_shape[0], *self.way.windows.out, self.out_channels

    def common(self, x: Array) -> tuple[Any, ...]:
        """Return the kernel, in the form that the algorithm needs, and b."""
        W, b = super().common(x)
        return self.way.kernel(W), b

    def carried(self, weight: Array | None) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        """Return the kernel of the backward pass."""
        _, (down,) = super().carried(weight)
        return (), (self.way.transposed_kernel(down),)

    def start_rows(self, queue: Queue, started: Started) -> bool:
        """Defer the work for one image, split over its rows, if the algorithm can do that."""
        return self.way.start_rows(queue, started.x, started.y, *started.others)

    def forward_span(self, x: Array, y: Array, kernel: Array, b: Array | None) -> None:
        """Write y: each window times W, plus b."""
        self.way.forward_span(x, y, kernel, b)

    def gradient_span(self, x: Array, dy: Array, dW: Sum, db: Array) -> None:
        """Add ``dW = sum over all windows of window^T dy`` and ``db = sum of dy``."""
        self.way.gradient_span(x, dy, dW, db if self.bias else None)

    def backward_span(self, dy: Array, dx: Array, kernel: Array) -> None:
        """Write dx: each window gets ``dy W^T``."""
        self.way.backward_span(dy, dx, kernel)

    def cost(self, x_shape: Shape, y_shape: Shape) -> float:
        """Return the elementary operations of a pass."""
        return self.way.windows.cost

    def split(self, x_shape: Shape, dtype: np.dtype[Any]) -> Split:
        """Return how the products are split."""
        return self.way.split

    def new_sums(self, workers: int, several: bool, dtype: np.dtype[Any]) -> list[Sum]:
        """Return the sums of the gradient, one for each worker."""
        return self.way.new_sums(several)

    def total(self, sums: list[Sum]) -> Array:
        """Return dW from the workers' sums."""
        return self.way.total(sums).reshape(self.shape)

    def _way(self, x_shape: Shape, dtype: np.dtype[Any], borders: Sides | None = None) -> Way:
        """Return the algorithm: Winograd's only in float32, im2col otherwise.

        With `borders`, for images that have got them already.
        """
        windows = self._windows(x_shape)
        if borders is not None:
            (top, bottom), (left, right) = borders
            size = windows.size[0] + top + bottom, windows.size[1] + left + right
            windows = replace(windows, size=size, top=0, left=0)
        if isinstance(windows, Strided):
            return _made(General, windows, dtype, get_num_threads())
        fast = self.algorithm == "winograd" or (self.algorithm == "auto" and pays(windows))
        kind = Winograd if fast and dtype == np.float32 else Im2col
        return _made(kind, windows, dtype, get_num_threads())

    def _windows(self, x_shape: Shape) -> Windows:
        """Return where the windows lie, after checking that there is room for one."""
        out, sides = [], []
        for axis, name in ((0, "height"), (1, "width")):
            size, kernel = x_shape[1 + axis], self._reach(axis)
            zeros = self._zeros(size, axis)
            padded = size + sum(zeros)
            if size < 1 or padded < kernel:
                raise ValueError(
                    f"{self!r}: expected x of at least {kernel} pixels in {name}, padding included,"
                    f" got {padded} (x of shape {x_shape})"
                )
            out.append((padded - kernel) // self.strides[axis] + 1)
            sides.append(zeros)
        given: dict[str, Any] = {
            "images": x_shape[0],
            "size": (x_shape[1], x_shape[2]),
            "out": (out[0], out[1]),
            "kernel": self.kernel_size,
            "stride": self.strides[0],
            "top": sides[0][0],
            "left": sides[1][0],
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
        }
        if self._is_plain:
            return Windows(**given)
        return Strided(**given, strides=self.strides, dilation=self.dilations, groups=self.groups)

    def _reach(self, axis: int) -> int:
        """Return how many pixels a window covers along an axis, from its first to its last."""
        return (self.kernel_size[axis] - 1) * self.dilations[axis] + 1

    def _zeros(self, size: int, axis: int) -> tuple[int, int]:
        """Return how many zeros come before and after an image of this size, along one axis."""
        return around(self._around, axis, size, self._reach(axis), self.strides[axis])

    def __repr__(self) -> str:
        height, width = self.kernel_size
        extras = f", stride {self.stride}" if self.stride != 1 else ""
        extras += "" if self.padding == "same" else f", padding {self.padding}"
        extras += f", groups {self.groups}" if self.groups > 1 else ""
        extras += f", dilation {self.dilation}" if self.dilation != 1 else ""
        extras += f", {self.padding_mode}" if self.padding_mode != "zeros" else ""
        return f"Conv2D({self.in_channels}->{self.out_channels}, {height}x{width}{extras})"


@lru_cache(maxsize=1000)
def _made(kind: Any, windows: Windows, dtype: np.dtype[Any], threads: int) -> Way:
    """Return an algorithm, made once for each geometry and number of threads."""
    return kind(windows, dtype, threads)  # type: ignore[no-any-return]  # a way


def _looks_like_nchw(x: object, channels: int) -> bool:
    shape: tuple[int, ...] = getattr(x, "shape", ())
    return len(shape) == 4 and shape[1] == channels and shape[3] != channels
