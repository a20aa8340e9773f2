"""Central differences, and the comparison that all checks share.

The numeric gradient of an entry v is <dy, y(v + h) - y(v - h)> / 2h. The outputs are subtracted
before they are summed, so that outputs which do not depend on v cancel exactly. Of large arrays
only a sample of entries is compared. One random direction u through the whole array (<dy, J u>
against <gradient, u>) covers the rest; if it disagrees, bisection finds the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from elunet._checks import integer, number
from elunet._types import Array
from elunet.testing._diagnose import Evidence, Factor, explain
from elunet.testing._report import GradientCheckError, Row

MACHINE = float(np.finfo(np.float64).eps)
POSITIVE = "(0, inf)"


def numeric_gradient(
    f: Callable[[Array], Any], x: npt.ArrayLike, eps: float = 1e-6
) -> npt.NDArray[np.float64]:
    """Gradient of a scalar function of an array by central differences.

    ``g[i] = (f(x + eps e_i) - f(x - eps e_i)) / (2 eps)``, in float64; about 1e-9 from the truth
    where f is smooth and of order 1.

    Parameters
    ----------
    f : callable
        ``f(x) -> number``.
    x : array_like
        Any shape. A writable float64 array is changed in place, one entry at a time, and restored,
        also if f raises; so f may read x itself (a layer's own weight, say) instead of its
        argument. Anything else is copied to float64 and stays unchanged.
    eps : float
        Half the distance between the two points.

    Returns
    -------
    ndarray of float64, shape of x

    Raises
    ------
    ValueError
        If eps is not positive or f's value is not one number.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.testing import numeric_gradient
    >>> x = np.array([1.0, -2.0])
    >>> numeric_gradient(lambda x: np.sum(x**2), x).round(6)
    array([ 2., -4.])
    """
    number("numeric_gradient", "eps", eps, POSITIVE)
    work = np.asarray(x)
    if work.dtype != np.float64 or not work.flags.writeable:
        work = real(x, "numeric_gradient: x")
    gradient = np.empty(work.shape)
    for index in np.ndindex(work.shape):
        old = float(work[index])
        high, low = old + eps, old - eps
        try:
            work[index] = high
            above = _number(f(work))
            work[index] = low
            below = _number(f(work))
        finally:
            work[index] = old
        gradient[index] = (above - below) / (high - low)
    return gradient


def _number(value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1:
        raise ValueError(
            f"numeric_gradient: expected f to return one number, got shape {array.shape}"
        )
    return float(array.reshape(()))


def real(x: npt.ArrayLike, what: str) -> npt.NDArray[np.float64]:
    """Copy x to a C-contiguous float64 array.

    Raises
    ------
    TypeError
        If x does not hold real numbers.
    ValueError
        If x is empty or holds NaN or infinity.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what}: expected an array of real numbers, got dtype {array.dtype}")
    if array.size == 0:
        raise ValueError(f"{what}: expected at least one entry, got shape {array.shape}")
    if not np.all(np.isfinite(array)):
        place = first_index(~np.isfinite(array))
        raise ValueError(f"{what}: expected finite numbers, got {array[place]} at {list(place)}")
    return np.array(array, dtype=np.float64, order="C")


def first_index(mask: Array) -> tuple[int, ...]:
    """Index of the first true entry."""
    return tuple(int(i) for i in np.argwhere(mask)[0])


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """Return a generator of the checker's own domain."""
    key = (int.from_bytes(b"chk"), *purpose)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def moved(value: Array, rng: np.random.Generator) -> Array:
    """Return another array nearby: with noise added, so that zeros and equal values move too.

    Positive arrays stay positive.
    """
    if value.size and np.all(value > 0):
        return np.asarray(value * np.exp(rng.uniform(-0.2, 0.2, value.shape)), value.dtype)
    scale = float(np.max(np.abs(value), initial=0.0)) or 1.0
    return np.asarray(value + 0.2 * scale * rng.uniform(-1, 1, value.shape), value.dtype)


def only_while(symbol: str, value: Array) -> str:
    """Say what is special about a value ("gamma is 1"), "" if nothing is."""
    flat = np.asarray(value).reshape(-1)
    if np.all(flat == flat[0]):
        if flat[0] in (0.0, 1.0, -1.0):
            return f"{symbol} is {flat[0]:g}"
        return f"all entries of {symbol} are equal" if flat.size > 1 else ""
    if np.all((flat == 0.0) | (flat == 1.0)):
        return f"{symbol} holds only 0 and 1"
    return ""


@dataclass(frozen=True)
class Settings:
    """How a check is done; see check_layer for the meaning."""

    eps: float = 1e-6
    rtol: float = 1e-5
    atol: float = 1e-7
    entries: int = 500
    skip_kinks: bool = False
    seed: int = 0

    def rng(self, *purpose: int) -> np.random.Generator:
        """Return a generator for one purpose, different from default_rng(seed).

        A dy that equals x, drawn from the same seed, would hide errors.
        """
        return stream(self.seed, *purpose)

    def validated(self, who: str) -> Settings:
        """Return self.

        Raises
        ------
        TypeError, ValueError
            If a setting is no number, or out of its range.
        """
        for name in ("eps", "rtol", "atol"):
            number(who, name, getattr(self, name), POSITIVE)
        integer(who, "entries", self.entries)
        return self


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
    advice: str = "move the inputs away from it, e.g. with elunet.testing.strategies.inputs"


class Probe:
    """Differences of <dy, y> around a target's value."""

    def __init__(self, target: Target, dy: Array, settings: Settings) -> None:
        self.target, self.dy, self.settings = target, dy, settings
        self.flat = target.value.reshape(-1)
        self.analytic = target.analytic.reshape(-1)
        self.middle = target.output(target.value)

    def sides(self, step: Array | tuple[int, float]) -> tuple[Array, Array, Array, Array]:
        """Return (v+, y+, v-, y-), v flat; step is an array or one entry's (index, step)."""
        points = []
        for sign in (1.0, -1.0):
            value = self.flat.copy()
            if isinstance(step, tuple):
                value[step[0]] += sign * step[1]
            else:
                value += sign * step
            points += [value, self.target.output(value.reshape(self.target.value.shape))]
        return points[0], points[1], points[2], points[3]

    def noise(self, above: Array, below: Array) -> float:
        """Estimate the rounding error of <dy, y+ - y->."""
        moved = np.where(above != below, self.dy * above, 0.0)
        return 8 * MACHINE * float(np.sqrt(np.sum(moved * moved)))

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
        scale = max(1.0, float(np.sqrt(np.mean(self.flat**2))))
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
            # Both one-sided values lie half a bend from the central one: inside it is no error.
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


def compare_gradient(owner: str, target: Target, dy: Array, settings: Settings) -> Row:
    """Compare a target's gradient with central differences of <dy, output>.

    Parameters
    ----------
    owner : str
        What is checked, for an error's message.
    target : Target
    dy : array
    settings : Settings

    Returns
    -------
    Row
        With the worst place and the likely cause if it is wrong.

    Raises
    ------
    GradientCheckError
        If the gradient has the wrong shape, is not finite, or (unless ``settings.skip_kinks``)
        cannot be compared because the value sits on a kink.
    """
    try:
        return _compared(target, dy, settings)
    except GradientCheckError as error:
        message = f"{owner}: {error}"
        raise GradientCheckError(message, error.array, error.index, error.cause) from None


def _compared(target: Target, dy: Array, settings: Settings) -> Row:
    _check_form(target)
    probe = Probe(target, dy, settings)
    size = probe.flat.size
    rng = settings.rng(1, size)
    # Each entry costs two forward passes: fewer entries if a pass is long.
    work = 20_000_000 // (size + dy.size)
    count = min(settings.entries, max(12, work))
    order = rng.permutation(size) if size > count else np.arange(size)
    found = {int(i): probe.judge(int(i)) for i in order[:count]}
    lost = False
    if size > count and not any(wrong for *_, wrong in found.values()):
        u = rng.standard_normal(size)
        if probe.direction_wrong(u):
            place = probe.locate(u)
            lost = place is None
            if place is not None:
                found[place] = probe.judge(place)
    if any(wrong for *_, wrong in found.values()):
        # More entries, so that a pattern shows.
        found |= {int(i): probe.judge(int(i)) for i in order[count : min(2000, max(60, work))]}
    wrong = {i for i, (*_, one) in found.items() if one}
    kinks = {i for i in wrong if probe.kink(i, found[i][1])}
    wrong -= kinks
    if kinks and not wrong and not settings.skip_kinks:
        raise _kink_error(probe, min(kinks), len(kinks))
    return _row(probe, found, wrong, kinks, lost)


def _check_form(target: Target) -> None:
    analytic, shape = target.analytic, target.value.shape
    if analytic.shape != shape:
        cause = ""
        if analytic.shape == shape[::-1]:
            cause = "transposed"
        elif analytic.size == target.value.size:
            cause = f"a missing reshape to {target.symbol}'s shape"
        raise GradientCheckError(
            f"{target.array} has shape {analytic.shape}, expected {shape} as {target.symbol}"
            + (f"\n  likely cause: {cause}" if cause else ""),
            target.array,
            cause=cause,
        )
    if not np.all(np.isfinite(analytic)):
        index = first_index(~np.isfinite(analytic))
        raise GradientCheckError(
            f"{target.array}{list(index)} is {analytic[index]}, expected a finite number "
            f"({target.symbol}{list(index)} is {target.value[index]:.8g})",
            target.array,
            index,
        )


def _kink_error(probe: Probe, i: int, count: int) -> GradientCheckError:
    target = probe.target
    index = tuple(map(int, np.unravel_index(i, target.value.shape)))
    step = probe.step(i, probe.settings.eps)
    _, above, _, below = probe.sides((i, step))
    left = float(np.sum(probe.dy * (probe.middle - below))) / step
    right = float(np.sum(probe.dy * (above - probe.middle))) / step
    others = f", and so do {count - 1} more" if count > 1 else ""
    cause = (
        f"{target.symbol}{list(index)} = {target.value[index]:.8g} sits on a kink or a tie, where "
        f"the function has no derivative (from the left {left:.8g}, from the right {right:.8g}, "
        f"analytic {probe.analytic[i]:.8g}){others}"
    )
    return GradientCheckError(
        f"{target.array} cannot be checked: {cause}; {target.advice}", target.array, index, cause
    )


def _row(
    probe: Probe,
    found: dict[int, tuple[float, float, bool]],
    wrong: set[int],
    kinks: set[int],
    lost: bool,
) -> Row:
    target, analytic = probe.target, probe.analytic
    kept = np.array(sorted(found.keys() - kinks), dtype=np.intp)
    numeric = np.array([found[int(i)][0] for i in kept])
    gap = np.abs(analytic[kept] - numeric)
    size = np.maximum(np.abs(analytic[kept]), np.abs(numeric))
    floor = max(1e-3 * float(size.max(initial=0.0)), 100 * probe.settings.atol)
    row = Row(
        target.array,
        float(gap.max(initial=0.0)),
        float((gap / np.maximum(size, floor)).max(initial=0.0)),
        len(kept),
        probe.flat.size,
        len(kinks),
    )
    if lost:
        return replace(
            row,
            wrong=1,
            cause="a random direction through the whole array disagrees although the entries "
            "compared one by one agree: raise entries=, or shrink the input",
        )
    if not wrong:
        return row
    marks = np.isin(kept, list(wrong))
    worst = int(np.argmax(np.where(marks, gap / np.maximum(size, floor), -1.0)))
    evidence = Evidence(
        target.symbol,
        np.atleast_1d(target.value),
        np.atleast_1d(target.analytic),
        kept,
        numeric,
        marks,
        target.factors,
        target.is_input,
    )
    return replace(
        row,
        wrong=len(wrong),
        index=tuple(map(int, np.unravel_index(kept[worst], target.value.shape))),
        analytic=float(analytic[kept[worst]]),
        numeric=float(numeric[worst]),
        cause=explain(evidence),
    )
