"""Differences of the output around one array's values.

The numeric gradient of an entry v is <dy, y(v + h) - y(v - h)> / 2h. The outputs are subtracted
before they are summed, so that outputs which do not depend on v cancel exactly. One random
direction u through the whole array (<dy, J u> against <gradient, u>) covers the entries that are
not compared one by one; if it disagrees, bisection finds the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from elunet._types import Array
from elunet.testing._compare.settings import Settings
from elunet.testing._diagnose import Factor
from elunet.testing._perturb.problem import ADVICE


@dataclass(frozen=True)
class Target:
    """One array whose gradient is compared, and the output as a function of it."""

    array: str
    """The gradient's name, "dx"."""
    symbol: str
    """The value's own name, "x"."""
    value: Array
    analytic: Array
    output: Callable[[Array], Array]
    """The layer's output with the value replaced; returns a new array."""
    factors: Sequence[Factor] = ()
    is_input: bool = True
    advice: str = ADVICE
    dy_name: str = "dy"
    """What the code calls the gradient at the output: "dy", "dout"."""
    inputs: Mapping[str, Array] = field(default_factory=dict)
    """Everything that goes into the output, by symbol, also what has no gradient (labels, a mask).
    `compare_gradients` adds the values of all its targets."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Numbers that the code knows by a name, such as reg: a cause may name them."""
    others: Sequence[Target] = ()
    """The other targets of the same check, for gradients that are swapped; `compare_gradients`
    fills it in."""


class Probe:
    """Differences of <dy, y> around a target's value."""

    def __init__(self, target: Target, dy: Array, settings: Settings) -> None:
        self.target, self.dy, self.settings = target, dy, settings
        self.flat = np.asarray(target.value, settings.dtype).reshape(-1)
        self.analytic = target.analytic.reshape(-1)
        self.middle = self.output(self.flat)

    def output(self, flat: Array) -> Array:
        """Return the output in float64, in which differences are taken whatever it is."""
        return np.asarray(self.target.output(flat.reshape(self.target.value.shape)), np.float64)

    def sides(self, step: Array | tuple[int, float]) -> tuple[Array, Array, Array, Array]:
        """Return (v+, y+, v-, y-), v flat; step is an array or one entry's (index, step)."""
        points = []
        for sign in (1.0, -1.0):
            value = self.flat.copy()
            if isinstance(step, tuple):
                value[step[0]] += sign * step[1]
            else:
                value += sign * step
            points += [value, self.output(value)]
        return points[0], points[1], points[2], points[3]

    def noise(self, above: Array, below: Array) -> float:
        """Estimate the rounding error of <dy, y+ - y->."""
        felt = np.where(above != below, self.dy * above, 0.0)
        return 8 * self.settings.machine * float(np.sqrt(np.sum(felt * felt)))

    def entry(self, i: int, eps: float) -> tuple[float, float]:
        """Return the numeric derivative by entry i, and the tolerance for comparing with it."""
        v_high, above, v_low, below = self.sides((i, self.step(i, eps)))
        h = float(v_high[i] - v_low[i])
        value = float(np.sum(self.dy * (above - below))) / h
        size = max(abs(value), abs(float(self.analytic[i])))
        s = self.settings
        return value, s.atol + s.rtol * size + self.noise(above, below) / h

    def step(self, i: int, eps: float) -> float:
        return eps * max(1.0, abs(float(self.flat[i])))

    def judge(self, i: int) -> tuple[float, float, bool]:
        """Return the numeric derivative by entry i, the tolerance, and whether it disagrees.

        A wrong gradient disagrees at eps, at 10 eps (less rounding) and at eps / 10 (a kink that
        is near but not here).
        """
        first, close = self.entry(i, self.settings.eps)
        value, tolerance = first, close
        for eps in (10 * self.settings.eps, self.settings.eps / 10):
            if abs(value - self.analytic[i]) <= tolerance:
                break
            value, tolerance = self.entry(i, eps)
        if abs(value - self.analytic[i]) <= tolerance:
            return value, tolerance, False
        return first, close, True

    def kink(self, i: int, tolerance: float) -> bool:
        """Whether the one-sided derivatives differ, for a smaller step too."""
        gaps = []
        for eps in (self.settings.eps, self.settings.eps / 10):
            step = self.step(i, eps)
            _, above, _, below = self.sides((i, step))
            gaps.append(abs(float(np.sum(self.dy * (above - 2 * self.middle + below)))) / step)
        return gaps[0] > 100 * tolerance and gaps[1] > 0.3 * gaps[0]

    def direction_wrong(self, u: Array) -> bool:
        """Whether <dy, J u> differs from <gradient, u>, and no kink is the reason."""
        s = self.settings
        u = u / np.sqrt(np.sum(u * u))
        typical = float(np.sqrt(np.mean(self.analytic[u != 0] ** 2)))
        scale = max(1.0, float(np.sqrt(np.mean(self.flat**2.0))))
        for eps in (s.eps, 10 * s.eps, s.eps / 10):
            step = eps * scale
            v_high, above, v_low, below = self.sides(step * u)
            numeric = float(np.sum(self.dy * (above - below))) / (2 * step)
            claimed = float(np.sum(self.analytic * (v_high - v_low))) / (2 * step)
            size = max(abs(numeric), abs(claimed), typical)
            tolerance = s.atol + s.rtol * size + self.noise(above, below) / (2 * step)
            if abs(numeric - claimed) <= tolerance:
                return False
            bend = float(np.sum(self.dy * (above - 2 * self.middle + below))) / step
            # Both one-sided values lie half a bend from the central one: inside it is not an error.
            if abs(numeric - claimed) <= 0.6 * abs(bend):
                return False
        return True

    def locate(self, u: Array) -> int | None:
        """Find the wrong entry by bisection; None if the error disappears on the way."""
        low, high = 0, self.flat.size
        while high - low > 1:
            middle = (low + high) // 2
            part = np.zeros_like(u)
            part[low:middle] = u[low:middle]
            if self.direction_wrong(part):
                high = middle
            else:
                low = middle
        return low if self.judge(low)[2] else None

    def search(self, rng: np.random.Generator) -> int | None:
        """Return an entry that is wrong and not on a kink, found along one random direction."""
        u = rng.standard_normal(self.flat.size)
        place = self.locate(u) if self.direction_wrong(u) else None
        if place is None or self.kink(place, self.entry(place, self.settings.eps)[1]):
            return None
        return place
