"""Max pooling: each window's largest value."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elunet._types import Array
from elunet.kernels.pooling import max_pool, max_pool_backward
from elunet.kernels.windows import max_windows, max_windows_backward
from elunet.layers.pool2d import Pool2D
from elunet.layers.spans import empty


class MaxPool2D(Pool2D, spans=True):
    """Max pooling over windows; of equal values the first (row-major) wins.

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

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import MaxPool2D
    >>> MaxPool2D().forward(np.arange(16.0).reshape(1, 4, 4, 1)).ravel()
    array([ 5.,  7., 13., 15.])
    """

    def allocate(self, x: Array, y: Array) -> tuple[Array, ...]:
        """Return which pixel is the largest: of each window, or of the image if it is not plain."""
        small = self.is_plain and self.sizes[0] <= 16
        return (empty(y.shape, np.uint8 if small else np.int32),)

    def forward_span(self, x: Array, y: Array, winner: Array) -> None:
        """Write each window's largest value."""
        if self.is_plain:
            max_pool(x, self.sizes[0], self.strides[0], y, winner)
            return
        windows = self.windows(*x.shape[1:3])
        max_windows(x, windows.rows, windows.columns, y, winner)

    def backward_span(self, dy: Array, dx: Array, winner: Array) -> None:
        """Write dx: each window's gradient goes to the pixel that was largest."""
        if self.is_plain:
            max_pool_backward(dy, winner, self.sizes[0], self.strides[0], dx)
        else:
            max_windows_backward(dy, winner, dx)

    def tangent(self, dx: Array, dparams: Mapping[str, Array]) -> Array:
        """Return what dx has at each window's largest pixel."""
        (winner,) = self.recall()
        images, _, width, channels = dx.shape
        pixels = winner.astype(np.intp)
        if self.is_plain:
            row, column = np.divmod(pixels, self.sizes[0])
            row += np.arange(winner.shape[1])[:, None, None] * self.strides[0]
            column += np.arange(winner.shape[2])[:, None] * self.strides[0]
            pixels = row * width + column
        flat = pixels.reshape(images, -1, channels)
        return np.take_along_axis(dx.reshape(images, -1, channels), flat, 1).reshape(winner.shape)
