"""Kolen-Pollack: the backward weights are learned too, with W's own updates."""

from __future__ import annotations

from elunet._types import Array
from elunet.routers.feedback_alignment import FeedbackAlignment
from elunet.routers.random_router import given


class KolenPollack(FeedbackAlignment):
    """Feedback alignment whose B learns with W's own gradient and decay.

    Both get the same change at each step, so W - B only shrinks by the decay: with an L2 penalty B
    converges to W, without one W - B stays as it was. The optimizer updates B by
    ``optimizer.step(net, router)``, which the trainer does.

    Parameters
    ----------
    seed, B, distribution, scale
        As in `FeedbackAlignment`; here B is the start.

    Notes
    -----
    With momentum or Adam, B has its own state; as its gradient is W's at every step, so is its
    update, until the penalty's part differs.

    References
    ----------
    Akrout, Wilson, Humphreys, Lillicrap, Tweed, "Deep Learning without Weight Transport",
    NeurIPS 2019, arXiv:1904.05391; Kolen, Pollack, "Backpropagation without weight transport",
    ICNN 1994, 10.1109/ICNN.1994.374486.

    Examples
    --------
    >>> import elunet as eln
    >>> router = eln.routers.KolenPollack(seed=1)
    """

    def parameters(self) -> dict[str, Array]:
        """Return {"conv2.B": array, ...}: the live arrays."""
        return {f"{name}.B": B for name, B in self.B.items()}

    def gradients(self) -> dict[str, Array]:
        """Return W's gradients, under B's names; {} before the first backward pass."""
        if self._graph is None:
            return {}
        return {f"{name}.B": self.net[name].grads["W"] for name in self.B}

    def __repr__(self) -> str:
        return f"KolenPollack(seed={self.seed}{given(self)})"
