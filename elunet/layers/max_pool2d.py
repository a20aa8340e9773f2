"""Max pooling: each window's largest value."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.deferred import deferrable
from elunet.kernels.pooling import max_pool, max_pool_backward
from elunet.layers.pool2d import Pool2D
from elunet.workspace import empty


class MaxPool2D(Pool2D):
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
        If `size` or `stride` is not an integer of at least 1; in `forward`, if the picture is
        smaller than a window.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import MaxPool2D
    >>> MaxPool2D().forward(np.arange(16.0).reshape(1, 4, 4, 1)).ravel()
    array([ 5.,  7., 13., 15.])
    """

    @deferrable
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y of shape (N, H_out, W_out, C) for x of shape (N, H, W, C)."""
        x = self.check_input(x, ("N", "H", "W", "C"))
        y = empty(self._output_shape(x), x.dtype)
        winner = empty(y.shape, np.uint8 if self.size <= 16 else np.int32)

        def work(start: int, stop: int, worker: int) -> None:
            max_pool(x[start:stop], self.size, self.stride, y[start:stop], winner[start:stop])

        self._run(work, x.shape)
        self.keep(winner, x.shape, x.dtype)
        return y

    @deferrable
    def backward_input(self, dy: Array) -> Array:
        """Return dx: each window's gradient goes to the pixel that was largest."""
        winner, x_shape, dtype = self.recall()
        dy = self.check_gradient(dy, winner.shape, dtype)
        dx = empty(x_shape, dtype)

        def work(start: int, stop: int, worker: int) -> None:
            some = slice(start, stop)
            max_pool_backward(dy[some], winner[some], self.size, self.stride, dx[some])

        self._run(work, x_shape)
        return dx
