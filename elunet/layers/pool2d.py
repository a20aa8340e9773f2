"""What max and mean pooling share: square windows that lie inside the picture."""

from __future__ import annotations

import math

from elunet._checks import integer
from elunet._types import Array, Shape
from elunet.deferred import by_picture
from elunet.layers.base import Layer
from elunet.parallel import Work, workers_for


class Pool2D(Layer):
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
        If `size` or `stride` is not an integer of at least 1; in `forward`, if the picture is
        smaller than a window.
    """

    def __init__(self, size: int = 2, stride: int | None = None) -> None:
        super().__init__()
        name = type(self).__name__
        self.size = integer(name, "size", size)
        self.stride = self.size if stride is None else integer(name, "stride", stride)

    def _output_shape(self, x: Array) -> tuple[int, int, int, int]:
        """Return (N, H_out, W_out, C)."""
        pictures, height, width, channels = x.shape
        if min(height, width) < self.size:
            raise ValueError(
                f"{self!r}: expected x of at least {self.size} x {self.size} pixels, got x of shape"
                f" {x.shape}"
            )
        rows, columns = ((side - self.size) // self.stride + 1 for side in (height, width))
        return pictures, rows, columns, channels

    def _run(self, work: Work, x_shape: Shape) -> None:
        pictures = x_shape[0]
        by_picture(work, pictures, workers_for(pictures), math.prod(x_shape))

    def __repr__(self) -> str:
        stride = "" if self.stride == self.size else f", stride {self.stride}"
        return f"{type(self).__name__}({self.size}x{self.size}{stride})"
