"""Where the windows of a convolution lie in a batch of images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from elunet.layers.spans import PRODUCT


@dataclass(frozen=True)
class Windows:
    """One window per output pixel.

    That of (i, j) begins in row ``i*stride - top`` and column ``j*stride - left`` of its image.
    What lies outside of the image is zero.
    """

    images: int
    size: tuple[int, int]  # the image's height and width
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
    def cost(self) -> float:
        """Elementary operations of a pass (windows copied, outputs, the product)."""
        positions = self.images * math.prod(self.out)
        product = self.width * self.out_channels / PRODUCT
        return positions * (self.width + self.out_channels + product)
