"""Weight mirrors: the backward weights learn W from noise that is sent through each layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elunet._checks import integer, number
from elunet._quiet import quiet
from elunet._types import Array
from elunet.init import Initializer
from elunet.network import Network
from elunet.routers.feedback_alignment import FeedbackAlignment
from elunet.routers.memory import count
from elunet.routers.random_router import generator, given


class WeightMirror(FeedbackAlignment):
    r"""Feedback alignment whose B is, except for noise, a running mean of W.

    After each walk every layer that sends a signal down is in mirror mode once. Noise x comes in
    at it, rows of variance 1, and with its bias blocked it answers with x W. On average over the
    noise, the product of the two is W, so B learns W by a Hebbian rule, though nobody reads W out:

    ``B <- (1 - decay) B + rate x^T (x W) / rows``.

    B tends to ``rate / decay * W``.

    Parameters
    ----------
    seed, B, distribution, scale
        As in `FeedbackAlignment`; here B is the start. The noise follows from the seed too.
    rate : float, default 0.05
        How much of W is added in a step; at least 0.
    decay : float, default 0.05
        How much of B is forgotten in a step, in [0, 1].
    rows : int, default 100
        How many rows of noise a layer is sent in a step. For W with n numbers per output, the part
        of B that is noise is about ``sqrt(rate / 2 * n / rows)`` times as long as W, and the angle
        between them has this tangent.

    Attributes
    ----------
    passes : int
        How many walks there were.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `backward`, as in `FeedbackAlignment`.

    Notes
    -----
    A row of noise is one window of a convolution: W is taken as the matrix (all numbers that an
    output is made of, outputs). The article sends whole noise images, whose windows overlap. There
    the answer also passes the activation, which is linear near 0; here it is taken before that.
    B has a rate of its own, and an optimizer does not know of it.

    References
    ----------
    Akrout, Wilson, Humphreys, Lillicrap, Tweed, "Deep Learning without Weight Transport",
    NeurIPS 2019, arXiv:1904.05391.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.WeightMirror(seed=1)
    WeightMirror(seed=1, rate=0.05, decay=0.05, rows=100)
    """

    remembers = FeedbackAlignment.remembers | {"passes": count}

    def __init__(
        self,
        seed: int = 0,
        rate: float = 0.05,
        decay: float = 0.05,
        rows: int = 100,
        B: Mapping[str, Array] | None = None,
        distribution: Initializer | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__(seed, B, distribution, scale)
        self.rate = number("WeightMirror", "rate", rate, "[0, inf)")
        self.decay = number("WeightMirror", "decay", decay, "[0, 1]")
        self.rows = integer("WeightMirror", "rows", rows)
        self.passes = 0
        self._sent: dict[str, Array] = {}

    @quiet
    def end(self, net: Network) -> None:
        """Run a step in mirror mode: send noise through each layer that has a B."""
        self.passes += 1
        self._sent = dict(self.drawn)
        for name, B in self._sent.items():
            W = net[name].params["W"].reshape(-1, B.shape[-1])
            x = generator(self.seed, name, self.passes).standard_normal(
                (self.rows, len(W)), dtype=np.float32
            )
            mirrored = self.rate / self.rows * (x.T @ (x @ W)).reshape(B.shape)
            self.drawn[name] = ((1 - self.decay) * B + mirrored).astype(B.dtype)

    def feedback_weight(self, net: Network, name: str) -> Array | None:
        """Return the B through which a layer sent back last, before it was mirrored again."""
        found = super().feedback_weight(net, name)
        return None if found is None else self._sent.get(self.graph(net).nodes[name].home, found)

    def __repr__(self) -> str:
        return (
            f"WeightMirror(seed={self.seed}, rate={self.rate:g}, decay={self.decay:g},"
            f" rows={self.rows}{given(self)})"
        )
