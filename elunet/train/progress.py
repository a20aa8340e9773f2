"""A progress bar on standard error, and times in words."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from elunet.train.evaluation import Mean

GONE = (OSError, ValueError, AttributeError)
"""What writing raises where the stream is a broken pipe, closed, or None."""


def duration(seconds: float) -> str:
    """Return a time in words, in the unit that suits it.

    Examples
    --------
    >>> from elunet.train.progress import duration
    >>> duration(70), duration(600), duration(7200)
    ('70 s', '10 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Progress:
    """Shows a progress bar while a run trains.

    Parameters
    ----------
    wanted : bool or None
        Whether to show it; None shows it if standard error is a terminal.
    """

    def __init__(self, wanted: bool | None) -> None:
        self.wanted = wanted
        self._bar: Any = None

    @contextmanager
    def running(self, steps: int) -> Iterator[None]:
        """Show a bar while the block runs, if there is somewhere to show it."""
        if not (self.wanted or (self.wanted is None and is_terminal(sys.stderr))):
            yield
            return
        from tqdm import tqdm

        with suppress(*GONE):
            sys.stderr.write("")  # a bar that fails while it is made fails again in its finalizer
            self._bar = tqdm(total=steps, unit="step", dynamic_ncols=True)
        try:
            yield
        finally:
            bar, self._bar = self._bar, None
            with suppress(*GONE):
                if bar is not None:
                    bar.close()

    def show(self, title: str, mean: Mean | None = None, speed: float = 0.0) -> None:
        """Set the bar's text, and advance it by a step if `mean` is given."""
        if self._bar is None:
            return
        try:
            self._bar.set_description(title, refresh=mean is None)
            if mean is not None:
                loss, hits = mean.values
                accuracy = "" if math.isnan(hits) else f"accuracy {hits:.3f}, "
                self._bar.set_postfix_str(f"loss {loss:.3f}, {accuracy}{speed:.0f} images/s", False)
                self._bar.update()
        except GONE:
            self._bar = None

    def write(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._bar is None:
            say(text)
        else:
            with suppress(*GONE):
                self._bar.write(text)


def say(text: str, stream: Any = None) -> None:
    """Print a line at once; where nobody listens any more, it is lost."""
    with suppress(*GONE):
        try:
            print(text, file=stream, flush=True)
        except UnicodeEncodeError:
            print(text.encode("ascii", "backslashreplace").decode(), file=stream, flush=True)


def leave_quietly() -> None:
    """See that Python does not complain of a closed pipe when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except GONE:
            with suppress(*GONE):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal; it may be None, closed, or somebody's own."""
    try:
        return bool(stream.isatty())
    except GONE:
        return False
