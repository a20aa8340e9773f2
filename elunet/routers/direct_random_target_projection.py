"""Direct random target projection: hidden layers learn from the target, not from the error."""

from __future__ import annotations

import numpy as np

from elunet._quiet import quiet
from elunet._types import Array
from elunet.losses import one_hot
from elunet.network import Network
from elunet.routers.direct_feedback_alignment import DirectFeedbackAlignment

MESSAGE = ".message"  # no layer has this name


class DirectRandomTargetProjection(DirectFeedbackAlignment):
    r"""Send ``y* B_k / N`` to the input of each weighted layer k, B_k fixed and random.

    y* is the one-hot target. It tells a hidden layer the error's sign, and nothing else of the
    error. The output layer learns from the exact error.

    Parameters
    ----------
    seed : int, default 0
        Of the matrices; each depends on the seed and its layer's name only.
    shared : bool, default False
        Whether all positions of an image share one projection; see `DirectFeedbackAlignment`.
    distribution : Initializer, optional
        Draws the B_k, by default U(-sqrt(3/n), sqrt(3/n)) for n numbers of the layer's input.
    scale : float, default 1.0
        A factor of what is drawn.
    before_pooling : bool, default False
        Whether it projects before pooling instead of after; see `DirectFeedbackAlignment`.
    connections : int, optional
        How many classes each number of the projection depends on; see `DirectFeedbackAlignment`.

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

    @quiet
    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Make y* / N of the target."""
        if target is None:
            raise ValueError(
                "DirectRandomTargetProjection: expected target in backward(net, dy, target), got"
                " None"
            )
        output = net.shapes.get(self.graph(net).output_layer().name)
        if output is None:
            return  # no forward pass came before: the walk says so
        shape, labels = (output[0], output[-1]), np.asarray(target)
        rows = labels if labels.ndim == 2 else one_hot(labels, shape[1], repr(self))
        if rows.shape != shape:
            raise ValueError(
                f"{self!r}: expected target of shape {shape[:1]} (labels) or {shape} (one-hot), got"
                f" {labels.shape}"
            )
        self.signals[MESSAGE] = rows * net.group.weight / len(rows)

    def forward_weight(self, net: Network, name: str) -> None:
        """Return None: targets, not errors, go through B_k."""

    def message(self, source: str) -> Array:
        """Return y* / N."""
        return self.signals[MESSAGE]
