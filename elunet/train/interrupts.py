"""Ending a run on a signal: the first one after the current step, the second one at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

_DEFAULTS: tuple[tuple[signal.Signals, Any], ...] = (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGTERM, signal.SIG_DFL),
)


NOTE = b"\nelunet: finishing this step, then leaving; again: at once\n"


class Interrupted(KeyboardInterrupt):
    """A run that SIGINT (Ctrl-C) or SIGTERM ended after a step.

    Attributes
    ----------
    signal : int
        The signal's number.
    name : str
        Its name, such as SIGTERM.
    step : int
        The optimizer's count of complete steps.
    checkpoint : pathlib.Path or None
        Where the run is saved; None if it has no `Checkpoints`.
    """

    def __init__(self, number: int, step: int, checkpoint: Path | None) -> None:
        self.signal, self.step, self.checkpoint = number, step, checkpoint
        self.name = signal.Signals(number).name
        if checkpoint is None:
            saved = (
                "It is not saved, because it has no Checkpoints. In this process,"
                " Trainer.save can save it, and the same call of fit continues."
            )
        else:
            saved = (
                f"It is saved in {checkpoint}; to continue, build the same Trainer, then"
                f" trainer.resume({str(checkpoint)!r}) and the same call of fit."
            )
        super().__init__(f"{self.name} ended the run after step {step}. {saved}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.signal, self.step, self.checkpoint)


class Interrupts:
    """Notes the first signal; the second one acts as usual.

    Attributes
    ----------
    asked : int or None
        The number of the signal that came.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._told = False

    def tell(self) -> int:
        """Return the number of the signal that came."""
        self._told = True
        return self.asked or 0

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note signals inside the block, in the main thread, unless they have another handler."""
        self.asked, self._told = None, False
        before: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number, default in _DEFAULTS:
                if signal.getsignal(number) == default:
                    before[number] = signal.signal(number, self._note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.asked is not None and not self._told:  # too late for the run
            signal.raise_signal(self.asked)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked is None:
            self.asked = number
            # Not print: the signal may have come in the middle of one. Not 2: where standard error
            # was closed, that may be a file by now.
            with suppress(OSError, ValueError, AttributeError):
                os.write(sys.stderr.fileno(), NOTE)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
