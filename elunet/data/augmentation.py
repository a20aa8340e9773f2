"""Pad, crop, flip: the usual augmentation for CIFAR-10.

Each image is padded with zeros, a window of the original size is cropped at a random place, and
half of the windows are mirrored. All of it is one gather from the padded batch.
"""

from __future__ import annotations

import numpy as np

from elunet._checks import integer
from elunet._types import Array


def pad_crop_flip(x: Array, rng: np.random.Generator, pad: int = 4) -> Array:
    """Shift each image by up to `pad` pixels and mirror it with probability 1/2.

    A shift leaves zeros at the edge it moves away from, so standardize before, not after.

    Parameters
    ----------
    x : (N, H, W, C), any dtype
        A batch of images; it is not changed.
    rng
        Draws a vertical shift, a horizontal shift and a flip for each image.
    pad
        Zero pixels on each side.

    Returns
    -------
    (N, H, W, C), dtype of `x`
        A new array.

    Raises
    ------
    TypeError, ValueError
        If `x` is not a batch of images, `rng` no Generator, or `pad` no integer of at least 0.

    References
    ----------
    Goodfellow et al., Maxout Networks, 2013, arXiv:1302.4389.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((2, 32, 32, 3), np.float32)
    >>> pad_crop_flip(x, np.random.default_rng(0)).shape
    (2, 32, 32, 3)
    """
    x = np.asarray(x)
    if x.ndim != 4:
        raise ValueError(f"pad_crop_flip: expected x of shape (N, H, W, C), got {x.shape}")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"pad_crop_flip: expected rng to be a numpy Generator, got {rng!r}")
    pad = integer("pad_crop_flip", "pad", pad, 0)
    n, height, width, channels = x.shape
    top, left = rng.integers(0, 2 * pad + 1, (2, n, 1))
    flip = rng.random((n, 1)) < 0.5

    padded = np.zeros((n, height + 2 * pad, width + 2 * pad, channels), x.dtype)
    padded[:, pad : pad + height, pad : pad + width] = x
    rows = top + np.arange(height)
    columns = left + np.where(flip, np.arange(width)[::-1], np.arange(width))
    windows: Array = padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return windows
