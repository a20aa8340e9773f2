"""Mean pooling: each window's mean."""

from __future__ import annotations

from elunet._types import Array
from elunet.kernels.pooling import mean_pool, mean_pool_backward
from elunet.kernels.windows import mean_windows, mean_windows_backward
from elunet.layers._padding import Padding
from elunet.layers.pool2d import Pair, Pool2D


class MeanPool2D(Pool2D, spans=True):
    """Mean pooling over windows.

    Parameters
    ----------
    size : int or (int, int), default 2
        Height and width of the window in pixels.
    stride : int or (int, int), optional
        Step between windows in pixels, by default `size`.
    padding : "same", "valid", int, (int, int) or ((int, int), (int, int)), default 0
        Pixels around the image that belong to windows; less than a window. "same" is
        TensorFlow's, as in `Conv2D`.
    ceil_mode : bool, default False
        Whether a last window that does not fit is kept, with what it has of the image; else it is
        dropped.
    count_include_pad : bool, default True
        Whether the mean is over the window's pixels in the padding too, which are zeros, as
        PyTorch's default has it (Keras' "same" does not count them).

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of these; in `forward`, if the image is smaller than a window.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import MeanPool2D
    >>> MeanPool2D().forward(np.arange(16.0).reshape(1, 4, 4, 1)).ravel()
    array([ 2.5,  4.5, 10.5, 12.5])
    """

    linear = True

    def __init__(
        self,
        size: Pair = 2,
        stride: Pair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(size, stride, padding, ceil_mode)
        self.count_include_pad = self.count_padding = bool(count_include_pad)

    def forward_span(self, x: Array, y: Array) -> None:
        """Write each window's mean."""
        if self.is_plain:
            mean_pool(x, self.sizes[0], self.strides[0], y)
        else:
            mean_windows(x, *self.windows(*x.shape[1:3]), y)

    def backward_span(self, dy: Array, dx: Array) -> None:
        """Write dx: each pixel of a window gets its share of the window's gradient."""
        if self.is_plain:
            mean_pool_backward(dy, self.sizes[0], self.strides[0], dx)
        else:
            mean_windows_backward(dy, *self.windows(*dx.shape[1:3]), dx)
