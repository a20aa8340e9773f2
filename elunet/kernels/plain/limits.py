"""BLAS on one thread while somebody here computes. Compiled twins: `elunet.kernels.limits`.

Here Python may give way to another thread or a signal's handler, though only where it calls
something. So what counts is asked first, and then noted in one go, without a call. What the
compiled kernels exclude and these do not: an error from a signal's handler that comes in here, or
two threads that begin and end at once, may leave BLAS at one thread.
"""

from __future__ import annotations

from ctypes import CFUNCTYPE, c_int

from elunet._types import Array

_ask, _tell = CFUNCTYPE(c_int), CFUNCTYPE(None, c_int)


def hold(mine: Array, users: Array, functions: Array, before: Array) -> None:
    """Set BLAS to one thread, and note that one thread more wants it so, unless it did already."""
    if mine[0] == 0:
        found = [_ask(get)() for get, _ in functions.tolist()]
        if users[0] == 0:
            before[: len(found)] = found
        users[0] += 1
        mine[0] = 1
        for _, put in functions.tolist():
            _tell(put)(1)


def let_go(mine: Array, users: Array, functions: Array, before: Array) -> None:
    """Note that this thread no longer wants it so, if it did; the last one restores BLAS."""
    if mine[0] == 1:
        mine[0] = 0
        users[0] -= 1
        if users[0] == 0:
            for (_, put), threads in zip(functions.tolist(), before.tolist(), strict=False):
                _tell(put)(threads)
