"""Mean pooling over whole pictures."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.layers.base import Layer, ieee
from elunet.workspace import empty


class GlobalMeanPool2D(Layer):
    """Each channel's mean over the whole picture: (N, H, W, C) becomes (N, C).

    Raises
    ------
    ValueError
        In `forward`, if the picture has no pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import GlobalMeanPool2D
    >>> GlobalMeanPool2D().forward(np.arange(16.0).reshape(1, 4, 4, 1))
    array([[7.5]])
    """

    @ieee
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return the means, of shape (N, C), for x of shape (N, H, W, C)."""
        x = self.check_input(x, ("N", "H", "W", "C"))
        if x.shape[1] * x.shape[2] == 0:
            raise ValueError(f"{self!r}: expected x of at least 1 x 1 pixel, got {x.shape}")
        self.keep(x.shape, x.dtype)
        return np.asarray(x.mean(axis=(1, 2), dtype=np.float64).astype(x.dtype))

    @ieee
    def backward_input(self, dy: Array) -> Array:
        """Return dx: each pixel gets 1/(H W) of its channel's gradient."""
        x_shape, dtype = self.recall()
        pictures, height, width, channels = x_shape
        dy = self.check_gradient(dy, (pictures, channels), dtype)
        dx = empty(x_shape, dtype)
        dx[...] = (dy / dtype.type(height * width))[:, None, None, :]
        return dx
