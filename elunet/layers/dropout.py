"""Dropout: in training, each number is switched off with a given probability."""

from __future__ import annotations

import numpy as np

from elunet._checks import number
from elunet._types import Array, Seed
from elunet.layers.base import Layer

STEPS = 1 << 16  # 16 random bits decide on each number: a rate is met to within 1 / 131072


class Dropout(Layer):
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
    >>> Dropout(0.5, seed=0).forward(np.ones(8), train=True)
    array([2., 2., 2., 0., 2., 0., 0., 0.])
    """

    pointwise = True

    rng: np.random.Generator

    def __init__(self, rate: float, seed: Seed = None) -> None:
        super().__init__(seed)
        self.rate = number("Dropout", "rate", rate, "[0, 1)")
        self.reset(seed)

    def reset(self, seed: Seed) -> None:
        """Start the masks' random numbers anew."""
        self.rng = np.random.default_rng(seed)

    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y, of x's shape; outside training it is x itself."""
        x = self.check_input(x, ("N", ...))
        dropped = min(round(self.rate * STEPS), STEPS - 1)
        if not train or dropped == 0:
            self.keep(None, x.shape, x.dtype)
            return x
        mask = self.rng.integers(0, STEPS, x.shape, np.uint16) >= dropped
        scaled = mask * x.dtype.type(STEPS / (STEPS - dropped))
        self.keep(scaled, x.shape, x.dtype)
        y: Array = x * scaled
        return y

    def backward_input(self, dy: Array) -> Array:
        """Return ``dx = dy mask / (1 - rate)`` with forward's mask."""
        scaled, shape, dtype = self.recall()
        dy = self.check_gradient(dy, shape, dtype)
        return dy if scaled is None else dy * scaled

    def __repr__(self) -> str:
        return f"Dropout({self.rate:g})"
