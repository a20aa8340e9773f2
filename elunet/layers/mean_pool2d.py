"""Mean pooling: each window's mean."""

from __future__ import annotations

from elunet._types import Array
from elunet.deferred import deferrable
from elunet.kernels.pooling import mean_pool, mean_pool_backward
from elunet.layers.pool2d import Pool2D
from elunet.workspace import empty


class MeanPool2D(Pool2D):
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
        If `size` or `stride` is not an integer of at least 1; in `forward`, if the picture is
        smaller than a window.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import MeanPool2D
    >>> MeanPool2D().forward(np.arange(16.0).reshape(1, 4, 4, 1)).ravel()
    array([ 2.5,  4.5, 10.5, 12.5])
    """

    @deferrable
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y of shape (N, H_out, W_out, C) for x of shape (N, H, W, C)."""
        x = self.check_input(x, ("N", "H", "W", "C"))
        y = empty(self._output_shape(x), x.dtype)

        def work(start: int, stop: int, worker: int) -> None:
            mean_pool(x[start:stop], self.size, self.stride, y[start:stop])

        self._run(work, x.shape)
        self.keep(x.shape, y.shape, x.dtype)
        return y

    @deferrable
    def backward_input(self, dy: Array) -> Array:
        """Return dx: each pixel of a window gets 1/size^2 of the window's gradient."""
        x_shape, y_shape, dtype = self.recall()
        dy = self.check_gradient(dy, y_shape, dtype)
        dx = empty(x_shape, dtype)

        def work(start: int, stop: int, worker: int) -> None:
            mean_pool_backward(dy[start:stop], self.size, self.stride, dx[start:stop])

        self._run(work, x_shape)
        return dx
