"""Max pooling over whole images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elunet._types import Array, Shape
from elunet.kernels.windows import max_windows, max_windows_backward
from elunet.layers.spans import SpanLayer, empty


class GlobalMaxPool2D(SpanLayer, spans=True):
    """Each channel's largest value in the whole image: (N, H, W, C) becomes (N, C).

    Of equal values the first (row-major) wins.

    Raises
    ------
    ValueError
        In `forward`, if the image has no pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import GlobalMaxPool2D
    >>> GlobalMaxPool2D().forward(np.arange(16.0).reshape(1, 4, 4, 1))
    array([[15.]])
    """

    def check(self, x: Array) -> Array:
        """Return x, of shape (N, H, W, C) with H, W > 0."""
        x = self.check_input(x, ("N", "H", "W", "C"))
        if x.shape[1] * x.shape[2] == 0:
            raise ValueError(f"{self!r}: expected x of at least 1 x 1 pixel, got {x.shape}")
        return x

    def output_shape(self, x_shape: Shape) -> Shape:
        """Return (N, C)."""
        return x_shape[0], x_shape[3]

    def allocate(self, x: Array, y: Array) -> tuple[Array, ...]:
        """Return which pixel of each image is the largest."""
        return (empty(y.shape, np.int32),)

    def forward_span(self, x: Array, y: Array, winner: Array) -> None:
        """Write each image's largest values."""
        rows, columns = (np.array([[0, side]]) for side in x.shape[1:3])
        max_windows(x, rows, columns, y[:, None, None], winner[:, None, None])

    def backward_span(self, dy: Array, dx: Array, winner: Array) -> None:
        """Write dx: the gradient goes to the pixel that was largest."""
        max_windows_backward(dy[:, None, None], winner[:, None, None], dx)

    def tangent(self, dx: Array, dparams: Mapping[str, Array]) -> Array:
        """Return what dx has at each channel's largest pixel."""
        (winner,) = self.recall()
        flat = dx.reshape(len(dx), -1, dx.shape[3])
        return np.take_along_axis(flat, winner[:, None].astype(np.intp), 1)[:, 0]
