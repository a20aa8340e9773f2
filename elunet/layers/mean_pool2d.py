"""Mean pooling: each window's mean."""

from __future__ import annotations

from elunet._types import Array
from elunet.kernels.pooling import mean_pool, mean_pool_backward
from elunet.layers.pool2d import Pool2D


class MeanPool2D(Pool2D, spans=True):
    """Mean pooling over size x size windows.

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
    >>> from elunet.layers import MeanPool2D
    >>> MeanPool2D().forward(np.arange(16.0).reshape(1, 4, 4, 1)).ravel()
    array([ 2.5,  4.5, 10.5, 12.5])
    """

    def forward_span(self, x: Array, y: Array) -> None:
        """Write each window's mean."""
        mean_pool(x, self.size, self.stride, y)

    def backward_span(self, dy: Array, dx: Array) -> None:
        """Write dx: each pixel of a window gets 1/size^2 of the window's gradient."""
        mean_pool_backward(dy, self.size, self.stride, dx)
