"""Mean pooling over whole images."""

from __future__ import annotations

import numpy as np

from elunet._types import Array, Shape
from elunet.layers.spans import SpanLayer


class GlobalMeanPool2D(SpanLayer, spans=True):
    """Each channel's mean over the whole image: (N, H, W, C) becomes (N, C).

    Raises
    ------
    ValueError
        In `forward`, if the image has no pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import GlobalMeanPool2D
    >>> GlobalMeanPool2D().forward(np.arange(16.0).reshape(1, 4, 4, 1))
    array([[7.5]])
    """

    linear = True

    def check(self, x: Array) -> Array:
        """Return x, of shape (N, H, W, C) with H, W > 0."""
        x = self.check_input(x, ("N", "H", "W", "C"))
        if x.shape[1] * x.shape[2] == 0:
            raise ValueError(f"{self!r}: expected x of at least 1 x 1 pixel, got {x.shape}")
        return x

    def output_shape(self, x_shape: Shape) -> Shape:
        """Return (N, C)."""
        return x_shape[0], x_shape[3]

    def forward_span(self, x: Array, y: Array) -> None:
        """Write the means."""
        y[...] = x.mean(axis=(1, 2), dtype=np.float64)

    def backward_span(self, dy: Array, dx: Array) -> None:
        """Write dx: each pixel gets 1/(H W) of its channel's gradient."""
        pixels = dx.shape[1] * dx.shape[2]
        dx[...] = (dy / dy.dtype.type(pixels))[:, None, None, :]
