"""Max pooling: each window's largest value."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels.pooling import max_pool, max_pool_backward
from elunet.layers.pool2d import Pool2D
from elunet.layers.spans import empty


class MaxPool2D(Pool2D, spans=True):
    """Max pooling over size x size windows; of equal values the first (row-major) wins.

    Parameters
    ----------
    size : int, default 2
        Side of the window in pixels.
    stride : int, optional
        Step between windows in pixels, by default `size`. Windows that do not fit are dropped.

    Raises
    ------
    TypeError, ValueError
        If `size` or `stride` is not an integer of at least 1; in `forward`, if the image is
        smaller than a window.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import MaxPool2D
    >>> MaxPool2D().forward(np.arange(16.0).reshape(1, 4, 4, 1)).ravel()
    array([ 5.,  7., 13., 15.])
    """

    def allocate(self, x: Array, y: Array) -> tuple[Array, ...]:
        """Return which pixel of each window is the largest."""
        return (empty(y.shape, np.uint8 if self.size <= 16 else np.int32),)

    def forward_span(self, x: Array, y: Array, winner: Array) -> None:
        """Write each window's largest value."""
        max_pool(x, self.size, self.stride, y, winner)

    def backward_span(self, dy: Array, dx: Array, winner: Array) -> None:
        """Write dx: each window's gradient goes to the pixel that was largest."""
        max_pool_backward(dy, winner, self.size, self.stride, dx)
