"""What max and mean pooling share: square windows that lie inside the image."""

from __future__ import annotations

from elunet._checks import integer
from elunet._types import Array, Shape
from elunet.layers.spans import SpanLayer


class Pool2D(SpanLayer):
    """A layer over square windows; windows that do not fit are dropped.

    Parameters
    ----------
    size : int, default 2
        Side of the window in pixels.
    stride : int, optional
        Step between windows in pixels, by default `size`.

    Raises
    ------
    TypeError, ValueError
        If `size` or `stride` is not an integer of at least 1; in `forward`, if the image is
        smaller than a window.
    """

    def __init__(self, size: int = 2, stride: int | None = None) -> None:
        super().__init__()
        name = type(self).__name__
        self.size = integer(name, "size", size)
        self.stride = self.size if stride is None else integer(name, "stride", stride)

    def settings(self) -> tuple[int, int]:
        """Return what the output's shape depends on."""
        return self.size, self.stride

    def check(self, x: Array) -> Array:
        """Return x, of shape (N, H, W, C) with room for a window."""
        x = self.check_input(x, ("N", "H", "W", "C"))
        if min(x.shape[1:3]) < self.size:
            raise ValueError(
                f"{self!r}: expected x of at least {self.size} x {self.size} pixels, got x of shape"
                f" {x.shape}"
            )
        return x

    def output_shape(self, x_shape: Shape) -> Shape:
        """Return (N, H_out, W_out, C)."""
        images, height, width, channels = x_shape
        rows, columns = ((side - self.size) // self.stride + 1 for side in (height, width))
        return images, rows, columns, channels

    def needed_rows(self, start: int, stop: int) -> tuple[int, int]:
        """Return the rows from the first window's first to the last one's last."""
        return start * self.stride, (stop - 1) * self.stride + self.size

    def __repr__(self) -> str:
        stride = "" if self.stride == self.size else f", stride {self.stride}"
        return f"{type(self).__name__}({self.size}x{self.size}{stride})"
