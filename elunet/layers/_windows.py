"""Where the windows of a convolution lie in a batch of pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from elunet.deferred import by_picture
from elunet.parallel import PRODUCT, Work


@dataclass(frozen=True)
class Windows:
    """One window per output pixel.

    That of (i, j) begins in row ``i*stride - top`` and column ``j*stride - left`` of its picture.
    What lies outside of the picture is zero.
    """

    pictures: int
    size: tuple[int, int]  # the picture's height and width
    out: tuple[int, int]  # the output's
    kernel: tuple[int, int]
    stride: int
    top: int
    left: int
    in_channels: int
    out_channels: int

    @cached_property
    def width(self) -> int:
        """Numbers in one window."""
        return math.prod(self.kernel) * self.in_channels

    @cached_property
    def operations(self) -> float:
        """What a pass takes, for `parallel.run`: windows copied, outputs, the product."""
        positions = self.pictures * math.prod(self.out)
        product = self.width * self.out_channels / PRODUCT
        return positions * (self.width + self.out_channels + product)

    @cached_property
    def x_shape(self) -> tuple[int, int, int, int]:
        """The input's shape."""
        return self.pictures, *self.size, self.in_channels

    @cached_property
    def y_shape(self) -> tuple[int, int, int, int]:
        """The output's shape."""
        return self.pictures, *self.out, self.out_channels

    def run(self, work: Work, workers: int, block: int) -> None:
        """Have work done on all pictures, now or put off, in blocks of at most so many."""
        by_picture(work, self.pictures, workers, self.operations, block)
