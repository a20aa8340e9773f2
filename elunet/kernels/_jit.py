"""The decorators of kernels: compiled at first use, kept on disk where that is possible.

Kernels run without the interpreter lock (`nogil`), on one thread each: `elunet.engine.threads`
gives each thread its share. Of the fast floating-point rules they use only contraction (a*b + c in
one rounding), which leaves NaN, infinity and the order of sums as they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}


class _Warned:
    yet = False


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
    try:
        return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError as error:  # numba finds no folder that it may write to
        if not _Warned.yet:
            _Warned.yet = True
            warnings.warn(
                f"elunet: compiled kernels cannot be kept between runs ({error}); each run compiles"
                " them anew. Set NUMBA_CACHE_DIR to a folder of your own that can be written.",
                RuntimeWarning,
                stacklevel=3,
            )
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
