"""Initial weights: a callable ``init(rng, shape)`` that returns a new array.

A layer keeps the scale of its signals if the variance of its weights is one over the number of
summands. He, Glorot and LeCun differ in the summands that they count (forward, or forward and
backward), and in whether they compensate for the half that a ReLU cuts off.
The last axis of a weight is its outputs, the one before its inputs, and all others are a kernel's
window; that holds for Linear's (in, out) and Conv2D's (kh, kw, C_in, C_out).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from elunet._checks import choice, number
from elunet._types import Array, Shape

__all__ = [
    "Constant",
    "Glorot",
    "He",
    "Initializer",
    "LeCun",
    "Normal",
    "PyTorch",
    "TruncatedNormal",
    "Uniform",
    "fans",
]

Initializer = Callable[[np.random.Generator, Shape], Array]
"""A callable ``init(rng, shape)`` that returns a float64 array; the layer casts it.

If it has a method ``bias(rng, shape)``, that draws the bias, from the weight's shape; else it is 0.
"""


def fans(shape: Shape) -> tuple[int, int]:
    """Return ``(fan_in, fan_out)`` of a weight: the connections into, and out of, one unit.

    ``fan_in = prod(shape[:-1])`` and ``fan_out = prod(shape[:-2]) * shape[-1]``.

    Parameters
    ----------
    shape : tuple of int
        (in, out) of Linear or (kh, kw, C_in, C_out) of Conv2D.

    Raises
    ------
    ValueError
        If there are fewer than two axes: a bias has no fan.

    Examples
    --------
    >>> fans((5, 5, 3, 192))
    (75, 4800)
    """
    if len(shape) < 2:
        raise ValueError(f"fans: expected a weight's shape with two or more axes, got {shape}")
    return math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]


@dataclass(frozen=True)
class _Scaled(ABC):
    """Zero mean, and a variance that follows from the weight's fans."""

    distribution: str = "normal"

    def __post_init__(self) -> None:
        choice(type(self).__name__, "distribution", self.distribution, ("normal", "uniform"))

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Draw a float64 array of this shape."""
        std = math.sqrt(self.variance(*fans(shape)))
        if self.distribution == "normal":
            return rng.normal(0.0, std, shape)
        limit = math.sqrt(3.0) * std  # U(-a, a) has variance a^2 / 3
        return rng.uniform(-limit, limit, shape)

    @abstractmethod
    def variance(self, fan_in: int, fan_out: int) -> float:
        """Return the variance of one weight."""


@dataclass(frozen=True)
class He(_Scaled):
    """Variance 2 / fan_in: keeps the scale of activations under ReLU-like functions.

    The factor 2 compensates for the half of the inputs that a ReLU sets to zero. The ELU paper
    uses it as well.

    Parameters
    ----------
    distribution : {"normal", "uniform"}

    References
    ----------
    He, Zhang, Ren, Sun, *Delving Deep into Rectifiers*, 2015, arXiv:1502.01852.

    Examples
    --------
    >>> import numpy as np
    >>> W = He()(np.random.default_rng(0), (5, 5, 3, 64))
    >>> bool(abs(W.var() - 2 / 75) < 2e-3)
    True
    """

    def variance(self, fan_in: int, fan_out: int) -> float:
        """Return 2 / fan_in."""
        return 2.0 / fan_in


@dataclass(frozen=True)
class Glorot(_Scaled):
    """Variance 2 / (fan_in + fan_out): between keeping activations and keeping gradients.

    Also known as Xavier initialization; made for tanh.

    Parameters
    ----------
    distribution : {"uniform", "normal"}

    References
    ----------
    Glorot, Bengio, *Understanding the Difficulty of Training Deep Feedforward Neural Networks*,
    AISTATS 2010.

    Examples
    --------
    >>> import numpy as np
    >>> W = Glorot()(np.random.default_rng(0), (100, 50))
    >>> bool(abs(W).max() <= (6 / 150) ** 0.5)
    True
    """

    distribution: str = "uniform"

    def variance(self, fan_in: int, fan_out: int) -> float:
        """Return 2 / (fan_in + fan_out)."""
        return 2.0 / (fan_in + fan_out)


@dataclass(frozen=True)
class LeCun(_Scaled):
    """Variance 1 / fan_in: keeps the scale through a linear layer.

    The choice for self-normalizing networks (SELU).

    Parameters
    ----------
    distribution : {"normal", "uniform"}

    References
    ----------
    LeCun, Bottou, Orr, Müller, *Efficient BackProp*, 1998, 10.1007/3-540-49430-8_2;
    Klambauer, Unterthiner, Mayr, Hochreiter, *Self-Normalizing Neural Networks*, 2017,
    arXiv:1706.02515.

    Examples
    --------
    >>> LeCun().variance(fan_in=100, fan_out=10)
    0.01
    """

    def variance(self, fan_in: int, fan_out: int) -> float:
        """Return 1 / fan_in."""
        return 1.0 / fan_in


@dataclass(frozen=True)
class Normal:
    """N(mean, std^2), for any shape.

    Parameters
    ----------
    std : float
        Standard deviation, at least 0.
    mean : float

    Examples
    --------
    >>> import numpy as np
    >>> Normal(std=0.05)(np.random.default_rng(0), (2, 3)).shape
    (2, 3)
    """

    std: float
    mean: float = 0.0

    def __post_init__(self) -> None:
        number("Normal", "std", self.std, "[0, inf)")
        number("Normal", "mean", self.mean)

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Draw a float64 array of this shape."""
        return rng.normal(self.mean, self.std, shape)


@dataclass(frozen=True)
class TruncatedNormal:
    """N(mean, std^2) without what is further than some standard deviations from the mean.

    What lies outside is drawn again, so the standard deviation of what is left is smaller: 0.88 std
    for the default limit.

    Parameters
    ----------
    std : float
        Standard deviation before the cut, at least 0.
    mean : float
    limit : float
        In units of std, above 0.

    Examples
    --------
    >>> import numpy as np
    >>> W = TruncatedNormal(std=0.05)(np.random.default_rng(0), (100, 100))
    >>> bool(abs(W).max() <= 0.1)
    True
    """

    std: float
    mean: float = 0.0
    limit: float = 2.0

    def __post_init__(self) -> None:
        number("TruncatedNormal", "std", self.std, "[0, inf)")
        number("TruncatedNormal", "mean", self.mean)
        number("TruncatedNormal", "limit", self.limit, "[0.01, inf)")

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Draw a float64 array of this shape."""
        z = rng.standard_normal(shape)
        while (outside := np.abs(z) > self.limit).any():
            z[outside] = rng.standard_normal(int(outside.sum()))
        return np.asarray(self.mean + self.std * z)


@dataclass(frozen=True)
class PyTorch:
    """U(-a, a) with a = 1 / sqrt(fan_in), for weights and biases: the default of PyTorch's layers.

    Its variance is 1 / (3 fan_in), a sixth of `He`'s.

    Examples
    --------
    >>> import elunet as eln
    >>> layer = eln.layers.Linear(4, 3, init=PyTorch(), seed=0)
    >>> bool((abs(layer.params["b"]) <= 0.5).all() and layer.params["b"].any())
    True
    """

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Draw a float64 array of this shape."""
        limit = 1 / math.sqrt(fans(shape)[0])
        return rng.uniform(-limit, limit, shape)

    def bias(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Draw the bias (outputs,) of a weight of this shape."""
        limit = 1 / math.sqrt(fans(shape)[0])
        return rng.uniform(-limit, limit, shape[-1])


@dataclass(frozen=True)
class Uniform:
    """U(low, high), for any shape.

    Parameters
    ----------
    low, high : float
        The interval's ends, low < high.

    Examples
    --------
    >>> import numpy as np
    >>> W = Uniform(-0.1, 0.1)(np.random.default_rng(0), (2, 3))
    >>> bool((abs(W) <= 0.1).all())
    True
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        low = number("Uniform", "low", self.low)
        number("Uniform", "high", self.high, f"({low}, inf)")

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Draw a float64 array of this shape."""
        return rng.uniform(self.low, self.high, shape)


@dataclass(frozen=True)
class Constant:
    """The same value everywhere. Draws nothing from the generator.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> import elunet as eln
    >>> eln.layers.Linear(2, 3, init=eln.init.Constant(0.5)).params["W"]
    array([[0.5, 0.5, 0.5],
           [0.5, 0.5, 0.5]], dtype=float32)
    """

    value: float

    def __post_init__(self) -> None:
        number("Constant", "value", self.value)

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Return a float64 array of this shape."""
        return np.full(shape, float(self.value))
