"""What is known about a wrong gradient, and whether a formula fits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from elunet._types import Array

CLOSE = 1e-4
"""How well single-precision numbers agree, relative to the largest."""
FITS = 1e-6
"""How well a formula must fit, relative to the largest gradient, where rounding allows it."""
TOO_NOISY = 1e-2
"""If differences are less exact than this, no cause is named."""


@dataclass(frozen=True)
class Factor:
    """A number that means something here, and what to say if the gradient is off by it."""

    number: float
    many: str
    """If analytic = number x numeric."""
    few: str
    """If analytic = numeric / number."""


def batch_factor(count: int) -> Factor:
    """Return what a factor of the batch size would mean."""
    return Factor(
        count,
        f"multiplied by the batch size {count}",
        f"averaged over the batch of {count} instead of summed (the mean over the batch is in dy, "
        "it comes from the loss)",
    )


@dataclass(frozen=True)
class Jacobian:
    """Rows of the derivative of the output by the value.

    Attributes
    ----------
    chosen : array of int, shape (K,)
        Which of the evidence's indices have a row.
    rows : array, shape (K,) + y's shape
        ``rows[i, ...]`` is the derivative of y by the entry ``indices[chosen[i]]``.
    """

    chosen: Array
    rows: Array


@dataclass(frozen=True)
class Other:
    """Another gradient of the same check."""

    symbol: str
    analytic: Array
    numeric: Callable[[Array], Array]
    """Compute the numeric gradient at flat indices."""


@dataclass(frozen=True)
class Evidence:
    """What is known about a wrong gradient; `wrong` and `numeric` go with the flat `indices`.

    Everything after `is_input` may be left out: fewer causes are found then.
    """

    symbol: str
    value: Array
    analytic: Array
    """The gradient as it was computed, all of it, in value's shape."""
    indices: Array
    numeric: Array
    wrong: Array
    factors: Sequence[Factor] = ()
    is_input: bool = True
    array: str = ""
    """The gradient's own name, "dW"."""
    dy: Array | None = None
    """The gradient at the output."""
    dy_name: str = "dy"
    y: Array | None = None
    """The output."""
    inputs: Mapping[str, Array] = field(default_factory=dict)
    """All inputs and parameters by symbol, value itself too."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Numbers that the code knows by name: reg, a learning rate."""
    others: Mapping[str, Other] = field(default_factory=dict)
    """The other gradients of the check by name."""
    differentiate: Callable[[], Jacobian | None] | None = None
    """Return rows of the Jacobian at checked entries, None if that is too much work."""
    again: Callable[[Array, Array], Array | None] | None = None
    """``again(v, dy)``: the numeric gradient at another value, at `indices`, None if impossible."""
    close: float = FITS
    """How well a formula has to fit: rounding, relative to the largest gradient."""

    @cached_property
    def a(self) -> Array:
        """The analytic gradient at `indices`."""
        return np.asarray(self.analytic.reshape(-1)[self.indices])

    @cached_property
    def places(self) -> tuple[Array, ...]:
        """The index of each checked entry along each axis."""
        return tuple(np.unravel_index(self.indices, self.value.shape))

    @cached_property
    def jacobian(self) -> Jacobian | None:
        """Rows of the Jacobian, computed once."""
        return None if self.differentiate is None else self.differentiate()

    @property
    def is_whole(self) -> bool:
        """Whether every entry was compared."""
        return self.indices.size == self.value.size

    def pick(self, array: Array) -> Array:
        """Return the checked entries of an array that broadcasts to value's shape."""
        return np.asarray(np.broadcast_to(array, self.value.shape).reshape(-1)[self.indices])

    def same(self, one: Array, other: Array) -> bool:
        """Whether two arrays agree up to the rounding of differences."""
        scale = max(float(np.max(np.abs(one), initial=0)), float(np.max(np.abs(other), initial=0)))
        gap = np.abs(one - other)
        return bool(np.all(np.isfinite(gap)) and np.max(gap, initial=0) <= self.close * scale)

    def is_analytic(self, candidate: Array, chosen: Array | None = None) -> bool:
        """Whether a formula gives the analytic gradient, and something else than the numeric."""
        at = slice(None) if chosen is None else chosen
        return self.same(candidate, self.a[at]) and not self.same(candidate, self.numeric[at])

    def is_right(self, candidate: Array) -> bool:
        """Whether a formula, of value's shape, gives the numeric gradient."""
        return self.same(self.pick(candidate), self.numeric)


@dataclass(frozen=True)
class Misshapen:
    """A gradient that has not its value's shape."""

    array: str
    symbol: str
    shape: tuple[int, ...]
    analytic: Array
    dy: Array
    dy_name: str
    numeric: Callable[[Array], Array]
    """Compute the numeric gradient at flat indices."""
    inputs: Mapping[str, Array]
    others: Mapping[str, Other]
    close: float = FITS
