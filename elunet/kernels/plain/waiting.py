"""Waiting for another thread. Compiled twins: `elunet.kernels.waiting`.

A thread that waits in Python keeps the others from running, so it lets them run in between.
"""

from __future__ import annotations

import time

from elunet._types import Array


def say_and_wait(mine: Array, value: int, theirs: Array, seen: int, looks: int, more: int) -> None:
    """Write ``mine[0] = value``, then return when ``theirs[0]`` is no longer `seen`."""
    mine[0] = value
    looked = 0
    while looked < looks and theirs[0] == seen:
        looked += 1
        time.sleep(0)


def wait_for_all(given: Array, done: Array) -> None:
    """Return when no ``done[k, 0]`` is below ``given[k, 0]``; what interrupts it is raised then."""
    interrupt: BaseException | None = None
    while (done[:, 0] < given[:, 0]).any():
        try:
            time.sleep(0)
        except BaseException as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
