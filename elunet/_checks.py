"""Argument checks, with the same form of message everywhere.

An error names the class or function, the argument, what was expected and what was given:
``SGD: expected momentum in [0, 1), got 1.5``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from numbers import Integral, Real

import numpy as np

from elunet._types import Array, Seed


def number(owner: str, name: str, value: object, interval: str = "(-inf, inf)") -> float:
    """Return ``value`` as a float if it is a real number inside ``interval``.

    Parameters
    ----------
    owner, name : str
        The class or function, and its argument, for the message.
    value : object
        What was given.
    interval : str
        In the usual notation, ``"[0, 1)"``. An open end at infinity, as in the default, allows
        only finite numbers. NaN is in no interval.

    Raises
    ------
    TypeError
        If ``value`` is not a real number (``True`` and arrays are not).
    ValueError
        If it is outside the interval.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{owner}: expected {name} to be a number in {interval}, got {value!r}")
    try:
        x = float(value)
    except OverflowError:  # an integer or a fraction beyond 1.8e308
        raise ValueError(
            f"{owner}: expected {name} in {interval} and within float64's range, got a number"
            " outside that range"
        ) from None
    low, high = (float(end) for end in interval[1:-1].split(","))
    inside_low = x >= low if interval[0] == "[" else x > low
    inside_high = x <= high if interval[-1] == "]" else x < high
    if not (inside_low and inside_high):
        raise ValueError(f"{owner}: expected {name} in {interval}, got {x!r}")
    return x


def integer(owner: str, name: str, value: object, least: int = 1) -> int:
    """Return ``value`` as an int if it is an integer of at least ``least``.

    Raises
    ------
    TypeError
        If ``value`` is not an integer (``True`` is not).
    ValueError
        If it is smaller.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{owner}: expected {name} as an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{owner}: expected {name} of at least {least}, got {value}")
    return int(value)


def integers(owner: str, name: str, values: object) -> tuple[int, ...]:
    """Return a sequence of integers of at least 1 as a tuple.

    Raises
    ------
    TypeError
        If it is not a sequence, or holds something else.
    ValueError
        If a number is smaller.
    """
    if not isinstance(values, Iterable) or isinstance(values, str):
        raise TypeError(f"{owner}: expected {name} as a sequence of integers, got {values!r}")
    return tuple(integer(owner, f"{name}[{i}]", value) for i, value in enumerate(values))


def pair(owner: str, name: str, value: object, least: int = 1) -> tuple[int, int]:
    """Return (height, width) from an integer for both, or a tuple of two.

    Raises
    ------
    TypeError, ValueError
        If ``value`` is neither, or one is smaller than ``least``.
    """
    both = value if isinstance(value, tuple) else (value, value)
    if len(both) != 2 or isinstance(value, str):
        raise ValueError(f"{owner}: expected {name} as an integer or two, got {value!r}")
    height, width = (integer(owner, name, side, least) for side in both)
    return height, width


def merged(both: tuple[int, int]) -> int | tuple[int, int]:
    """Return one integer where two are equal."""
    return both[0] if both[0] == both[1] else both


def count(owner: str, name: str, value: object) -> int:
    """Return ``value`` as an int if it is one that can have been counted: in [0, 2^53).

    Raises
    ------
    TypeError, ValueError
        If it is not.
    """
    counted = integer(owner, name, value, 0)
    if counted >= 1 << 53:
        raise ValueError(f"{owner}: expected {name} below 2^53, got {counted:#x}")
    return counted


def seed(owner: str, value: Seed) -> Seed:
    """Return ``value`` if it is a seed: an integer of at least 0, SeedSequence, Generator or None.

    Raises
    ------
    TypeError
        If ``value`` is something else.
    ValueError
        If it is negative.
    """
    if value is None or isinstance(value, np.random.SeedSequence | np.random.Generator):
        return value
    return integer(owner, "seed", value, 0)


def choice(owner: str, name: str, value: object, options: tuple[str, ...]) -> None:
    """Raise a ValueError unless ``value`` is one of ``options``."""
    if value not in options:
        raise ValueError(f"{owner}: expected {name} to be one of {options}, got {value!r}")


def is_masked(value: object) -> bool:
    """Return whether value is an array with a mask, which is of a module that NumPy loads late."""
    return "numpy.ma" in sys.modules and isinstance(value, np.ma.MaskedArray)


def plain(owner: str, name: str, value: object) -> Array:
    """Return value as an array.

    Raises
    ------
    TypeError
        If it is a masked array, whose mask would be lost.
    """
    if is_masked(value):
        raise TypeError(
            f"{owner}: expected {name} without a mask, which would be lost, got a masked array"
        )
    return np.asarray(value)
