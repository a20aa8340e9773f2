"""Backpropagation: each weighted layer sends its error back through its own weight."""

from __future__ import annotations

from elunet.routers.base import Router


class Backprop(Router):
    """Standard backpropagation, ``dx = dy W^T``: the exact gradient of the loss.

    References
    ----------
    Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors",
    Nature 323, 1986, 10.1038/323533a0.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(3, 2)], seed=0)
    >>> dy = np.ones_like(net.forward(np.ones((5, 3)), train=True))
    >>> eln.routers.Backprop().backward(net, dy)
    >>> net.gradients()["linear1.b"]
    array([5., 5.])
    """
