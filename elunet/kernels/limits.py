"""BLAS on one thread while somebody here computes: two counters, and BLAS's own two functions.

These kernels keep the interpreter lock, so a call of one is one step: no other thread is in here
meanwhile, no signal's handler runs halfway, and no fork sees half of it.
"""

from __future__ import annotations

import ctypes
from typing import Any

from elunet._types import Array
from elunet.kernels._jit import locked_jit


def ask(function: Any) -> int:
    """Return what the C function ``int f(void)`` at this address returns.

    So it runs when the JIT is off, as `tell`; compiled code takes those of
    `elunet.kernels._intrinsics`.
    """
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(int(function))())


def tell(function: Any, number: Any) -> None:
    """Call the C function ``void f(int)`` at this address."""
    ctypes.CFUNCTYPE(None, ctypes.c_int)(int(function))(int(number))


@locked_jit
def hold(mine: Array, users: Array, functions: Array, before: Array) -> None:
    """Set BLAS to one thread, and note that one thread more wants it so, unless it did already.

    Parameters
    ----------
    mine : int64 array of shape (1,)
        Whether this thread wants it so.
    users : int64 array of shape (1,)
        How many do.
    functions : int64 array of shape (L, 2)
        Addresses of each library's functions that return and set its number of threads.
    before : int64 array of shape (L,)
        Where the numbers are noted that have to be set again by the last one.
    """
    if mine[0] == 0:
        if users[0] == 0:
            for k in range(len(functions)):
                before[k] = ask(functions[k, 0])
        users[0] += 1
        mine[0] = 1
        for k in range(len(functions)):
            tell(functions[k, 1], 1)


@locked_jit
def let_go(mine: Array, users: Array, functions: Array, before: Array) -> None:
    """Note that this thread no longer wants it so, if it did; the last one restores BLAS.

    Parameters
    ----------
    mine, users, functions, before
        As for `hold`.
    """
    if mine[0] == 1:
        mine[0] = 0
        users[0] -= 1
        if users[0] == 0:
            for k in range(len(functions)):
                tell(functions[k, 1], before[k])
