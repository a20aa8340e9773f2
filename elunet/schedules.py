"""Schedules: a value, usually a learning rate, as a function of time.

A schedule is called with a time t and returns a float. It has no state, so a resumed run cannot
lose its place. Its ``per`` tells the caller whether t counts optimizer steps or epochs. After a
schedule's end the last value stays.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

from elunet._checks import choice, number

__all__ = [
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Cyclic",
    "Exponential",
    "InverseTime",
    "OneCycle",
    "PiecewiseConstant",
    "Polynomial",
    "Schedule",
    "WarmUp",
]


@dataclass(frozen=True)
class Schedule(ABC):
    """Base class of all schedules; a custom schedule overrides `value_at`.

    Parameters
    ----------
    per : {"step", "epoch"}
        What the time counts: an optimizer's ``steps`` or its ``epoch``, both from 0.

    Examples
    --------
    >>> class Halving(Schedule):
    ...     # 1, 1/2, 1/4 and so on
    ...     def value_at(self, t):
    ...         return 0.5**t
    >>> Halving(per="epoch")(3)
    0.125
    """

    _: KW_ONLY
    per: str = "step"

    def __post_init__(self) -> None:
        self._choice("per", ("step", "epoch"))

    def __call__(self, t: float) -> float:
        """Return the value at time ``t``, a number of at least 0 (else ValueError)."""
        return float(self.value_at(number(type(self).__name__, self.per, t, "[0, inf)")))

    @abstractmethod
    def value_at(self, t: float) -> float:
        """Return the value at a time that has been checked."""

    def _number(self, name: str, interval: str = "(-inf, inf)") -> None:
        number(type(self).__name__, name, getattr(self, name), interval)

    def _choice(self, name: str, options: tuple[str, ...]) -> None:
        choice(type(self).__name__, name, getattr(self, name), options)


@dataclass(frozen=True)
class Constant(Schedule):
    """The same value at all times.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> Constant(0.1)(1000)
    0.1
    """

    value: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("value")

    def value_at(self, t: float) -> float:
        """Return ``value``."""
        return self.value


@dataclass(frozen=True)
class PiecewiseConstant(Schedule):
    """A constant value between given times.

    Parameters
    ----------
    values : dict of {time: value}
        Each value holds from its time (included) to the next time (excluded). One must start
        at 0.

    Examples
    --------
    The ELU paper's learning rate, in steps:

    >>> lr = PiecewiseConstant({0: 0.01, 35_000: 0.005, 85_000: 0.0005, 135_000: 0.00005})
    >>> lr(34_999), lr(35_000)
    (0.01, 0.005)
    """

    # A dict has no hash; equality still compares it.
    values: Mapping[float, float] = field(hash=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.values, Mapping) or 0 not in self.values:
            raise ValueError(
                f"PiecewiseConstant: expected values as {{time: value}} with a value "
                f"from time 0 on, got {self.values!r}"
            )
        for time, value in self.values.items():
            number("PiecewiseConstant", "times", time, "[0, inf)")
            number("PiecewiseConstant", f"values[{time}]", value)
        # A sorted copy: the caller's dict may change later, a schedule may not.
        object.__setattr__(self, "values", dict(sorted(self.values.items())))

    def value_at(self, t: float) -> float:
        """Return the value of the last time that is not after t."""
        return list(self.values.values())[bisect_right(list(self.values), t) - 1]


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to a peak and down again, once, with large rates in the middle of a short run.

    From ``start_factor * peak`` at 0 up to ``peak`` at ``warmup * total``, and down to
    ``final_factor * peak`` at ``total``.

    Parameters
    ----------
    peak : float
        The largest value.
    total : float
        Length of the run, in steps or epochs. The value at ``total`` and later is the final one.
    warmup : float
        Part of ``total`` spent on the way up, in [0, 1).
    start_factor, final_factor : float
        Start and end as parts of the peak, in [0, 1].
    anneal : {"linear", "cosine"}
        Straight lines up and down, or half waves of a cosine.

    References
    ----------
    Smith, Topin, *Super-Convergence*, 2018, arXiv:1708.07120; Smith, *A Disciplined Approach to
    Neural Network Hyper-Parameters*, 2018, arXiv:1803.09820.

    Examples
    --------
    >>> lr = OneCycle(1.0, total=1000, warmup=0.2, start_factor=0.1, final_factor=0)
    >>> lr(0), lr(200), lr(600), lr(1000)
    (0.1, 1.0, 0.5, 0.0)

    The momentum goes the other way, as in the second paper:

    >>> momentum = lr.momentum(high=0.95, low=0.85)
    >>> momentum(0), momentum(200), momentum(1000)
    (0.95, 0.85, 0.95)
    >>> import elunet as eln
    >>> optimizer = eln.optim.SGD(lr, momentum)
    """

    peak: float
    total: float
    warmup: float = 0.12
    start_factor: float = 0.1
    final_factor: float = 0.001
    anneal: str = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("peak")
        self._number("total", "(0, inf)")
        self._number("warmup", "[0, 1)")
        self._number("start_factor", "[0, 1]")
        self._number("final_factor", "[0, 1]")
        self._choice("anneal", ("linear", "cosine"))

    def value_at(self, t: float) -> float:
        """Return the value on the way up or down."""
        return self.peak * self._cycle(t, self.start_factor, 1.0, self.final_factor)

    def momentum(self, high: float = 0.95, low: float = 0.85) -> Schedule:
        """Return a schedule from ``high`` down to ``low`` while this one rises, and back up.

        It is for an optimizer's momentum (Adam's beta1): where steps are large, the past counts
        less.
        """
        return _Opposite(self, high, low, per=self.per)

    def _cycle(self, t: float, start: float, middle: float, end: float) -> float:
        top = self.warmup * self.total
        if t < top:
            return self._between(start, middle, t / top)
        return self._between(middle, end, min((t - top) / (self.total - top), 1.0))

    def _between(self, start: float, end: float, part: float) -> float:
        if self.anneal == "cosine":
            part = _half_wave(part)
        return (1.0 - part) * start + part * end


@dataclass(frozen=True)
class _Opposite(Schedule):
    """What `OneCycle.momentum` returns."""

    cycle: OneCycle
    high: float
    low: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("high")
        self._number("low")

    def value_at(self, t: float) -> float:
        return self.cycle._cycle(t, self.high, self.low, self.high)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine wave from ``value`` down to ``final``, after a linear warm-up.

    With w = ``warmup * total``: ``value * (t + 1) / (w + 1)`` for t < w, so that the first step
    already counts, then ``final + (value - final) * (1 + cos(pi * (t - w) / (total - w))) / 2``.

    Parameters
    ----------
    value : float
        The largest value.
    total : float
        Length of the run, in steps or epochs. The value at ``total`` and later is ``final``.
    warmup : float
        Part of ``total`` spent on the way up, in [0, 1).
    final : float

    References
    ----------
    Loshchilov, Hutter, *SGDR*, 2017, arXiv:1608.03983 (without restarts); warm-up: Goyal et al.,
    2017, arXiv:1706.02677.

    Examples
    --------
    >>> lr = Cosine(0.1, total=200)
    >>> lr(0), round(lr(100), 6), lr(200)
    (0.1, 0.05, 0.0)
    """

    value: float
    total: float
    warmup: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("value")
        self._number("total", "(0, inf)")
        self._number("warmup", "[0, 1)")
        self._number("final")

    def value_at(self, t: float) -> float:
        """Return the value of the warm-up or the wave."""
        w = self.warmup * self.total
        if t < w:
            return self.value * (t + 1.0) / (w + 1.0)
        part = _half_wave(min((t - w) / (self.total - w), 1.0))
        return (1.0 - part) * self.value + part * self.final


@dataclass(frozen=True)
class InverseTime(Schedule):
    """``value / (1 + decay * t)``.

    Parameters
    ----------
    value : float
        At time 0.
    decay : float
        At least 0; after ``1 / decay`` half of the value is left.

    Examples
    --------
    >>> rate = InverseTime(1.0, decay=5.0, per="epoch")
    >>> rate(0), rate(1)
    (1.0, 0.16666666666666666)
    """

    value: float
    decay: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("value")
        self._number("decay", "[0, inf)")

    def value_at(self, t: float) -> float:
        """Return ``value / (1 + decay * t)``."""
        return self.value / (1.0 + self.decay * t)


@dataclass(frozen=True)
class Exponential(Schedule):
    """``value * rate^t``.

    Parameters
    ----------
    value : float
        At time 0.
    rate : float
        What each step or epoch multiplies with, above 0.

    Examples
    --------
    >>> lr = Exponential(0.1, rate=0.5, per="epoch")
    >>> lr(0), lr(1), lr(2)
    (0.1, 0.05, 0.025)
    """

    value: float
    rate: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("value")
        self._number("rate", "(0, inf)")

    def value_at(self, t: float) -> float:
        """Return ``value * rate^t``."""
        try:
            return self.value * math.pow(self.rate, t)
        except OverflowError:
            return math.copysign(math.inf, self.value)


@dataclass(frozen=True)
class Polynomial(Schedule):
    """``final + (value - final) * (1 - t / total)^power``; a straight line by default.

    Parameters
    ----------
    value : float
        At time 0.
    total : float
        Length of the run, in steps or epochs. The value at ``total`` and later is ``final``.
    power : float
        Above 0.
    final : float

    Examples
    --------
    >>> lr = Polynomial(0.1, total=100, power=2)
    >>> lr(0), lr(50), lr(100)
    (0.1, 0.025, 0.0)
    """

    value: float
    total: float
    power: float = 1.0
    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("value")
        self._number("total", "(0, inf)")
        self._number("power", "(0, inf)")
        self._number("final")

    def value_at(self, t: float) -> float:
        """Return the value on the way from ``value`` to ``final``."""
        left = math.pow(1.0 - min(t / self.total, 1.0), self.power)
        return left * self.value + (1.0 - left) * self.final


@dataclass(frozen=True)
class Cyclic(Schedule):
    """Up and down between two values along straight lines, again and again.

    Parameters
    ----------
    low, high : float
        The values at the ends and in the middle of the first cycle.
    up : float
        Steps or epochs from low to high, above 0.
    down : float, optional
        From high to low; as many as up by default.
    decay : float
        What the height of each cycle above ``low`` is multiplied with after it, in (0, 1]: 1 for
        triangles of one height ("triangular"), 0.5 for "triangular2".

    References
    ----------
    Smith, *Cyclical Learning Rates for Training Neural Networks*, 2017, arXiv:1506.01186.

    Examples
    --------
    >>> lr = Cyclic(0.0, 1.0, up=4, decay=0.5)
    >>> [lr(t) for t in (0, 2, 4, 6, 8, 12)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]
    """

    low: float
    high: float
    up: float
    down: float | None = None
    decay: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("low")
        self._number("high")
        self._number("up", "(0, inf)")
        if self.down is not None:
            self._number("down", "(0, inf)")
        self._number("decay", "(0, 1]")

    def value_at(self, t: float) -> float:
        """Return the value on the way up or down."""
        down = self.up if self.down is None else self.down
        cycles, place = divmod(t, self.up + down)
        part = place / self.up if place < self.up else 1.0 - (place - self.up) / down
        part *= math.pow(self.decay, cycles)
        return (1.0 - part) * self.low + part * self.high


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Half cosine waves from ``value`` down to ``final``, each as long as the last times a factor.

    Parameters
    ----------
    value : float
        At the start of each wave.
    period : float
        Length of the first wave, in steps or epochs, above 0.
    factor : float
        At least 1.
    final : float

    References
    ----------
    Loshchilov, Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, 2017,
    arXiv:1608.03983.

    Examples
    --------
    >>> lr = CosineRestarts(1.0, period=10, factor=2)
    >>> [round(lr(t), 3) for t in (0, 5, 10, 20, 30)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """

    value: float
    period: float
    factor: float = 1.0
    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("value")
        self._number("period", "(0, inf)")
        self._number("factor", "[1, inf)")
        self._number("final")

    def value_at(self, t: float) -> float:
        """Return the value in the wave that t is in."""
        start, length = 0.0, float(self.period)
        if self.factor == 1:
            start = t - t % length
        while t >= start + length and length < math.inf:
            start, length = start + length, length * self.factor
        part = _half_wave((t - start) / length)
        return (1.0 - part) * self.value + part * self.final


@dataclass(frozen=True)
class WarmUp(Schedule):
    """Another schedule, multiplied by a factor that rises to 1 along a straight line.

    Parameters
    ----------
    schedule : Schedule
        What is warmed up; its ``per`` counts.
    length : float
        Steps or epochs until the factor is 1, above 0.
    start : float, optional
        The factor at 0, in [0, 1], of ``start + (1 - start) * t / length``. By default the factor
        is ``(t + 1) / (length + 1)``, so that the first step counts already.
    shifted : bool
        Whether the schedule's own time begins after the warm-up instead of with it. Its first value
        is then what the factor is applied to.

    References
    ----------
    Goyal et al., *Accurate, Large Minibatch SGD*, 2017, arXiv:1706.02677.

    Examples
    --------
    >>> lr = WarmUp(Exponential(1.0, rate=0.5), length=4, start=0.0, shifted=True)
    >>> [lr(t) for t in (0, 2, 4, 5)]
    [0.0, 0.5, 1.0, 0.5]
    """

    schedule: Schedule
    length: float
    start: float | None = None
    shifted: bool = False
    _: KW_ONLY
    per: str = field(default="step", init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.schedule, Schedule):
            raise TypeError(f"WarmUp: expected schedule as a Schedule, got {self.schedule!r}")
        object.__setattr__(self, "per", self.schedule.per)
        super().__post_init__()
        self._number("length", "(0, inf)")
        if self.start is not None:
            self._number("start", "[0, 1]")

    def value_at(self, t: float) -> float:
        """Return the schedule's value, times the factor."""
        value = self.schedule.value_at(max(t - self.length, 0.0) if self.shifted else t)
        if t >= self.length:
            return value
        if self.start is None:
            return value * (t + 1.0) / (self.length + 1.0)
        return value * (self.start + (1.0 - self.start) * t / self.length)


def _half_wave(part: float) -> float:
    """Return 0 to 1 along half a cosine wave as ``part`` goes from 0 to 1."""
    return (1.0 - math.cos(math.pi * part)) / 2.0
