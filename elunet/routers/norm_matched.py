"""Norm matching: a rule's direction with backprop's step size."""

from __future__ import annotations

import numpy as np

from elunet._quiet import quiet
from elunet._types import Array
from elunet.network import Network, Tap
from elunet.routers.base import Router
from elunet.routers.holder import Wrapper


class NormMatched(Wrapper):
    """Scale a rule's gradient of each parameter to the norm of backprop's on the same batch.

    It separates direction from step size: a rule that does well only with this lacked scale, one
    that does badly even so lacks direction. It costs a second backward pass.

    Parameters
    ----------
    router : Router
        The rule that gives the directions.

    Raises
    ------
    TypeError
        If `router` is not a router.

    Notes
    -----
    Where the rule's gradient is 0 it stays 0. A rule's own backward weights (Kolen-Pollack's) keep
    following W's gradient, scaled as well.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.NormMatched(eln.routers.DirectFeedbackAlignment())
    NormMatched(DirectFeedbackAlignment(seed=0, shared=False))
    """

    def backward(
        self,
        net: Network,
        dy: Array | tuple[Array, ...],
        target: Array | None = None,
        tap: Tap | None = None,
        release: bool = False,
    ) -> None:
        """Run backpropagation for the norms, then the rule, and scale."""
        with net.alone():
            Router().backward(net, dy, target)
            norms = {name: _norm(value) for name, value in net.gradients().items()}
            self.told().backward(net, dy, target, tap)
            for name, gradient in net.gradients().items():
                _scale(gradient, norms[name])
            if release:
                net.release()

    def __repr__(self) -> str:
        return f"NormMatched({self.router!r})"


@quiet
def _scale(gradient: Array, norm: float) -> None:
    """Give a gradient this norm; 0 stays 0."""
    own = _norm(gradient)
    if own > 0:
        gradient *= norm / own


@quiet
def _norm(value: Array) -> float:
    """Return the Euclidean norm, in float64: squares of small float32 numbers would vanish."""
    return float(np.sqrt(np.square(value, dtype=np.float64).sum()))
