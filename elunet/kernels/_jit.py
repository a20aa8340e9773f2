"""The decorators of kernels: they choose between the compiled kernel and its NumPy twin.

Compiled kernels run without the interpreter lock (`nogil`), on one thread each:
`elunet.engine.threads` gives each thread its share. Of the fast floating-point rules they use only
contraction (a*b + c in one rounding), which leaves NaN, infinity and the order of sums as they are.

Where numba is missing, or the environment says ``ELUNET_KERNELS=plain``, each kernel's name stands
for its twin in `elunet.kernels.plain`, which is written in NumPy.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from elunet._quiet import quiet

Function = TypeVar("Function", bound=Callable[..., Any])

VARIABLE = "ELUNET_KERNELS"
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}


def _choose(said: str, platform: str) -> Any:
    """Return numba, or the reason for going without it, as a text.

    Raises
    ------
    ValueError
        If the environment says something else than "plain" or "compiled".
    ImportError
        If it says "compiled" and there is no numba.
    """
    if said == "plain":
        return f"{VARIABLE}=plain"
    if said not in ("", "compiled"):
        raise ValueError(f"elunet: expected {VARIABLE} as plain or compiled, got {said!r}")
    try:
        return importlib.import_module("numba")
    except ImportError as error:  # it is not there, or refuses this Python or this NumPy
        if said:
            raise
        if platform != "emscripten":  # there nobody could do anything about it
            warnings.warn(
                f"elunet: numba cannot be imported ({error}), so kernels run in NumPy: a"
                " perceptron trains 1.3 times slower, convolutional networks 3 to 7 times"
                f" ({VARIABLE}=plain gives the same without this warning)",
                RuntimeWarning,
                stacklevel=2,
            )
        return str(error)


_numba = _choose(os.environ.get(VARIABLE, ""), sys.platform)
PLAIN: bool = isinstance(_numba, str)
"""Whether the plain twins are in use."""
COMPILED: bool = not PLAIN and not _numba.config.DISABLE_JIT
"""Whether kernels are compiled; if neither, they are numba's source run by Python."""

compiler_lock: Any = None
"""The lock that numba holds while it compiles; None without numba."""
if not PLAIN:
    compiler_lock = importlib.import_module("numba.core.compiler_lock").global_compiler_lock


def in_use() -> str:
    """Return which kernels are in use, and why, as a text."""
    if PLAIN:
        return f"plain, in NumPy ({_numba})"
    return f"compiled by numba {version()}" if COMPILED else "plain Python (NUMBA_DISABLE_JIT)"


def version() -> str:
    """Return numba's version, "none" if it is not in use."""
    return "none" if PLAIN else str(_numba.__version__)


def jit(function: Function) -> Function:
    """Compile a kernel at its first call with each combination of types, or return its twin."""
    return _kernel(function, _OPTIONS)


def exact_jit(function: Function) -> Function:
    """Do as `jit` does, but compile without contraction: every operation is rounded.

    For sums of two products. In a*b + c*d either may be contracted, and the compiler has been seen
    to choose otherwise in the loop over many numbers at once than in the loop over the rest. Which
    loop takes a number can depend on where the arrays lie in memory; its last bit must not.
    """
    return _kernel(function, _OPTIONS | {"fastmath": False})


def locked_jit(function: Function) -> Function:
    """Do as `jit` does, but compile for a moment in which no other thread may run Python."""
    return _kernel(function, _OPTIONS | {"nogil": False})


def _kernel(function: Function, options: dict[str, Any]) -> Function:
    if PLAIN:
        return _twin(function)
    from elunet.kernels._cache import Cache, say_unkept

    made = _numba.njit(**options)(function)
    if hasattr(made, "_cache"):  # not so where the JIT is switched off
        try:
            made._cache = Cache(function)
        except RuntimeError as error:  # numba finds no folder that it may write to
            say_unkept(error)
    return made  # type: ignore[no-any-return]


def _twin(function: Function) -> Function:
    """Return the twin; the function itself if it has none, since only kernels call it."""
    package, _, module = function.__module__.rpartition(".")
    if package != __package__:
        return function
    twins = importlib.import_module(f"{package}.plain.{module}")
    twin: Function = getattr(twins, function.__name__, function)
    calculates = module not in ("limits", "waiting")
    return quiet(twin) if calculates else twin  # compiled ones know nothing of `numpy.seterr`
