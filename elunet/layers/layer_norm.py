"""Layer normalization: each position is centered and scaled by its own channels."""

from __future__ import annotations

import math

from elunet._types import Shape
from elunet.layers._grouped import Grouped


class LayerNorm(Grouped):
    """Layer normalization over the last axis: ``y = gamma (x - mean) / sqrt(var + eps) + beta``.

    Each row of (N, C), and each pixel of (N, H, W, C), is normalized by itself, in training and
    evaluation alike. ``GroupNorm(1, channels)`` takes all of an image together.

    Parameters
    ----------
    channels : int
        Length C of the last axis, at least 2.
    affine : bool, default True
        Whether there are parameters "gamma" and "beta", of shape (C,).
    eps : float, default 1e-5
        Added to the variance; above 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `forward`, if x does not fit, or there is one channel.

    References
    ----------
    Ba, Kiros, Hinton, "Layer Normalization", arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import LayerNorm
    >>> LayerNorm(2).forward(np.array([[1.0, 3.0], [50.0, 10.0]])).round(3)
    array([[-1.,  1.],
           [ 1., -1.]])
    """

    def __init__(self, channels: int, affine: bool = True, eps: float = 1e-5) -> None:
        super().__init__(channels, affine, eps)

    def grouped(self, shape: Shape) -> Shape:
        """Return (N H W, 1, 1, C)."""
        return math.prod(shape[:-1]), 1, 1, shape[-1]

    def __repr__(self) -> str:
        return f"LayerNorm({self.channels}{'' if self.affine else ', affine=False'})"
