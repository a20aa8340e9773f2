"""Three-factor Hebbian learning: the input, whether the unit was active, and a global error."""

from __future__ import annotations

import math

import numpy as np

from elunet._types import Array, Shape
from elunet.routers.direct_feedback_alignment import DirectFeedbackAlignment


class ThreeFactorHebbian(DirectFeedbackAlignment):
    r"""Change each weight by the product of its input, its unit's slope and an output's error.

    ``dW = x^T (m * f'(z))``, with ``m[:, i] = e[:, i mod C] * sqrt(C / n)`` for the i-th of a
    hidden layer's units.

    e of shape (N, C) is the gradient at the output layer. A network with one output (C = 1) sends
    one number per example to all units, the global error. With more, each unit hears the error of
    one output. No matrix is drawn or learned: it is `DirectFeedbackAlignment` with B_k of ones
    and zeros, one 1 for each unit, times a factor that makes m as long as e. A channel of an
    image hears the same error at all positions.

    Parameters
    ----------
    scale : float, default 1.0
        A factor of m, above 0.
    before_pooling : bool, default False
        Whether m comes in before pooling instead of after; see `DirectFeedbackAlignment`.

    Raises
    ------
    TypeError, ValueError
        If `scale` is not a number above 0.

    Notes
    -----
    Where one output's error goes to units from which only later weights 0 lead up to it, and slopes
    are above 0, each example's change has the sign of the gradient (Clark et al., for C = 1; their
    vector-valued units for more outputs are not here). Elsewhere signs agree by chance at first.
    One error for each unit, by a product of three numbers, is the sparsest case of Crafton et al.,
    who draw the output and the factor at random (``connections=1``). The term is Fremaux and
    Gerstner's.

    References
    ----------
    Clark, Abbott, Chung, "Credit Assignment Through Broadcasting a Global Error Vector",
    NeurIPS 2021, arXiv:2106.04089; Crafton, Parihar, Gebhardt, Raychowdhury, "Direct Feedback
    Alignment With Sparse Connections for Local Learning", Frontiers in Neuroscience 13, 2019,
    10.3389/fnins.2019.00525; Fremaux, Gerstner, "Neuromodulated Spike-Timing-Dependent Plasticity,
    and Theory of Three-Factor Learning Rules", Frontiers in Neural Circuits 9, 2016,
    10.3389/fncir.2015.00085.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.ThreeFactorHebbian()
    ThreeFactorHebbian()
    """

    def __init__(self, scale: float = 1.0, before_pooling: bool = False) -> None:
        super().__init__(scale=scale, before_pooling=before_pooling)

    @property
    def is_random(self) -> bool:
        """Whether the signals depend on random matrices (they do not)."""
        return False

    def _projected(self, message: Array, name: str, shape: Shape) -> Array:
        """Return m, in this shape."""
        outputs = message.shape[1]
        factor = self.scale * math.sqrt(outputs / math.prod(shape[1:]))
        m = factor * message[:, np.arange(shape[-1]) % outputs]
        everywhere = m.reshape(len(m), *(1,) * (len(shape) - 2), shape[-1])
        return np.broadcast_to(everywhere, shape).copy()

    def __repr__(self) -> str:
        scale = "" if self.scale == 1 else f"scale={self.scale:g}"
        before = "before_pooling=True" if self.before_pooling else ""
        return f"ThreeFactorHebbian({', '.join(filter(None, (scale, before)))})"
