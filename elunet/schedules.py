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

__all__ = ["Constant", "Cosine", "InverseTime", "OneCycle", "PiecewiseConstant", "Schedule"]


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
        top = self.warmup * self.total
        if t < top:
            return self.peak * self._between(self.start_factor, 1.0, t / top)
        done = min((t - top) / (self.total - top), 1.0)
        return self.peak * self._between(1.0, self.final_factor, done)

    def _between(self, start: float, end: float, part: float) -> float:
        if self.anneal == "cosine":
            part = _half_wave(part)
        return (1.0 - part) * start + part * end


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


def _half_wave(part: float) -> float:
    """Return 0 to 1 along half a cosine wave as ``part`` goes from 0 to 1."""
    return (1.0 - math.cos(math.pi * part)) / 2.0
