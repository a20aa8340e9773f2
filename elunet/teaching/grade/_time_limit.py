"""A call with a time limit: it runs in a separate thread, which is stopped when time is up.

In a browser no thread can start. There the call runs here, and each line looks at the clock.
"""

from __future__ import annotations

import contextvars
import ctypes
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class TimeIsUp(BaseException):
    """The call has not returned in time; `except Exception` does not catch it."""


def call(function: Callable[[], T], seconds: float) -> T:
    """Return what the function returns, or raise what it raises.

    Raises
    ------
    TimeIsUp
        If it takes longer. A TimeIsUp is raised in the function at its next line of Python. If
        it waits in compiled code, or catches that as well, its thread is left behind; it does not
        keep the process alive.
    """
    done: list[T] = []
    errors: list[BaseException] = []
    context = contextvars.copy_context()  # NumPy's error state is in it

    def work() -> None:
        try:
            done.append(context.run(function))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="elunet checker", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no thread can start
        return _call_here(function, seconds)
    thread.join(seconds)
    if thread.is_alive():
        _interrupt(thread)
        thread.join(1.0)
        raise TimeIsUp
    if errors:
        raise errors[0]
    return done[0]


def _call_here(function: Callable[[], T], seconds: float) -> T:
    """Do as `call` does, in this thread."""
    end = time.monotonic() + seconds

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        if time.monotonic() > end:
            raise TimeIsUp
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        return contextvars.copy_context().run(function)
    finally:
        sys.settrace(before)


def _interrupt(thread: threading.Thread) -> None:
    """Raise TimeIsUp inside a thread, where this Python can."""
    raise_there = getattr(getattr(ctypes, "pythonapi", None), "PyThreadState_SetAsyncExc", None)
    if raise_there is not None and thread.ident is not None:
        raise_there(ctypes.c_ulong(thread.ident), ctypes.py_object(TimeIsUp))
