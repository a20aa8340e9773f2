"""Dropout: in training, each number is switched off with a given probability."""

from __future__ import annotations

import numpy as np

from elunet._checks import number
from elunet._types import Array, Seed
from elunet.kernels.dropout import drop
from elunet.layers.elementwise import copied
from elunet.layers.spans import SpanLayer

STEPS = 1 << 16  # 16 random bits decide on each number: a rate is met to within 1 / 131072


class Dropout(SpanLayer, spans=True):
    """Inverted dropout: in training ``y = x mask / (1 - rate)``, otherwise ``y = x``.

    Parameters
    ----------
    rate : float
        Probability that a number is set to 0; 0 <= rate < 1. It is rounded to a multiple of 2^-16,
        and the scale is that of the rounded rate, so the mean stays exact.
    seed : int, SeedSequence, Generator or None, optional
        Where the masks come from.

    Raises
    ------
    TypeError, ValueError
        If `rate` is not a number in [0, 1).

    References
    ----------
    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
    JMLR 15, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Dropout
    >>> Dropout(0.5, seed=3).forward(np.ones(8), train=True)
    array([2., 2., 0., 0., 2., 0., 2., 0.])
    """

    pointwise = symmetric = True
    in_place = True

    rng: np.random.Generator

    def __init__(self, rate: float, seed: Seed = None) -> None:
        super().__init__(seed)
        self.rate = number(type(self).__name__, "rate", rate, "[0, 1)")
        self.reset(seed)

    def reset(self, seed: Seed) -> None:
        """Start the masks' random numbers again."""
        self.rng = np.random.default_rng(seed)

    def passes_on(self, train: bool) -> bool:
        """Return whether nothing is dropped."""
        return not train or self._dropped() == 0

    def allocate(self, x: Array, y: Array) -> tuple[Array, ...]:
        """Return random bits; the mask is where they are large enough."""
        return (self.group.integers(self.rng, STEPS, x.shape, np.uint16),)

    def forward_span(self, x: Array, y: Array, bits: Array) -> None:
        """Write ``y = x mask / (1 - rate)``; going back, dx from dy in the same way."""
        dropped = self._dropped()
        for part in copied(x, y):
            values = y[part].reshape(-1)
            scale = values.dtype.type(STEPS / (STEPS - dropped))
            drop(values, bits[part].reshape(-1), dropped, scale)

    backward_span = forward_span  # dx = dy mask / (1 - rate), with forward's mask

    def _dropped(self) -> int:
        """Return how many of the STEPS possible numbers switch off."""
        return min(round(self.rate * STEPS), STEPS - 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.rate:g})"
