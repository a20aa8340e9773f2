"""What max and mean pooling share: where their windows lie."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from elunet._checks import merged, pair
from elunet._types import Array, Shape
from elunet.layers._padding import Padding, Sides, around, as_given, sides_or_same
from elunet.layers._pooling import Windows, counted, regular
from elunet.layers.spans import SpanLayer

Pair = int | tuple[int, int]


class Pool2D(SpanLayer):
    """A layer over windows of an image.

    Parameters
    ----------
    size : int or (int, int), default 2
        Height and width of the window in pixels.
    stride : int or (int, int), optional
        Step between windows in pixels, by default `size`.
    padding : "same", "valid", int, (int, int) or ((int, int), (int, int)), default 0
        Pixels around the image that belong to windows but have no value; less than a window.
        "same" is TensorFlow's, as in `Conv2D`.
    ceil_mode : bool, default False
        Whether a last window that does not fit is kept, with what it has of the image; else it is
        dropped.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of these; in `forward`, if the image is smaller than a window.
    """

    count_padding = False

    def __init__(
        self,
        size: Pair = 2,
        stride: Pair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.sizes = pair(name, "size", size)
        self.size = merged(self.sizes)
        self.strides = self.sizes if stride is None else pair(name, "stride", stride)
        self.stride = merged(self.strides)
        self._around = sides_or_same(name, padding)
        for window, sides in zip(self.sizes, self._around or (), strict=False):
            if max(sides) >= window:
                raise ValueError(
                    f"{name}: expected padding of less than a window, got {max(sides)} for"
                    f" {window} pixels"
                )
        self.padding = padding if isinstance(padding, str) else as_given(self._around)
        self.ceil_mode = bool(ceil_mode)

    @property
    def is_plain(self) -> bool:
        """Whether windows are squares inside of the image, at equal steps."""
        square = isinstance(self.size, int) and isinstance(self.stride, int)
        return square and self._around == ((0, 0), (0, 0)) and not self.ceil_mode

    def settings(self) -> tuple[Any, ...]:
        """Return what the output's shape depends on."""
        return self.sizes, self.strides, self._around, self.ceil_mode

    def check(self, x: Array) -> Array:
        """Return x, of shape (N, H, W, C) with room for a window."""
        x = self.check_input(x, ("N", "H", "W", "C"))
        for axis, size in enumerate(x.shape[1:3]):
            missing = self.sizes[axis] - size - sum(self.zeros(size, axis))
            # In ceil mode one window may be cut, by less than a step.
            if size < 1 or missing >= (self.strides[axis] if self.ceil_mode else 1):
                padded = "" if self._around == ((0, 0), (0, 0)) else ", padding included"
                raise ValueError(
                    f"{self!r}: expected x of at least {self.sizes[0]} x {self.sizes[1]}"
                    f" pixels{padded}, got x of shape {x.shape}"
                )
        return x

    def output_shape(self, x_shape: Shape) -> Shape:
        """Return (N, H_out, W_out, C)."""
        images, height, width, channels = x_shape
        if self.is_plain:
            window, stride = self.sizes[0], self.strides[0]
            rows, columns = ((side - window) // stride + 1 for side in (height, width))
            return images, rows, columns, channels
        windows = self.windows(height, width)
        return images, len(windows.rows), len(windows.columns), channels

    def needed_rows(self, start: int, stop: int) -> tuple[int, int] | None:
        """Return the rows from the first window's first to the last one's last."""
        if not self.is_plain:
            return None
        stride = self.strides[0]
        return start * stride, (stop - 1) * stride + self.sizes[0]

    def zeros(self, size: int, axis: int) -> tuple[int, int]:
        """Return the padding before and after an image of this size, along one axis."""
        return around(self._around, axis, size, self.sizes[axis], self.strides[axis])

    def windows(self, height: int, width: int) -> Windows:
        """Return where the windows lie in an image of this size."""
        sides = self.zeros(height, 0), self.zeros(width, 1)
        return _windows(
            (height, width), self.sizes, self.strides, sides, self.ceil_mode, self.count_padding
        )

    def __repr__(self) -> str:
        stride = "" if self.stride == self.size else f", stride {self.stride}"
        padding = "" if self._around == ((0, 0), (0, 0)) else f", padding {self.padding}"
        ceil = ", ceil_mode" if self.ceil_mode else ""
        height, width = self.sizes
        return f"{type(self).__name__}({height}x{width}{stride}{padding}{ceil})"


@lru_cache(maxsize=1000)
def _windows(
    size: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    sides: Sides,
    ceil_mode: bool,
    count_padding: bool,
) -> Windows:
    inside, covered = zip(
        *(
            regular(size[axis], window[axis], stride[axis], *sides[axis], ceil_mode)
            for axis in (0, 1)
        ),
        strict=True,
    )
    divisor = counted(*(covered if count_padding else inside))
    return Windows(inside[0], inside[1], divisor)
