"""A convolution of images that are mirrored, or repeated, beyond their borders."""

from __future__ import annotations

from typing import Any

from elunet._quiet import quiet
from elunet._types import Array
from elunet.layers._padding import Mode, Sides, fold, pad
from elunet.layers.spans import Queue, empty


class Bordered:
    """Any way of computing without zeros around, on images that got their borders first.

    The borders are made again for each pass, which is cheaper than keeping the images twice.
    """

    def __init__(self, way: Any, sides: Sides, mode: Mode) -> None:
        self.way, self.sides, self.mode = way, sides, mode
        self.windows, self.split = way.windows, way.split
        self.kernel, self.transposed_kernel = way.kernel, way.transposed_kernel
        self.new_sums, self.total = way.new_sums, way.total

    def forward_span(self, x: Array, y: Array, kernel: Array, b: Array | None) -> None:
        """Write y."""
        self.way.forward_span(pad(x, self.sides, self.mode), y, kernel, b)

    def start_rows(self, queue: Queue, x: Array, y: Array, kernel: Array, b: Array | None) -> bool:
        """Return False: the rows of one image alone are not split."""
        return False

    def gradient_span(self, x: Array, dy: Array, dW: Any, db: Array | None) -> None:
        """Add dW and, if there is a bias, db."""
        self.way.gradient_span(pad(x, self.sides, self.mode), dy, dW, db)

    @quiet
    def backward_span(self, dy: Array, dx: Array, kernel: Array) -> None:
        """Write dx: each pixel gets the gradients of all its copies."""
        wide = empty((len(dx), *self.windows.size, dx.shape[3]), dx.dtype)
        self.way.backward_span(dy, wide, kernel)
        dx[...] = fold(wide, self.sides, self.mode)
