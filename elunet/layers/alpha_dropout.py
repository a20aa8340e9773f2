"""Alpha dropout: dropout that keeps mean and variance, for networks with SELU."""

from __future__ import annotations

import math

from elunet._types import Array
from elunet.layers.dropout import STEPS, Dropout
from elunet.layers.elementwise import copied
from elunet.layers.selu import ALPHA, SCALE

LOWEST = -ALPHA * SCALE  # SELU's limit at minus infinity, about -1.7581


class AlphaDropout(Dropout, spans=True):
    """In training, numbers are set to SELU's lowest value; then mean and variance are restored.

    With probability p, the `rate`, x is replaced by a = -1.7581; otherwise it stays. What comes out
    is ``s (x - a p)``, with ``s = 1 / sqrt((1 - p) (1 + p a^2))``: of mean 0 and variance 1 if x
    was. Outside of training ``y = x``.

    Parameters
    ----------
    rate : float
        Probability that a number is replaced; 0 <= rate < 1. It is rounded to a multiple of 2^-16.
    seed : int, SeedSequence, Generator or None, optional
        Where the masks come from.

    Raises
    ------
    TypeError, ValueError
        If `rate` is not a number in [0, 1).

    References
    ----------
    Klambauer, Unterthiner, Mayr, Hochreiter, "Self-Normalizing Neural Networks", NIPS 2017,
    arXiv:1706.02515.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import AlphaDropout
    >>> AlphaDropout(0.5, seed=3).forward(np.ones(4), train=True).round(4)
    array([ 1.6656,  1.6656, -0.7792, -0.7792])
    """

    def forward_span(self, x: Array, y: Array, bits: Array) -> None:
        """Write ``y = s (x - a p)``, with a in x's place where x is dropped."""
        share, scale = self._share_and_scale()
        for part in copied(x, y):
            values = y[part].reshape(-1)
            values[bits[part].reshape(-1) < self._dropped()] = LOWEST
            values -= values.dtype.type(LOWEST * share)
            values *= values.dtype.type(scale)

    def backward_span(self, dy: Array, dx: Array, bits: Array) -> None:
        """Write ``dx = s dy`` where x stayed, and 0 elsewhere."""
        _, scale = self._share_and_scale()
        for part in copied(dy, dx):
            values = dx[part].reshape(-1)
            values[bits[part].reshape(-1) < self._dropped()] = 0
            values *= values.dtype.type(scale)

    def _share_and_scale(self) -> tuple[float, float]:
        """Return p and s."""
        p = self._dropped() / STEPS
        return p, 1 / math.sqrt((1 - p) * (1 + p * LOWEST**2))
