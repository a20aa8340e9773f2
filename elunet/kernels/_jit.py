"""The one decorator of all kernels: compiled at first use, kept on disk where that is possible.

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
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)  # type: ignore[no-any-return]
    except RuntimeError as error:  # numba finds no folder that it may write to
        if not _Warned.yet:
            _Warned.yet = True
            warnings.warn(
                f"elunet: compiled kernels cannot be kept between runs ({error}); each run compiles"
                " them anew. Set NUMBA_CACHE_DIR to a folder of your own that can be written.",
                RuntimeWarning,
                stacklevel=2,
            )
        return numba.njit(**_OPTIONS)(function)  # type: ignore[no-any-return]
