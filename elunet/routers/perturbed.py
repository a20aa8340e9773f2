"""What rules share that perturb a network and learn from how its loss changes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from elunet._checks import integer, number
from elunet._quiet import quiet
from elunet._types import Array, Shape
from elunet.layers.base import Layer
from elunet.network import Network
from elunet.routers.base import Path
from elunet.routers.beside import Beside, Silent
from elunet.routers.memory import count
from elunet.routers.random_router import check_seed, generator


class Perturbed(Silent):
    """A rule that draws directions again in each step.

    Parameters
    ----------
    seed : int
        Of the directions; at least 0.
    draws : int
        Of how many directions each step takes the mean; at least 1.

    Attributes
    ----------
    passes : int
        How many backward passes there were.
    """

    remembers = Silent.remembers | {"passes": count}

    def __init__(self, seed: int, draws: int) -> None:
        super().__init__()
        self.seed = check_seed(type(self).__name__, seed)
        self.draws = integer(type(self).__name__, "draws", draws)
        self.passes = 0

    def direction(self, name: str, shape: Shape, draw: int, dtype: Any) -> Array:
        """Return numbers of N(0, 1): the same for a seed, name, pass and draw."""
        rng = generator(self.seed, name, self.passes, draw)
        return rng.standard_normal(shape).astype(dtype, copy=False)

    @quiet
    def add(self, name: str, estimate: Array) -> None:
        """Add one draw's part to the estimate for a layer or a parameter."""
        self.signals[name] = self.signals.get(name, 0) + estimate / self.draws

    @quiet
    def learn(self, layer: Layer, dy: Array) -> None:
        """Take the estimates for the layer's parameters ("linear1.W"), or learn exactly from dy."""
        node = self.node_of(layer)
        if f"{node.home}.{next(iter(layer.params))}" not in self.signals:
            return super().learn(layer, dy)
        for key, value in layer.params.items():
            estimate = self.signals[f"{node.home}.{key}"]
            layer.store_gradient(key, estimate * (not node.shared), np.result_type(dy, value))
        return None

    def paths(self, net: Network) -> list[Path]:
        """Return one from the output straight to every other layer with parameters."""
        learning = [node.name for node in reversed(net.nodes) if node.layer.params]
        return [Path(net.outputs[0], name, "direct") for name in learning if name != net.outputs[0]]

    @property
    def is_random(self) -> bool:
        """Whether the signals depend on random numbers (they do)."""
        return True

    def redrawn(self, seed: int) -> Self:
        """Return a twin that draws different directions."""
        twin = super().redrawn(seed)
        twin.seed = int(seed)
        return twin


class Differences(Beside, Perturbed):
    """A rule that compares each example's loss in perturbed passes with that in the clean one.

    Parameters
    ----------
    sigma : float
        The standard deviation of what is added, above 0.
    seed, draws
        As in `Perturbed`.
    """

    def __init__(self, sigma: float, seed: int, draws: int) -> None:
        super().__init__(seed, draws)
        self.sigma = number(type(self).__name__, "sigma", sigma, "(0, inf)")

    def terms(self, y: Array, target: Array | None) -> tuple[Array, Array]:
        """Return each example's loss, (N,), and the gradient of their sum.

        Raises
        ------
        ValueError, TypeError
            If there is no target, or no `loss`, or it has no terms.
        """
        if target is None or self.loss is None:
            missing = "target" if target is None else "loss"
            raise ValueError(
                f"{self!r}: expected a {missing}, to compare losses, got None; the trainer"
                " passes it"
            )
        loss = copy.copy(self.loss)
        loss.reduction = "none"
        value, gradient = loss(y, target)
        if np.shape(value)[:1] != y.shape[:1]:
            raise TypeError(f"{self!r}: expected a loss with terms for each example, got {loss!r}")
        return np.reshape(value, (len(y), -1)).sum(axis=1), gradient

    @quiet
    def comparison(
        self, net: Network, dy: Array | tuple[Array, ...], target: Array | None
    ) -> Callable[[Array], Array]:
        """Return a function of a perturbed output: (its losses - the clean ones) / sigma, (N,).

        What an example's loss counts in the whole, 1/N in a mean, is read from its part of dy.
        """
        net.expect_one_output(repr(self))
        clean, gradient = self.terms(self._value(net.outputs[0]), target)
        unit, mine = (
            each.reshape(len(dy), -1).astype(float) for each in (gradient, np.asarray(dy))
        )
        squares = (unit**2).sum(axis=1)
        counts = (unit * mine).sum(axis=1) / np.where(squares > 0, squares, 1)
        return lambda y: counts * (self.terms(y, target)[0] - clean) / self.sigma

    def __repr__(self) -> str:
        draws = "" if self.draws == 1 else f", draws={self.draws}"
        return f"{type(self).__name__}(sigma={self.sigma:g}, seed={self.seed}{draws})"


def times(factors: Array, array: Array) -> Array:
    """Return each example's part of an array, times the example's factor."""
    return factors.reshape(-1, *(1,) * (array.ndim - 1)).astype(array.dtype) * array
