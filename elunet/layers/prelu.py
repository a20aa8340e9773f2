"""PReLU: a rectifier whose slope below 0 is learned."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elunet._checks import integer, number
from elunet._quiet import quiet
from elunet._types import Array
from elunet.layers.base import Layer, as_dtype


class PReLU(Layer):
    """Parametric ReLU: x for x > 0, ``alpha x`` for x <= 0, with alpha learned.

    Parameters
    ----------
    channels : int, default 1
        The length C of the last axis, for a slope of each channel's own; 1 for a single slope.
    alpha : float, default 0.25
        Where the slopes start; those in use are ``params["alpha"]``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `forward`, if x has another number of channels.

    Notes
    -----
    ``params`` has "alpha", of shape (C,). It is not a weight: penalties that take every "W", and
    learning rules, leave it alone.

    References
    ----------
    He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015, arXiv:1502.01852.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import PReLU
    >>> PReLU().forward(np.array([[-2.0, 0.0, 2.0]]))
    array([[-0.5,  0. ,  2. ]])
    """

    pointwise = True

    def __init__(self, channels: int = 1, alpha: float = 0.25) -> None:
        super().__init__()
        self.channels = integer("PReLU", "channels", channels)
        self.alpha = number("PReLU", "alpha", alpha)
        self.params["alpha"] = as_dtype(np.full(channels, self.alpha), np.dtype(np.float32))

    @quiet
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y, of x's shape (N, ...), or (N, ..., C) with a slope for each channel."""
        x = self.check_input(x, ("N", ..., self.channels) if self.channels > 1 else ("N", ...))
        alpha = self.parameter("alpha", (self.channels,), x.dtype)
        self.keep(x, alpha)
        return np.where(x > 0, x, alpha * x)

    @quiet
    def backward_params(self, dy: Array) -> None:
        """Fill ``dalpha = sum of dy x where x <= 0``, over all that the slope is for."""
        x, alpha = self.recall()
        dy = self.check_gradient(dy, x.shape, x.dtype)
        share = np.where(x > 0, 0, dy.astype(np.float64) * x)
        self.store_gradient("alpha", share.reshape(-1, len(alpha)).sum(axis=0), x.dtype)

    @quiet
    def backward_input(self, dy: Array) -> Array:
        """Return dx: dy for x > 0, and ``alpha dy`` elsewhere."""
        x, alpha = self.recall()
        dy = self.check_gradient(dy, x.shape, x.dtype)
        return np.where(x > 0, dy, alpha * dy)

    @quiet
    def tangent(self, dx: Array | None, dparams: Mapping[str, Array]) -> Array:
        """Return dx for x > 0, and ``alpha dx + dalpha x`` elsewhere."""
        x, alpha = self.recall()
        dx = np.zeros_like(x) if dx is None else dx
        return np.where(x > 0, dx, alpha * dx + dparams.get("alpha", x.dtype.type(0)) * x)

    def __repr__(self) -> str:
        return "PReLU()" if self.channels == 1 else f"PReLU({self.channels})"
