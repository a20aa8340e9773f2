"""Progress of something long: a bar if one can be shown, else a line now and then.

A terminal has a bar on standard error, a notebook one of its own if ipywidgets is installed. What
has neither, such as a script whose output goes to a file, gets lines. A stream that is closed, a
broken pipe or None stops nothing.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

GONE = (OSError, ValueError, AttributeError)
"""The errors of writing to a stream that is closed, None or a broken pipe."""

PATIENCE = 3.0  # seconds before `steps` shows anything
PAUSE = 10.0  # seconds between two of its lines


def duration(seconds: float) -> str:
    """Return a time in words, in the unit that suits it.

    Examples
    --------
    >>> from elunet._progress import duration
    >>> duration(70), duration(600), duration(7200)
    ('70 s', '10 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def say(text: str, stream: Any = None) -> None:
    """Print a line at once; it is lost if the stream is closed."""
    with suppress(*GONE):
        try:
            print(text, file=stream, flush=True)
        except UnicodeEncodeError:
            print(text.encode("ascii", "backslashreplace").decode(), file=stream, flush=True)


def leave_quietly() -> None:
    """Keep Python from reporting a closed pipe when it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except GONE:
            with suppress(*GONE):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal; it may be None, closed, or a custom object."""
    try:
        return bool(stream.isatty())
    except GONE:
        return False


def in_notebook() -> bool:
    """Return whether this is a notebook's kernel (Jupyter, VS Code, Colab)."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def bar(total: int, unit: str, wanted: bool | None = None, delay: float = 0.0) -> Any:
    """Return a progress bar, or None where none can be shown.

    Parameters
    ----------
    total : int
    unit : str
    wanted : bool or None
        Whether to show one; None: where there is a terminal, or a notebook with widgets.
    delay : float
        Seconds until it appears.
    """
    if wanted is False:
        return None
    widgets = in_notebook() and importlib.util.find_spec("ipywidgets") is not None
    if not (wanted or widgets or is_terminal(sys.stderr)):
        return None
    if widgets:
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    with suppress(*GONE):
        sys.stderr.write("")  # a bar that fails while it is made fails again in its finalizer
        return tqdm(total=total, unit=unit, dynamic_ncols=True, delay=delay)
    return None


def tell(text: str) -> None:
    """Print a line about the progress: in a notebook below its cell, else on standard error."""
    stream = sys.stdout if in_notebook() else sys.stderr
    if stream is not None:
        say(text, stream)


@contextmanager
def steps(total: int, unit: str, title: str, shown: bool = True) -> Iterator[Callable[[], None]]:
    """Show how many of the steps of something long are done, once it has taken three seconds.

    Yields a function to call after each step.
    """
    if not shown:
        yield lambda: None
        return
    its = bar(total, unit, delay=PATIENCE)
    if its is not None:
        its.set_description(title, refresh=False)
    begin = time.perf_counter()
    done, due = 0, begin + PATIENCE

    def advance() -> None:
        nonlocal done, due, its
        done += 1
        if its is not None:
            try:
                its.update()
            except GONE:
                its = None
            return
        now = time.perf_counter()
        if now >= due and done < total:
            left = duration((now - begin) / done * (total - done))
            tell(f"{title}: {done} of {total} {unit}s, about {left} to go")
            due = now + PAUSE

    try:
        yield advance
    finally:
        with suppress(*GONE):
            if its is not None:
                its.close()
