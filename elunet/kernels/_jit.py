"""The decorators of kernels: compiled at first use, kept on disk where that is possible.

Kernels run without the interpreter lock (`nogil`), on one thread each: `elunet.engine.threads`
gives each thread its share. Of the fast floating-point rules they use only contraction (a*b + c in
one rounding), which leaves NaN, infinity and the order of sums as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

from elunet.kernels._cache import Cache, say_unkept

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}


def jit(function: Function) -> Function:
    """Compile a kernel at its first call with each combination of types."""
    return _compiled(function, _OPTIONS)


def exact_jit(function: Function) -> Function:
    """Compile a kernel as `jit` does, but without contraction: every operation is rounded.

    For sums of two products. In a*b + c*d either may be contracted, and the compiler has been seen
    to choose otherwise in the loop over many numbers at once than in the loop over the rest. Which
    loop takes a number can depend on where the arrays lie in memory; its last bit must not.
    """
    return _compiled(function, _OPTIONS | {"fastmath": False})


def locked_jit(function: Function) -> Function:
    """Compile a kernel as `jit` does, but for a moment in which no other thread may run Python."""
    return _compiled(function, _OPTIONS | {"nogil": False})


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    made = numba.njit(**options)(function)
    if hasattr(made, "_cache"):  # not so where the JIT is switched off
        try:
            made._cache = Cache(function)
        except RuntimeError as error:  # numba finds no folder that it may write to
            say_unkept(error)
    return made  # type: ignore[no-any-return]
