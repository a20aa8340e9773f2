"""What `Trainer.fit` shows while it trains: a bar, or a line after each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from elunet._progress import GONE, bar, say, tell
from elunet.train.evaluation import Mean
from elunet.train.history import Epoch

LINES = 10  # of a quick run at most
PAUSE = 10.0  # seconds after which an epoch's line is shown in any case


class Progress:
    """Shows the progress of a run.

    Parameters
    ----------
    wanted : bool or None
        True for a progress bar, False for nothing. None: a bar on a terminal and in a notebook
        with ipywidgets, elsewhere a line after each epoch; of quick epochs, after some of them.
    """

    def __init__(self, wanted: bool | None) -> None:
        self.wanted = wanted
        self._bar: Any = None
        self._lines = False
        self._last = 0.0  # when a line was shown

    @contextmanager
    def running(self, steps: int, lines: bool) -> Iterator[None]:
        """Show the progress inside the block: as a bar, or else as lines if these are wanted."""
        self._bar = bar(steps, "step", self.wanted)
        self._lines = lines and self.wanted is None and self._bar is None
        self._last = time.perf_counter()
        try:
            yield
        finally:
            shown, self._bar = self._bar, None
            with suppress(*GONE):
                if shown is not None:
                    shown.close()

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

    def end_epoch(self, row: Epoch, total: int) -> None:
        """Print the epoch's line, if lines are printed and this one is due."""
        now = time.perf_counter()
        its_turn = row.epoch % math.ceil(total / LINES) == 0 or row.epoch == total
        if self._lines and (its_turn or now - self._last > PAUSE):
            self._last = now
            training = _result("training", row.train_loss, row.train_accuracy)
            validation = _result("validation", row.validation_loss, row.validation_accuracy)
            tell(f"epoch {row.epoch}/{total}: {training}{validation}{row.seconds:.1f} s")

    def write(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._bar is None:
            say(text)
        else:
            with suppress(*GONE):
                self._bar.write(text)


def _result(split: str, loss: float, accuracy: float) -> str:
    """Return a split's loss and accuracy as text, without those that are missing."""
    if math.isnan(loss):
        return ""
    return f"{split} loss {loss:.3f}{'' if math.isnan(accuracy) else f' ({accuracy:.1%})'}, "
