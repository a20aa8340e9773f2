"""Silence floating-point warnings: what overflows or is not a number shows in the result."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from functools import wraps
from typing import Any, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])

_silent = Context()
_silent.run(np.seterr, all="ignore")
_SETTINGS = tuple(_silent.items())  # NumPy's context variable, and what says "ignore"


def quiet(function: Function) -> Function:
    """Let a function compute whatever it does, whatever `numpy.seterr` says.

    It runs in a copy of the caller's context, so there is nothing to put back afterwards:
    `numpy.errstate` would not, if an interrupt came just when it was about to.
    """

    def silenced(inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        for variable, value in _SETTINGS:
            variable.set(value)
        return function(*inputs, **named)

    @wraps(function)
    def quietly(*inputs: Any, **named: Any) -> Any:
        return copy_context().run(silenced, inputs, named)

    return quietly  # type: ignore[return-value]  # it takes and returns the same
