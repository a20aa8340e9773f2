"""The training loop, and the history of a run.

`Trainer.fit` is the loop that one would write by hand: forward, loss, router, optimizer, batch
after batch. Around it: a validation at the end of each epoch, a progress bar, callbacks, and a stop
that names the layer where a run turned into NaN.
"""

from __future__ import annotations

import csv
import io
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from elunet._checks import integer
from elunet._types import Array
from elunet.checkpoint import write_atomically
from elunet.data import Batches
from elunet.losses import Loss
from elunet.network import Network
from elunet.optim import Optimizer
from elunet.routers import Backprop, Router

Data = tuple[Array, Array]


class DivergenceError(RuntimeError):
    """A run whose loss is no longer a finite number.

    Attributes
    ----------
    step : int
        The optimizer's count of completed steps.
    layer : str
        Where the first NaN or infinity appears.
    """

    def __init__(self, step: int, layer: str, loss: float) -> None:
        super().__init__(
            f"Trainer: expected a finite loss, got {loss} at step {step}; the first NaN or infinity"
            f" is in {layer}. A smaller learning rate, or clip_norm, often helps."
        )
        self.step, self.layer = step, layer


@dataclass(frozen=True)
class Epoch:
    """One row of a history. Training figures are means over the pass while weights changed."""

    epoch: int
    step: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    penalty: float
    seconds: float
    pictures_per_s: float


COLUMNS = tuple(field.name for field in fields(Epoch))


class History(list[Epoch]):
    """The epochs of a run, in order; accuracies are fractions, NaN where there are none.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.History().column("train_loss")
    []
    """

    def column(self, name: str) -> list[float]:
        """Return one column, such as "validation_accuracy".

        Raises
        ------
        ValueError
            If there is no such column.
        """
        if name not in COLUMNS:
            raise ValueError(f"History: expected a column among {COLUMNS}, got {name!r}")
        return [getattr(row, name) for row in self]

    def to_csv(self, file: str | os.PathLike[str]) -> None:
        """Write all rows; the file is replaced at once, and its numbers read back the same."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in self)
        write_atomically(file, stream.getvalue().encode())

    @classmethod
    def from_csv(cls, file: str | os.PathLike[str]) -> History:
        """Read what `to_csv` or `HistoryFile` wrote.

        Raises
        ------
        ValueError
            If the columns are others, or a cell is no number.
        """
        with open(file, newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ValueError(
                    f"History: expected {file} with columns {COLUMNS}, got {reader.fieldnames}"
                )
            kinds: dict[str, Callable[[str], Any]] = {"epoch": int, "step": int}
            return cls(
                Epoch(**{name: kinds.get(name, float)(cell) for name, cell in row.items()})
                for row in reader
            )


class Callback:
    """What can be done at fixed points of a run; override what is needed."""

    def on_epoch_start(self, trainer: Trainer, epoch: int) -> None:
        """Before the first batch of an epoch, counted from 0."""

    def on_step(self, trainer: Trainer, loss: float) -> None:
        """After each step; the gradients of the batch are still in the network."""

    def on_epoch_end(self, trainer: Trainer, row: Epoch) -> None:
        """After validation; `row` is the history's last."""


class HistoryFile(Callback):
    """Keeps a CSV file of the history up to date, epoch by epoch.

    Parameters
    ----------
    file : path
    """

    def __init__(self, file: str | os.PathLike[str]) -> None:
        self.file = Path(file)

    def on_epoch_end(self, trainer: Trainer, row: Epoch) -> None:
        """Write the history so far."""
        trainer.history.to_csv(self.file)


class Trainer:
    """Trains a network.

    Parameters
    ----------
    net : Network
    loss : Loss
        Called as ``value, dy = loss(prediction, target)``.
    optimizer : Optimizer
    router : Router, optional
        The learning rule, by default `Backprop`.
    batch_size : int, default 100
    augment : callable, optional
        ``augment(x, rng) -> x`` for each training batch, such as `elunet.data.pad_crop_flip`.
    callbacks : sequence of Callback
    seed : int, SeedSequence, Generator or None, default 0
        Of the order of the batches and of the augmentation.
    progress : bool, optional
        Whether to show a progress bar on standard error; by default if that is a terminal.

    Attributes
    ----------
    history : History
    epochs : int
        Epochs asked for in the current `fit`.

    Examples
    --------
    >>> import elunet as eln
    >>> x, y = eln.data.make_shapes(20)
    >>> x = eln.data.minmax(x)[0].reshape(20, -1)
    >>> net = eln.Sequential([eln.layers.Linear(3072, 10)], seed=0)
    >>> loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.001)
    >>> history = eln.Trainer(net, loss, optimizer, batch_size=10).fit((x, y), epochs=2)
    >>> [row.step for row in history]
    [2, 4]
    """

    def __init__(
        self,
        net: Network,
        loss: Loss,
        optimizer: Optimizer,
        router: Router | None = None,
        *,
        batch_size: int = 100,
        augment: Callable[[Array, np.random.Generator], Array] | None = None,
        callbacks: Sequence[Callback] = (),
        seed: int | np.random.SeedSequence | np.random.Generator | None = 0,
        progress: bool | None = None,
    ) -> None:
        self.net, self.loss, self.optimizer = net, loss, optimizer
        self.router = Backprop() if router is None else router
        self.batch_size, self.augment, self.seed = batch_size, augment, seed
        self.callbacks = list(callbacks)
        self.progress = progress
        self.history = History()
        self.epochs = 0

    def fit(
        self, train: Data | Batches, validation: Data | None = None, epochs: int = 1
    ) -> History:
        """Train for some epochs and return the history, which goes on from an earlier `fit`.

        Parameters
        ----------
        train : (x, y) or Batches
        validation : (x, y), optional
            Looked at after each epoch.
        epochs : int, default 1

        Raises
        ------
        TypeError, ValueError
            If `epochs` is not an integer of at least 1.
        DivergenceError
            If the loss is no longer finite; `history` holds the epochs before.
        """
        self.epochs = integer("Trainer.fit", "epochs", epochs)
        if isinstance(train, Batches):
            batches = train
        else:
            batches = Batches(*train, self.batch_size, seed=self.seed, augment=self.augment)
        with _Progress(self.progress, len(batches) * epochs) as progress:
            for number in range(epochs):
                progress.start(f"epoch {number + 1}/{epochs}")
                self._epoch(batches, validation, progress)
        return self.history

    def _epoch(self, batches: Batches, validation: Data | None, progress: _Progress) -> None:
        epoch = len(self.history)
        self.optimizer.epoch = self.router.epoch = epoch
        for callback in self.callbacks:
            callback.on_epoch_start(self, epoch)
        learning_rate = self.optimizer.learning_rate()
        mean, pictures, begin = _Mean(), 0, time.perf_counter()
        for x, y in batches:
            mean.add(*self._step(x, y), len(x))
            pictures += len(x)
            progress.advance(mean, pictures / (time.perf_counter() - begin))
        seconds = time.perf_counter() - begin
        validated = (math.nan, math.nan)
        if validation is not None:
            validated = evaluate(self.net, *validation, self.loss, self.batch_size)
        row = Epoch(
            epoch + 1,
            self.optimizer.steps,
            learning_rate,
            *mean.values,
            *validated,
            self.optimizer.penalty(self.net),
            seconds,
            pictures / seconds,
        )
        self.history.append(row)
        for callback in self.callbacks:
            callback.on_epoch_end(self, row)

    def _step(self, x: Array, y: Array) -> tuple[float, float]:
        """Learn from one batch; return its loss and the share of right answers."""
        with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges is told below
            prediction = self.net.forward(x, train=True)
            value, dy = self.loss(prediction, y)
            if not math.isfinite(value):
                raise DivergenceError(self.optimizer.steps, self._first_bad(x), value)
            self.router.backward(self.net, dy, y)
            self.optimizer.step(self.net, self.router)
        for callback in self.callbacks:
            callback.on_step(self, value)
        return value, accuracy(prediction, y)

    def _first_bad(self, x: Array) -> str:
        """Return the first place, in forward order, that holds a NaN or an infinity."""
        if not np.isfinite(x).all():
            return "the input batch"
        for name, value in self.net.parameters().items():
            if not np.isfinite(value).all():
                return name
        bad: list[str] = []

        def look(name: str, y: Array) -> None:
            if not np.isfinite(y).all():
                bad.append(f"{name}'s output")

        self.net.forward(x, train=True, tap=look)
        return bad[0] if bad else "the loss"


def evaluate(
    net: Network, x: Array, y: Array, loss: Loss, batch_size: int = 100
) -> tuple[float, float]:
    """Return the mean loss and the accuracy (a fraction) of a network on data.

    Parameters
    ----------
    net : Network
    x, y : arrays of equal length
    loss : Loss
    batch_size : int, default 100

    Raises
    ------
    ValueError
        If there is no example.
    """
    mean = _Mean()
    with np.errstate(over="ignore", invalid="ignore"):
        for batch in Batches(x, y, batch_size, shuffle=False):
            prediction = net.forward(batch[0])
            value, _ = loss(prediction, batch[1])
            mean.add(value, accuracy(prediction, batch[1]), len(batch[0]))
    return mean.values


def accuracy(prediction: Array, target: Array) -> float:
    """Return the share of rows whose largest entry is the target's; NaN if there are no classes.

    Parameters
    ----------
    prediction : array of shape (N, C)
    target : integer labels of shape (N,), or rows of shape (N, C)
    """
    if prediction.ndim != 2 or target.shape not in (prediction.shape, prediction.shape[:1]):
        return math.nan
    if target.ndim == 2:
        target = target.argmax(axis=1)
    if target.dtype.kind not in "iu" or prediction.shape[1] < 2:
        return math.nan
    return float((prediction.argmax(axis=1) == target).mean())


class _Mean:
    """The running mean of loss and accuracy, weighted with the size of each batch."""

    def __init__(self) -> None:
        self.loss = self.hits = 0.0
        self.count = 0

    def add(self, loss: float, accuracy: float, count: int) -> None:
        self.loss += loss * count
        self.hits += accuracy * count
        self.count += count

    @property
    def values(self) -> tuple[float, float]:
        return self.loss / self.count, self.hits / self.count


class _Progress:
    """A bar on a terminal, with loss, accuracy, pictures per second and time left."""

    def __init__(self, wanted: bool | None, steps: int) -> None:
        shown = sys.stderr.isatty() if wanted is None else wanted
        self.bar: Any = None
        if shown:
            from tqdm import tqdm

            self.bar = tqdm(total=steps, unit="step", dynamic_ncols=True)

    def start(self, title: str) -> None:
        if self.bar is not None:
            first = self.bar.n == 0
            self.bar.set_description(f"{title} (compiling kernels)" if first else title)
            self.title = title

    def advance(self, mean: _Mean, pictures_per_s: float) -> None:
        if self.bar is None:
            return
        loss, accuracy = mean.values
        hits = "" if math.isnan(accuracy) else f"accuracy {accuracy:.3f}, "
        self.bar.set_description(self.title, refresh=False)
        self.bar.set_postfix_str(f"loss {loss:.3f}, {hits}{pictures_per_s:.0f} pictures/s", False)
        self.bar.update()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.close()
