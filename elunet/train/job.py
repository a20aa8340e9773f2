"""A job is a training run in its own folder, which can be interrupted and resumed.

The folder holds history.csv, weights.safetensors, checkpoints/, curves.png if something draws it,
and at the end summary.json. Each file is brought up to date after every epoch.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from elunet._group import ALONE, Alone
from elunet._progress import say
from elunet.storage.files import write_json
from elunet.storage.locks import Lock, held
from elunet.storage.weights import save
from elunet.train import versions
from elunet.train.callbacks import Callback, Checkpoints
from elunet.train.checkpoint import SavedRun, about
from elunet.train.datasets import Data
from elunet.train.folders import LATEST
from elunet.train.history import Epoch, History
from elunet.train.trainer import Trainer

HISTORY, CURVES, WEIGHTS, SUMMARY = (
    "history.csv",
    "curves.png",
    "weights.safetensors",
    "summary.json",
)
CHECKPOINTS, EARLIER = "checkpoints", "earlier"

Draw = Callable[[History, Path], object]


class Job:
    """A training run in its own folder, which can be interrupted and resumed.

    Parameters
    ----------
    folder : path
    log : callable, optional
        Takes a line of text about what happens to the folder; by default it is printed.
    group : elunet.distributed.Group, optional
        The processes that train together: the first alone reads and writes the folder.

    Attributes
    ----------
    folder : pathlib.Path
    saved : SavedRun or None
        The run to continue, once `resume` has found it.
    begun : bool
        Whether `train` has begun, so that the folder can be resumed.

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
        self,
        folder: str | os.PathLike[str],
        log: Callable[[str], object] = say,
        group: Alone = ALONE,
    ) -> None:
        self.folder, self.group = Path(folder), group
        self.log: Callable[[str], object] = log if group.rank == 0 else lambda text: None
        self.saved: SavedRun | None = None
        self.begun = self._overwrite = False

    @property
    def files(self) -> list[Path]:
        """The files of a finished run by name, without checkpoints."""
        names = sorted([CURVES, HISTORY, SUMMARY, WEIGHTS])
        return [self.folder / name for name in names if (self.folder / name).exists()]

    @staticmethod
    def is_in(folder: str | os.PathLike[str]) -> bool:
        """Return whether a folder is a job's."""
        return (Path(folder) / CHECKPOINTS).is_dir()

    @staticmethod
    def folder_of(place: str | os.PathLike[str]) -> Path | None:
        """Return the job's folder that a path means: it, its checkpoints or one of them."""
        path = Path(place)
        for folder in (path, path.parent, path.parent.parent):
            inside = folder / CHECKPOINTS
            if inside.is_dir() and (path in (folder, inside) or path.parent == inside):
                return folder
        return None

    def resume(self, place: str | os.PathLike[str]) -> SavedRun | None:
        """Find the run to continue: a job's folder, a folder of checkpoints, or a file.

        Returns
        -------
        SavedRun or None
            None if it is a job's folder without a checkpoint yet; the run then starts again.

        Raises
        ------
        ValueError, OSError
            If there is no run's checkpoint, or it cannot be read.
        """
        self.saved = self.group.first(lambda: self._found(place))
        return self.saved

    def _found(self, place: str | os.PathLike[str]) -> SavedRun | None:
        if self.is_in(place):
            inside = Path(place) / CHECKPOINTS
            if not any(inside.glob("*.safetensors")):
                self.log(f"{place} has no checkpoint yet; starting from the beginning")
                return None
            place = inside
        return about(place)

    def differences(
        self, settings: Mapping[str, Any], allow: str | Collection[str] = ()
    ) -> dict[str, tuple[Any, Any]]:
        """Return {name: (saved, given)} for all settings that differ from the saved run's."""
        if self.saved is None:
            return {}
        allow, saved = [allow] if isinstance(allow, str) else allow, self.saved.settings
        return {
            name: (saved.get(name), given)
            for name, given in settings.items()
            if saved.get(name) != given and name not in allow
        }

    def is_finished(self, epochs: int) -> bool:
        """Return whether the saved run is this folder's and is complete, with all its files."""
        return self.group.first(lambda: self._is_finished(epochs))

    def _is_finished(self, epochs: int) -> bool:
        names = (SUMMARY, HISTORY, WEIGHTS)
        if self.saved is None or not self._is_here(self.saved.file):
            return False
        complete = len(self.saved.history) == epochs
        return complete and all((self.folder / name).exists() for name in names)

    def holds_a_run(self) -> bool:
        """Return whether the folder contains files of a run."""
        checkpoints = self.folder / CHECKPOINTS
        return any(file.is_file() for file in self.files) or (
            checkpoints.is_dir() and any(checkpoints.glob("*.safetensors"))
        )

    def prepare(self, overwrite: bool = False) -> None:
        """Check that `train` can use the folder; nothing in it is changed yet.

        Parameters
        ----------
        overwrite : bool, default False
            Whether a run that is there may be replaced. Once all else is in order, `train` moves
            its files aside, into a folder ``earlier-1``, ``earlier-2`` and so on.

        Raises
        ------
        FileExistsError
            If the folder holds a run that is not the one to continue, or a later part of it, and
            `overwrite` is False.
        BlockingIOError
            If another process is using it.
        OSError
            If it cannot be written to.
        """
        self._overwrite = overwrite
        self.group.first(self._prepare)

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with held(self.folder):
            self._is_in_the_way()

    def _is_in_the_way(self) -> bool:
        """Return whether the folder's run has to be moved aside; raise if that is not allowed."""
        if self._goes_on() or not self.holds_a_run():
            return False
        if not self._overwrite:
            raise FileExistsError(
                f"expected a folder without a run, got one in {self.folder}: resume it, or"
                " overwrite"
                " it (--overwrite, Job.prepare(overwrite=True)), which moves it aside"
            )
        return True

    def _goes_on(self) -> bool:
        """Return whether the run to continue is the folder's own, at its last step."""
        if self.saved is None or not self._is_here(self.saved.file):
            return False
        latest = self.folder / CHECKPOINTS / LATEST
        if self.saved.file.name == LATEST or not latest.exists():
            return True
        try:
            return about(latest).step <= self.saved.step
        except ValueError:  # damaged: this is why an earlier one was taken
            return True

    def _move_aside(self) -> None:
        """Move all files of a run into a folder of their own; nothing is removed.

        The checkpoints go last: until then, the folder still holds a run that can be resumed.
        """
        number = 1
        while (aside := self.folder / f"{EARLIER}-{number}").exists():
            number += 1
        aside.mkdir()
        checkpoints = self.folder / CHECKPOINTS
        for thing in [*self.files, *([checkpoints] if checkpoints.is_dir() else [])]:
            thing.rename(aside / thing.name)
        self.log(f"the old run in {self.folder} was moved to {aside}")

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
        """Train, or continue to train, and return the summary.

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
        FileExistsError
            If the folder holds another run; see `prepare`.
        BlockingIOError
            If another process is using it.
        OSError
            If a file cannot be written.
        """
        files = _Files(self.folder, draw)
        own = [files, Checkpoints(self.folder / CHECKPOINTS, **checkpoints)]
        lock = Lock(self.folder)
        try:
            replaces = self.group.first(lambda: self._claim(lock))
            if self.saved is not None:
                self._take_up(trainer, self.saved)
            self.group.first(lambda: self._begin(trainer, replaces))
            self.begun = True
            return self._train(trainer, (train, test), epochs, own, more or {})
        finally:
            lock.release()

    def _claim(self, lock: Lock) -> bool:
        """Lock the folder; return whether the run in it has to be moved aside."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        return self._is_in_the_way()

    def _begin(self, trainer: Trainer, replaces: bool) -> None:
        """Prepare the folder."""
        if replaces:
            self._move_aside()
        (self.folder / CHECKPOINTS).mkdir(exist_ok=True)
        if not (self.folder / CHECKPOINTS / LATEST).exists():
            trainer.save(self.folder / CHECKPOINTS)  # its settings are known from now on

    def _is_here(self, file: Path) -> bool:
        return file.resolve().parent == (self.folder / CHECKPOINTS).resolve()

    def _train(
        self,
        trainer: Trainer,
        data: tuple[Data, Data],
        epochs: int,
        own: list[Callback],
        more: Mapping[str, Any],
    ) -> dict[str, Any]:
        begin, (train, test) = time.perf_counter(), data
        before, files = trainer.seconds, own[0]
        trainer.callbacks += own
        try:
            trainer.fit(train, test, epochs)
        finally:
            trainer.callbacks = [each for each in trainer.callbacks if each not in own]
        seconds = before + time.perf_counter() - begin
        summary = {**more, **summarize(trainer, len(train[0]), seconds)}
        self.group.first(lambda: self._conclude(trainer, files, summary))
        return summary

    def _conclude(self, trainer: Trainer, files: Callback, summary: Mapping[str, Any]) -> None:
        """Write the files of a finished run."""
        if not (self.folder / WEIGHTS).exists():  # resumed from elsewhere, or interrupted late
            files.on_epoch_end(trainer, trainer.history[-1])
        write_json(self.folder / SUMMARY, summary)

    def _take_up(self, trainer: Trainer, saved: SavedRun) -> None:
        trainer.resume(saved.file, allow=["settings", *saved.versions])
        for other in versions.differences(saved.versions, group=self.group):
            self.log(f"note: the run began with {other}: the last bits may differ")
        epochs = len(saved.history)
        self.log(f"continuing after step {saved.step}, with {epochs} epochs complete")


class _Files(Callback):
    """Keeps weights, history and curves in a job's folder up to date."""

    writes = True

    def __init__(self, folder: Path, draw: Draw | None) -> None:
        self.folder, self.draw = folder, draw

    def on_epoch_end(self, trainer: Trainer, row: Epoch) -> None:
        """Write the files."""
        self.folder.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
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
    last, here = history[-1], versions.current(trainer.group)
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
        "processes": trainer.group.size,
        "versions": f"elunet {here['elunet']}, Python {here['python']}, numpy {here['numpy']},"
        f" numba {here['numba']}",
    }


def peak_memory_mb() -> float | None:
    """Return the process's peak resident memory in MB, None where the system does not tell."""
    with suppress(
        OSError, ValueError, IndexError
    ):  # Linux: without what the parent had at the fork
        status = Path("/proc/self/status").read_text()
        return round(int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6, 1)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)
