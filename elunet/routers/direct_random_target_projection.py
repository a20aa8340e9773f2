"""Direct random target projection: hidden layers learn from the target, not from the error."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.losses import one_hot
from elunet.network import Network
from elunet.routers.direct_feedback_alignment import DirectRouter


class DirectRandomTargetProjection(DirectRouter):
    r"""Send ``y* B_k / N`` to the input of each weighted layer k, B_k fixed and random.

    y* is the one-hot target: its sign is all that a hidden layer hears of the error. The output
    layer learns from the exact error.

    Parameters
    ----------
    seed : int, default 0
        Of the matrices; each depends on the seed and its layer's name only.
    shared : bool, default False
        Whether all positions of a picture share one projection; see `DirectFeedbackAlignment`.
    distribution : Initializer, optional
        Draws the B_k, by default `LeCun("uniform")`.
    before_pooling : bool, default False
        Whether it projects before pooling instead of after; see `DirectFeedbackAlignment`.

    Raises
    ------
    ValueError
        In `backward`, if no target is given, or it does not fit the output.

    Notes
    -----
    The factor 1/N makes the signal a mean over the batch, as dL/dlogits is here; the publication
    sums.

    References
    ----------
    Frenkel, Lefebvre, Bol, "Learning Without Feedback: Fixed Random Learning Signals Allow for
    Feedforward Training of Deep Neural Networks", Frontiers in Neuroscience 15, 2021,
    10.3389/fnins.2021.629892.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.DirectRandomTargetProjection(seed=1)
    DirectRandomTargetProjection(seed=1, shared=False)
    """

    source = "target"

    def begin(self, net: Network, dy: Array, target: Array | None) -> None:
        """Keep the target."""
        super().begin(net, dy, target)
        if target is None:
            raise ValueError(
                "DirectRandomTargetProjection: expected target in backward(net, dy, target), got"
                " None"
            )
        self._target = np.asarray(target)

    def message(self, error: Array) -> Array:
        """Return y* / N."""
        target: Array = self._target
        rows = target if target.ndim == 2 else one_hot(target, error.shape[1], repr(self))
        if rows.shape != error.shape:
            raise ValueError(
                f"{self!r}: expected target of shape {error.shape[:1]} (labels) or {error.shape}"
                f" (one-hot), got {target.shape}"
            )
        message: Array = rows.astype(error.dtype) / error.dtype.type(len(error))
        return message
