"""Sign symmetry: the backward weights share only the signs of W."""

from __future__ import annotations

import numpy as np

from elunet._checks import choice
from elunet._quiet import quiet
from elunet._types import Array
from elunet.init import Initializer
from elunet.layers.base import Layer
from elunet.network import Network
from elunet.routers.memory import count, numbers
from elunet.routers.random_router import RandomRouter


class SignSymmetry(RandomRouter):
    """Send ``delta B^T`` with B that has the signs of this step's W, but not its magnitudes.

    Parameters
    ----------
    magnitudes : "uniform", "batchwise" or "fixed", default "uniform"
        "uniform" (uSF): ``B = s sign(W)``, s the standard deviation of W at the first backward
        pass, its initial one in a new network. "batchwise" (brSF): ``B = abs(M_t) sign(W)``, M_t
        drawn again at each backward pass. "fixed" (frSF): ``B = abs(M) sign(W)``, M drawn once.
    seed : int, default 0
        Of M.
    distribution : Initializer, optional
        Draws M, by default what drew the layer's W, or `elunet.init.He()`.

    Attributes
    ----------
    deviation : dict of str to float
        s by layer name, in uSF; there from the first backward pass on.
    drawn : dict of str to array
        M by layer name, before abs; in brSF the last pass's.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above.

    References
    ----------
    Liao, Leibo, Poggio, "How Important is Weight Symmetry in Backpropagation?", AAAI 2016,
    arXiv:1510.05067; Moskovitz, Litwin-Kumar, Abbott, "Feedback alignment in deep convolutional
    networks", 2018, arXiv:1812.06488.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.SignSymmetry("fixed", seed=3)
    SignSymmetry('fixed', seed=3)
    """

    remembers = RandomRouter.remembers | {"deviation": numbers, "passes": count}

    def __init__(
        self,
        magnitudes: str = "uniform",
        seed: int = 0,
        distribution: Initializer | None = None,
    ) -> None:
        super().__init__(seed, distribution)
        choice("SignSymmetry", "magnitudes", magnitudes, ("uniform", "batchwise", "fixed"))
        self.magnitudes = magnitudes
        self.deviation: dict[str, float] = {}
        self.passes = 0

    @property
    def is_random(self) -> bool:
        """Whether the signals depend on random matrices (not in uSF)."""
        return self.magnitudes != "uniform"

    @quiet
    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Count the passes; brSF draws M again in each."""
        self.passes += 1
        if self.magnitudes == "batchwise":
            self.drawn = {}

    @quiet
    def weight(self, layer: Layer) -> Array:
        """Return B, after drawing M or measuring s if necessary."""
        name, W = self.node_of(layer).home, layer.params["W"]
        signs: Array = np.sign(W).astype(np.result_type(W, np.float32), copy=False)
        if self.magnitudes == "uniform":
            return signs * self.deviation.setdefault(name, float(W.std()))
        key = (self.passes,) if self.magnitudes == "batchwise" else ()
        return signs * np.abs(self.matrix(name, W.shape, *key))

    def __repr__(self) -> str:
        return f"SignSymmetry({self.magnitudes!r}, seed={self.seed})"
