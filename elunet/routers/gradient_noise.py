"""Gradient noise: random numbers are added to a rule's gradients, smaller ones at each step."""

from __future__ import annotations

import math
from typing import Self

import numpy as np

from elunet._checks import number
from elunet._quiet import quiet
from elunet._types import Array
from elunet.network import Network, Tap
from elunet.routers.base import Router
from elunet.routers.holder import Wrapper
from elunet.routers.memory import count
from elunet.routers.random_router import check_seed, generator


class GradientNoise(Wrapper):
    r"""Add ``N(0, eta / (1 + t)^gamma)`` to every parameter gradient of another rule.

    t counts backward passes from 0, and eta / (1 + t)^gamma is the variance.

    Parameters
    ----------
    router : Router
        The rule whose gradients get the noise.
    eta : float, default 0.01
        The variance at t = 0, at least 0; the publication chose from 0.01, 0.3 and 1.
    gamma : float, default 0.55
        At least 0.
    seed : int, default 0
        Of the noise; routers inside one another need different seeds.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    Neelakantan et al., "Adding Gradient Noise Improves Learning for Very Deep Networks", 2015,
    arXiv:1511.06807.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.routers.GradientNoise(eln.routers.Backprop(), eta=0.3)
    GradientNoise(Backprop(), eta=0.3, gamma=0.55)
    """

    remembers = Wrapper.remembers | {"passes": count}

    def __init__(
        self, router: Router, eta: float = 0.01, gamma: float = 0.55, seed: int = 0
    ) -> None:
        super().__init__(router)
        self.eta = number("GradientNoise", "eta", eta, "[0, inf)")
        self.gamma = number("GradientNoise", "gamma", gamma, "[0, inf)")
        self.seed = check_seed("GradientNoise", seed)
        self.passes = 0

    def backward(
        self,
        net: Network,
        dy: Array | tuple[Array, ...],
        target: Array | None = None,
        tap: Tap | None = None,
        release: bool = False,
    ) -> None:
        """Run the rule, then add the noise."""
        with net.alone():
            self.told().backward(net, dy, target, tap)
            deviation = math.sqrt(self.eta / (1 + self.passes) ** self.gamma)
            rng = generator(self.seed, ".noise", self.passes)  # no layer has this name
            for gradient in net.gradients().values():
                _add_noise(gradient, rng, deviation)
            self.passes += 1
            if release:
                net.release()

    def redrawn(self, seed: int) -> Self:
        """Return a twin whose rule is drawn again, and all further noise as well."""
        twin = super().redrawn(seed)
        twin.seed = int(seed)
        return twin

    def __repr__(self) -> str:
        return f"GradientNoise({self.router!r}, eta={self.eta:g}, gamma={self.gamma:g})"


@quiet
def _add_noise(gradient: Array, rng: np.random.Generator, deviation: float) -> None:
    gradient += deviation * rng.standard_normal(gradient.shape)
