"""What rules with random matrices share: a matrix per layer, drawn from the seed and a name."""

from __future__ import annotations

from typing import Any, Self
from zlib import crc32

import numpy as np

from elunet._checks import integer, number
from elunet._quiet import quiet
from elunet._types import Array, Shape
from elunet.init import Constant, He, Initializer
from elunet.routers.base import Router
from elunet.routers.memory import arrays

DOMAIN = 0x0E11  # routers' seeds never draw what a layer of the same seed drew


class RandomRouter(Router):
    """A rule with random matrices, each drawn when it is first needed.

    Parameters
    ----------
    seed : int
        Of the matrices; at least 0.
    distribution : Initializer, optional
        Draws them; they are float32. By default `draws` says what does.
    scale : float, default 1.0
        A factor of all that is drawn, above 0. A comparison that is fair to a rule chooses it along
        with the learning rate.

    Attributes
    ----------
    drawn : dict of str to array
        By layer name.

    Raises
    ------
    TypeError, ValueError
        If `seed` is not an integer of at least 0, or `scale` not a number above 0.

    Examples
    --------
    Backpropagation through W with noise on it, always the same:

    >>> import numpy as np
    >>> import elunet as eln
    >>> class Blurred(eln.routers.RandomRouter):
    ...     def weight(self, layer):
    ...         W = layer.params["W"]
    ...         return W + self.matrix(self.name_of(layer), W.shape)
    >>> net = eln.Sequential([eln.layers.Linear(4, 3), eln.layers.Linear(3, 2)], seed=0)
    >>> router = Blurred(seed=1, distribution=eln.init.Normal(0.1))
    >>> router.backward(net, net.forward(np.ones((5, 4)), train=True))
    >>> router.drawn["linear2"].shape
    (3, 2)
    """

    remembers = Router.remembers | {"drawn": arrays}

    def __init__(
        self, seed: int, distribution: Initializer | None = None, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.seed = check_seed(type(self).__name__, seed)
        self.distribution = distribution
        self.scale = number(type(self).__name__, "scale", scale, "(0, inf)")
        self.drawn: dict[str, Array] = {}

    @quiet
    def matrix(self, name: str, shape: Shape, *key: int) -> Array:
        """Return a layer's matrix; `key` tells several of one layer apart.

        It is drawn by the rule's `distribution`, or what `draws` says, times `scale`.

        Raises
        ------
        ValueError
            If there is one of another shape.
        """
        if name not in self.drawn:
            draw = self.distribution or self.draws(name, shape)
            values = self.scale * draw(generator(self.seed, name, *key), shape)
            self.drawn[name] = np.asarray(values, np.float32)
        if self.drawn[name].shape != shape:
            raise ValueError(
                f"{self!r}: expected the matrix of {name} of shape {shape}, got"
                f" {self.drawn[name].shape}; use one router per network"
            )
        return self.drawn[name]

    def draws(self, name: str, shape: Shape) -> Initializer:
        """Return the distribution of a layer's matrix if the rule was given none.

        By default what drew the layer's W, for a matrix of its shape: the layer's ``init``. It is
        He's where there is none, or one that draws no random numbers.
        """
        node = None if self._graph is None else self._graph.nodes.get(name)
        init: Any = None if node is None else getattr(node.layer, "init", None)
        if node is None or not callable(init) or isinstance(init, Constant):
            return He()
        W = node.layer.params.get("W")
        return He() if W is None or W.shape != shape else init

    @property
    def is_random(self) -> bool:
        """Whether the signals depend on random matrices (they do)."""
        return True

    def redrawn(self, seed: int) -> Self:
        """Return a twin with another seed and no matrices yet, not even those that were given."""
        twin = super().redrawn(seed)
        twin.seed, twin.drawn = int(seed), {}
        return twin


def given(router: RandomRouter, usual: float = 1.0) -> str:
    """Return the arguments in a random rule's repr, besides the seed: all but defaults."""
    distribution, scale = router.distribution, router.scale
    text = "" if distribution is None else f", distribution={distribution!r}"
    return text + ("" if scale == usual else f", scale={scale:g}")


def generator(seed: int, name: str, *key: int) -> np.random.Generator:
    """Return the generator of one layer's matrix, which does not depend on the other layers."""
    spawn_key = (DOMAIN, crc32(name.encode()), *key)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=spawn_key))


def check_seed(owner: str, seed: int) -> int:
    """Return a router's seed, an integer of at least 0."""
    return integer(owner, "seed", seed, 0)
