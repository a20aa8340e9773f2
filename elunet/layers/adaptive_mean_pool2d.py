"""Mean pooling to a given number of pixels."""

from __future__ import annotations

from elunet._checks import merged, pair
from elunet._types import Array, Shape
from elunet.kernels.windows import mean_windows, mean_windows_backward
from elunet.layers._pooling import adaptive, counted
from elunet.layers.pool2d import Pair
from elunet.layers.spans import SpanLayer


class AdaptiveMeanPool2D(SpanLayer, spans=True):
    """Mean pooling to `size` pixels, whatever the image's size, as in PyTorch.

    Output row i is the mean of the rows from ``floor(i H / size)`` to, not including,
    ``ceil((i + 1) H / size)``, and columns alike: windows may overlap by a pixel.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the output.

    Raises
    ------
    TypeError, ValueError
        If `size` is not an integer of at least 1, or two; in `forward`, if the image has no pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import AdaptiveMeanPool2D
    >>> AdaptiveMeanPool2D(2).forward(np.arange(9.0).reshape(1, 3, 3, 1)).ravel()
    array([2., 3., 5., 6.])
    """

    linear = True

    def __init__(self, size: Pair) -> None:
        super().__init__()
        self.sizes = pair("AdaptiveMeanPool2D", "size", size)
        self.size = merged(self.sizes)

    def settings(self) -> tuple[int, int]:
        """Return what the output's shape depends on."""
        return self.sizes

    def check(self, x: Array) -> Array:
        """Return x, of shape (N, H, W, C) with H, W > 0."""
        x = self.check_input(x, ("N", "H", "W", "C"))
        if x.shape[1] * x.shape[2] == 0:
            raise ValueError(f"{self!r}: expected x of at least 1 x 1 pixel, got {x.shape}")
        return x

    def output_shape(self, x_shape: Shape) -> Shape:
        """Return (N, height, width, C)."""
        return x_shape[0], *self.sizes, x_shape[3]

    def forward_span(self, x: Array, y: Array) -> None:
        """Write the means."""
        rows, columns = self._windows(x.shape)
        mean_windows(x, rows, columns, counted(rows, columns), y)

    def backward_span(self, dy: Array, dx: Array) -> None:
        """Write dx: each pixel of a window gets its share of the window's gradient."""
        rows, columns = self._windows(dx.shape)
        mean_windows_backward(dy, rows, columns, counted(rows, columns), dx)

    def _windows(self, shape: Shape) -> tuple[Array, Array]:
        return adaptive(shape[1], self.sizes[0]), adaptive(shape[2], self.sizes[1])

    def __repr__(self) -> str:
        return f"AdaptiveMeanPool2D({self.sizes[0]}x{self.sizes[1]})"
