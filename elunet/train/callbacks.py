"""Callbacks: code that runs at fixed points of a training, and those that report and save it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from elunet._checks import choice, integer, number
from elunet._types import Array
from elunet.network import Tap
from elunet.storage.files import check_writable, sweep
from elunet.storage.locks import Lock
from elunet.train.folders import prepare
from elunet.train.history import COLUMNS, Epoch

if TYPE_CHECKING:
    from elunet.train import Trainer


class Callback:
    """Code that runs at fixed points of a training; override the methods that are needed.

    A callback that remembers something between steps returns it from `state`, for checkpoints, and
    takes it back in `restore`.

    Examples
    --------
    One that prints a line after each epoch:

    >>> import numpy as np
    >>> import elunet as eln
    >>> x, y = np.eye(4, dtype=np.float32), np.arange(4)
    >>> net = eln.Sequential([eln.layers.Linear(4, 4)], seed=0)
    >>> loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1)
    >>> class Say(eln.Callback):
    ...     def on_epoch_end(self, trainer, row):
    ...         trainer.log(f"epoch {row.epoch}: {row.step} steps")
    >>> trainer = eln.Trainer(net, loss, optimizer, batch_size=2, callbacks=[Say()])
    >>> history = trainer.fit((x, y), epochs=2)
    epoch 1: 2 steps
    epoch 2: 4 steps
    """

    writes: ClassVar[bool] = False
    """Whether it only writes or prints, so that only the first of several processes calls it."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before anything else; a resumed run may be in the middle of an epoch."""

    def on_epoch_start(self, trainer: Trainer, epoch: int) -> None:
        """Before the first batch of an epoch, counted from 0."""

    def on_backward(self, trainer: Trainer, dy: Array, target: Array) -> Tap | None:
        """Before the rule's backward pass; return a tap to see the rule's signals.

        A backward pass may be run here, by another rule for instance; its gradients are
        overwritten.
        """
        return None

    def on_gradients(self, trainer: Trainer) -> None:
        """After the rule's backward pass, before the optimizer's step.

        One more backward pass may be run here. (If no callback overrides this, what forward kept
        has been released by now, which takes less memory.)
        """

    def on_step(self, trainer: Trainer, loss: float) -> None:
        """After each step; the gradients of the batch still exist, what forward kept may not."""

    def on_epoch_end(self, trainer: Trainer, row: Epoch) -> None:
        """After validation; `row` is the history's last."""

    def on_settled(self, trainer: Trainer, row: Epoch | None) -> None:
        """After every callback has seen a step (row None) or an epoch: the time to save.

        `Checkpoints` come first, so that what goes wrong here does not lose what was learned.
        """

    def on_interrupt(self, trainer: Trainer) -> None:
        """After the step in which a signal came; `fit` ends right afterwards."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """When `Trainer.fit` ends, also by an error."""

    def state(self) -> Any:
        """Return the state for a checkpoint, as dicts, lists, strings, numbers and arrays."""
        return None

    def restore(self, state: Any) -> None:
        """Go back to a `state`; raise a ValueError and change nothing if it is not one."""


class Report(Callback):
    """Prints a line after each epoch: losses, accuracies, speed, and loss spikes if there were any.

    Parameters
    ----------
    epochs : int
        Length of the run.
    validation : str, default "validation"
        What to call the second split.

    Examples
    --------
    >>> import elunet as eln
    >>> callbacks = [eln.train.Report(15, "test")]  # for a Trainer
    """

    writes = True

    def __init__(self, epochs: int, validation: str = "validation") -> None:
        self.epochs, self.validation = epochs, validation

    def on_settled(self, trainer: Trainer, row: Epoch | None) -> None:
        """Print the line, when the epoch has been saved."""
        if row is None:
            return
        spikes = f"  {row.spikes} loss spikes" if row.spikes else ""
        trainer.log(
            f"epoch {row.epoch:3d}/{self.epochs}"
            f"  train loss {row.train_loss:.4f} accuracy {row.train_accuracy:.4f}"
            f"  {self.validation} loss {row.validation_loss:.4f}"
            f" accuracy {row.validation_accuracy:.4f}  {row.images_per_s:.0f} images/s{spikes}"
        )


class HistoryFile(Callback):
    """Writes the history to a CSV file after each epoch.

    Parameters
    ----------
    file : path
        Its folder is made if it does not exist.

    Raises
    ------
    OSError
        At the start of `fit` if the folder cannot be written to; later if the file cannot.

    Examples
    --------
    >>> import elunet as eln
    >>> callbacks = [eln.HistoryFile("history.csv")]  # for a Trainer
    """

    writes = True

    def __init__(self, file: str | os.PathLike[str]) -> None:
        self.file = Path(file)

    def on_fit_start(self, trainer: Trainer) -> None:
        """Write the history of a resumed run, and check that the file can be written."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        sweep(self.file)
        check_writable(self.file.parent)
        if trainer.history:
            trainer.history.to_csv(self.file)

    def on_epoch_end(self, trainer: Trainer, row: Epoch) -> None:
        """Write the history so far."""
        self.file.parent.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
        trainer.history.to_csv(self.file)


class Checkpoints(Callback):
    """Saves the whole run in a folder, for `Trainer.resume`.

    It saves at the end of each epoch, when a signal ends the run, and in between as asked for. The
    folder then holds ``latest.safetensors``, ``previous.safetensors`` (the save before) and
    ``best.safetensors`` (the end of the best epoch). One folder is for one run at a time; a run
    that does not `Trainer.resume` what is there replaces it. `Job` never does.

    Parameters
    ----------
    folder : path
        It is made if it does not exist.
    steps : int, optional
        Also save each time so many steps are complete.
    minutes : float, optional
        Also save after a step if the last save is so long ago.
    best : str, default "validation_loss"
        The column of the history that tells the best epoch: the lowest loss, or else the highest
        value. An epoch whose value is NaN (no validation data) is never the best.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    OSError
        At the start of `fit` if the folder cannot be written to, or another run is using it (a
        BlockingIOError that names the process); later if a save fails. Earlier saves stay.

    Examples
    --------
    After a crash, the same lines continue the run:

    >>> import numpy as np
    >>> import elunet as eln
    >>> x, y = np.eye(4, dtype=np.float32), np.arange(4)
    >>> net = eln.Sequential([eln.layers.Linear(4, 4)], seed=0)
    >>> loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1)
    >>> from pathlib import Path
    >>> trainer = eln.Trainer(net, loss, optimizer, callbacks=[eln.Checkpoints("run", minutes=5)])
    >>> if Path("run/latest.safetensors").exists():
    ...     trainer.resume("run")
    >>> history = trainer.fit((x, y), epochs=3)
    >>> sorted(file.name for file in Path("run").iterdir())
    ['latest.safetensors', 'previous.safetensors']
    """

    writes = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        steps: int | None = None,
        minutes: float | None = None,
        best: str = "validation_loss",
    ) -> None:
        self.folder = Path(folder)
        self.steps = None if steps is None else integer("Checkpoints", "steps", steps)
        self.minutes = minutes
        if minutes is not None:
            number("Checkpoints", "minutes", minutes, "(0, inf)")
        choice("Checkpoints", "best", best, COLUMNS)
        self.best = best
        self._saved_at = 0.0
        self._lock = Lock(self.folder)

    def on_fit_start(self, trainer: Trainer) -> None:
        """Check that the folder can be written to, now rather than after an epoch, and lock it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not any(self._shares(other) for other in trainer.callbacks):
            self._lock.acquire()
        prepare(self.folder)
        self._saved_at = time.monotonic()

    def on_settled(self, trainer: Trainer, row: Epoch | None) -> None:
        """Save if a checkpoint is due."""
        waited = time.monotonic() - self._saved_at
        due = self.steps is not None and trainer.optimizer.steps % self.steps == 0
        due = due or (self.minutes is not None and waited >= 60 * self.minutes)
        if due or row is not None:
            self._save(trainer, row is not None and self._is_best(trainer))

    def on_interrupt(self, trainer: Trainer) -> None:
        """Save before the run ends."""
        self._save(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Release the folder's lock."""
        self._lock.release()

    def _shares(self, other: Callback) -> bool:
        """Whether another callback of this run has locked the same folder."""
        return (
            isinstance(other, Checkpoints)
            and other._lock.is_held
            and other.folder.resolve() == self.folder.resolve()
        )

    def _save(self, trainer: Trainer, best: bool = False) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
        trainer.save(self.folder, best=best)
        self._saved_at = time.monotonic()

    def _is_best(self, trainer: Trainer) -> bool:
        """Return whether the last epoch is better than all before; NaN counts as the worst."""
        sign = -1.0 if self.best.endswith("loss") else 1.0
        *before, last = (sign * value for value in trainer.history.column(self.best))
        return last == last and all(not last <= value for value in before)


def stateful(callbacks: Sequence[Callback]) -> list[Callback]:
    """Return the callbacks that have a state."""
    return [one for one in callbacks if type(one).state is not Callback.state]


def together(taps: Sequence[Tap | None]) -> Tap | None:
    """Return one tap that calls all of them, None if there are none."""
    given = [tap for tap in taps if tap is not None]

    def show(name: str, delta: Array) -> None:
        for tap in given:
            tap(name, delta)

    return show if given else None
