"""Sign symmetry: the way down knows only the signs of the weights."""

from __future__ import annotations

import numpy as np

from elunet._checks import choice
from elunet._types import Array
from elunet.init import He, Initializer
from elunet.layers.base import Layer
from elunet.routers.base import Router, check_seed, generator, send_through


class SignSymmetry(Router):
    """Send ``delta B^T`` with B that has the signs of this step's W, but not its magnitudes.

    Parameters
    ----------
    magnitudes : "uniform", "batchwise" or "fixed", default "uniform"
        "uniform" (uSF): ``B = s sign(W)``, s the standard deviation of W at the first backward
        pass, its initial one in a new network. "batchwise" (brSF): ``B = abs(M_t) sign(W)``, M_t
        drawn anew at each backward pass. "fixed" (frSF): ``B = abs(M) sign(W)``, M drawn once.
    seed : int, default 0
        Of M.
    distribution : Initializer, optional
        Draws M, by default `elunet.init.He()`, the scale of W itself.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of the above.

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

    _remembered = ("scale", "M", "generators")

    def __init__(
        self,
        magnitudes: str = "uniform",
        seed: int = 0,
        distribution: Initializer | None = None,
    ) -> None:
        super().__init__()
        choice("SignSymmetry", "magnitudes", magnitudes, ("uniform", "batchwise", "fixed"))
        self.magnitudes = magnitudes
        self.seed = check_seed("SignSymmetry", seed)
        self.distribution = He() if distribution is None else distribution
        self.scale: dict[str, float] = {}
        self.M: dict[str, Array] = {}
        self.generators: dict[str, np.random.Generator] = {}

    def backward_weight(self, name: str, W: Array) -> Array:
        """Return this step's B for a layer."""
        if self.magnitudes == "uniform":
            magnitude: Array | float = self.scale.setdefault(name, float(W.std()))
        else:
            if name not in self.M or self.magnitudes == "batchwise":
                rng = self.generators.setdefault(name, generator(self.seed, name))
                self.M[name] = np.abs(self.distribution(rng, W.shape)).astype(np.float32)
            magnitude = self.M[name]
            if self.M[name].shape != W.shape:
                raise ValueError(
                    f"{self!r}: expected M of {name} of W's shape {W.shape}, got"
                    f" {self.M[name].shape}; use one router per network"
                )
        B: Array = np.sign(W) * np.asarray(magnitude, W.dtype)
        return B

    def send(self, layer: Layer, dy: Array) -> Array:
        """Return what goes down through B."""
        B = self.backward_weight(self.name_of(layer), layer.params["W"])
        return send_through(layer, dy, B.astype(dy.dtype, copy=False))

    def __repr__(self) -> str:
        return f"SignSymmetry({self.magnitudes!r}, seed={self.seed})"
