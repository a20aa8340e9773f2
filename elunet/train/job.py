"""A training run in a folder of its own: begun, interrupted, resumed, finished.

The folder holds history.csv, weights.safetensors, checkpoints/, curves.png if something draws it,
and at the end summary.json. Each file is brought up to date after every epoch.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elunet.storage.files import write_json
from elunet.storage.weights import save
from elunet.train import versions
from elunet.train.callbacks import Callback, Checkpoints
from elunet.train.checkpoint import SavedRun, about
from elunet.train.datasets import Data
from elunet.train.history import Epoch, History
from elunet.train.trainer import Trainer

HISTORY, CURVES, WEIGHTS, SUMMARY = (
    "history.csv",
    "curves.png",
    "weights.safetensors",
    "summary.json",
)
CHECKPOINTS, EARLIER = "checkpoints", "checkpoints-before"

Draw = Callable[[History, Path], object]


class Job:
    """A training run in a folder of its own, which can be interrupted and resumed.

    Parameters
    ----------
    folder : path
    log : callable, default print
        Takes a line of text about what happens to the folder.

    Attributes
    ----------
    folder : Path
    saved : SavedRun or None
        The run to go on with, once `resume` has found it.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> x, y = np.eye(4, dtype=np.float32), np.arange(4)
    >>> net = eln.Sequential([eln.layers.Linear(4, 4)], seed=0)
    >>> loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1)
    >>> trainer = eln.Trainer(net, loss, optimizer, settings={"seed": 0})
    >>> summary = eln.Job("run").train(trainer, (x, y), (x, y), epochs=1)
    >>> job = eln.Job("run")
    >>> job.resume("run").settings, job.is_finished(epochs=1)
    ({'seed': 0}, True)
    """

    def __init__(
        self, folder: str | os.PathLike[str], log: Callable[[str], object] = print
    ) -> None:
        self.folder, self.log = Path(folder), log
        self.saved: SavedRun | None = None
        self._begun = False

    @property
    def files(self) -> list[Path]:
        """What is in the folder besides checkpoints, by name: what a finished run leaves."""
        names = sorted([CURVES, HISTORY, SUMMARY, WEIGHTS])
        return [self.folder / name for name in names if (self.folder / name).exists()]

    @staticmethod
    def is_in(folder: str | os.PathLike[str]) -> bool:
        """Return whether a folder is a job's."""
        return (Path(folder) / CHECKPOINTS).is_dir()

    def resume(self, place: str | os.PathLike[str]) -> SavedRun | None:
        """Find the run to go on with: a job's folder, a folder of checkpoints, or a file.

        Returns
        -------
        SavedRun or None
            None if it is a job's folder without a checkpoint yet; the run then begins anew.

        Raises
        ------
        ValueError, OSError
            If there is no run's checkpoint, or it cannot be read.
        """
        if self.is_in(place):
            inside = Path(place) / CHECKPOINTS
            if not any(inside.glob("*.safetensors")):
                self.log(f"{place} has no checkpoint yet; beginning from the start")
                return None
            place = inside
        self.saved, self._begun = about(place), True
        return self.saved

    def differences(
        self, settings: Mapping[str, Any], allow: Collection[str] = ()
    ) -> dict[str, tuple[Any, Any]]:
        """Return {name: (saved, given)} for all settings that differ from the saved run's."""
        if self.saved is None:
            return {}
        saved = self.saved.settings
        return {
            name: (saved.get(name), given)
            for name, given in settings.items()
            if saved.get(name) != given and name not in allow
        }

    def is_finished(self, epochs: int) -> bool:
        """Return whether the saved run has its epochs, and the folder all that it writes."""
        names = (SUMMARY, HISTORY, WEIGHTS)
        complete = self.saved is not None and len(self.saved.history) == epochs
        return complete and all((self.folder / name).exists() for name in names)

    def begin(self) -> None:
        """Make the folder ready for a new run; `train` does so unless a run is resumed.

        The checkpoints of an earlier run are kept in another folder, as somebody may have meant to
        resume it.
        """
        self._begun = True
        checkpoints, earlier = self.folder / CHECKPOINTS, self.folder / EARLIER
        if not (checkpoints.exists() or (self.folder / HISTORY).exists()):
            checkpoints.mkdir(parents=True)
            return
        kept = ""
        if checkpoints.exists() and any(checkpoints.iterdir()):
            shutil.rmtree(earlier, ignore_errors=True)
            checkpoints.rename(earlier)
            kept = f"; its checkpoints are in {earlier} now"
        self.log(f"the run that is in {self.folder} will be replaced{kept}")
        checkpoints.mkdir(exist_ok=True)
        for name in (SUMMARY, WEIGHTS):
            (self.folder / name).unlink(missing_ok=True)

    def train(
        self,
        trainer: Trainer,
        train: Data,
        test: Data,
        epochs: int,
        draw: Draw | None = None,
        more: Mapping[str, Any] | None = None,
        **checkpoints: Any,
    ) -> dict[str, Any]:
        """Train, or what is left of it, and return the summary.

        Parameters
        ----------
        trainer : Trainer
            Set up as for the saved run if there is one; only settings, versions and threads may
            differ (see `differences`).
        train, test : (x, y)
        epochs : int
            Of the whole run.
        draw : callable, optional
            ``draw(history, file)`` draws the curves.
        more : mapping, optional
            More entries of the summary, as plain data.
        checkpoints
            Options of `Checkpoints`.

        Raises
        ------
        ValueError
            If the trainer or the data are not those of the saved run.
        DivergenceError, Interrupted
            As `Trainer.fit`.
        OSError
            If a file cannot be written.
        """
        if not self._begun:
            self.begin()
        begin = time.perf_counter()
        if self.saved is not None:
            self._take_up(trainer, self.saved)
        before, files = trainer.seconds, _Files(self.folder, draw)
        own = [files, Checkpoints(self.folder / CHECKPOINTS, **checkpoints)]
        trainer.callbacks += own
        try:
            trainer.fit(train, test, epochs)
        finally:
            trainer.callbacks = [each for each in trainer.callbacks if each not in own]
        if not (self.folder / WEIGHTS).exists():  # resumed from elsewhere, or interrupted late
            files.on_epoch_end(trainer, trainer.history[-1])
        seconds = before + time.perf_counter() - begin
        summary = {**(more or {}), **summarize(trainer, len(train[0]), seconds)}
        write_json(self.folder / SUMMARY, summary)
        return summary

    def _take_up(self, trainer: Trainer, saved: SavedRun) -> None:
        trainer.resume(saved.file, allow=["settings", *saved.versions])
        for other in versions.differences(saved.versions):
            self.log(f"note: the run began with {other}: the last bits may come out otherwise")
        epochs = len(saved.history)
        self.log(f"going on after step {saved.step}, with {epochs} epochs complete")


class _Files(Callback):
    """Keeps weights, history and curves in a job's folder up to date."""

    def __init__(self, folder: Path, draw: Draw | None) -> None:
        self.folder, self.draw = folder, draw

    def on_epoch_end(self, trainer: Trainer, row: Epoch) -> None:
        """Write them."""
        save(trainer.net, self.folder / WEIGHTS)
        try:
            trainer.history.to_csv(self.folder / HISTORY)
            if self.draw is not None:
                self.draw(trainer.history, self.folder / CURVES)
        except OSError as error:  # open in another program; the next epoch tries again
            trainer.log(f"could not write history or curves this time: {error}")


def summarize(trainer: Trainer, images: int, seconds: float) -> dict[str, Any]:
    """Return a run's results in a flat dict; seconds per epoch are without the test."""
    history = trainer.history
    last, here = history[-1], versions.current()
    return {
        "epochs": last.epoch,
        "steps": last.step,
        "train_images": images,
        "train_loss": last.train_loss,
        "train_accuracy": last.train_accuracy,
        "test_loss": last.validation_loss,
        "test_accuracy": last.validation_accuracy,
        "parameters": sum(value.size for value in trainer.net.parameters().values()),
        "seconds": round(seconds, 1),
        "seconds_per_epoch": round(float(np.median(history.column("seconds"))), 2),
        "images_per_s": round(float(np.median(history.column("images_per_s"))), 1),
        "peak_memory_mb": peak_memory_mb(),
        "threads": here["threads"],
        "versions": f"elunet {here['elunet']}, Python {here['python']}, numpy {here['numpy']},"
        f" numba {here['numba']}",
    }


def peak_memory_mb() -> float | None:
    """Return the process's peak resident memory in MB, None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)
