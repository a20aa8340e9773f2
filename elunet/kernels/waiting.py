"""Waiting for another thread for a moment, without sleeping and without the interpreter lock.

To wake a sleeping thread takes the system some 20 microseconds, as long as a small layer. A thread
that looks at a number in memory, over and over, sees at once that another has written it.
"""

from __future__ import annotations

from typing import Any

from elunet._types import Array
from elunet.kernels._jit import jit


def load(counter: Any) -> Any:
    """Return ``counter[0]`` as it is in memory now.

    So it runs when the JIT is off, as `store`; compiled code takes those of
    `elunet.kernels._intrinsics`.
    """
    return counter[0]


def store(counter: Any, value: Any) -> None:
    """Write ``counter[0]``, after all that was written before."""
    counter[0] = value


@jit
def say_and_wait(mine: Array, value: int, theirs: Array, seen: int, looks: int, more: int) -> None:
    """Write ``mine[0] = value``, then return when ``theirs[0]`` is no longer `seen`.

    Parameters
    ----------
    mine, theirs : int64 arrays of shape (1,)
    value, seen : int
    looks : int
        How often to look at most; 3,000 looks take about a microsecond.
    more : int
        Looks to take after the change, so that the other thread can get on first.
    """
    store(mine, value)
    looked = 0
    while looked < looks and load(theirs) == seen:
        looked += 1
    if looked < looks:
        for _ in range(more):
            load(theirs)


@jit
def wait_for_all(given: Array, done: Array) -> None:
    """Return when no ``done[k, 0]`` is below ``given[k, 0]``; nothing can interrupt it.

    Parameters
    ----------
    given, done : int64 arrays of shape (K, ...)
    """
    for k in range(len(given)):
        mine, theirs = given[k], done[k]
        while load(theirs) < load(mine):
            pass
