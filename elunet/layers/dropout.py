"""Dropout: in training, each number is switched off with a given probability."""

from __future__ import annotations

import numpy as np

from elunet._checks import number
from elunet._types import Array, Seed
from elunet.deferred import deferrable, elementwise
from elunet.kernels.dropout import drop
from elunet.layers.base import Layer, ieee
from elunet.workspace import over

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
    >>> Dropout(0.5, seed=3).forward(np.ones(8), train=True)
    array([2., 2., 0., 0., 2., 0., 2., 0.])
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

    @deferrable
    @ieee
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y, of x's shape; outside training it is x itself."""
        x = self.check_input(x, ("N", ...))
        if not train or self._dropped() == 0:
            self.keep(None, x.shape, x.dtype)
            return x
        bits = self.rng.integers(0, STEPS, x.shape, np.uint16)
        self.keep(bits, x.shape, x.dtype)
        return self._drop(x, bits)

    @deferrable
    @ieee
    def backward_input(self, dy: Array) -> Array:
        """Return ``dx = dy mask / (1 - rate)`` with forward's mask."""
        bits, shape, dtype = self.recall()
        dy = self.check_gradient(dy, shape, dtype)
        return dy if bits is None else self._drop(dy, bits)

    def _drop(self, x: Array, bits: Array) -> Array:
        """Return ``x mask / (1 - rate)``: the mask is where the bits are large enough."""
        dropped = self._dropped()
        scale = x.dtype.type(STEPS / (STEPS - dropped))
        y = over(x)
        elementwise(lambda y, bits: drop(y, bits, dropped, scale), x, y, bits)
        return y

    def _dropped(self) -> int:
        """Return how many of the STEPS possible numbers switch off."""
        return min(round(self.rate * STEPS), STEPS - 1)

    def __repr__(self) -> str:
        return f"Dropout({self.rate:g})"
