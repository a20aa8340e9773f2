"""The training loop.

`Trainer.fit` is the loop that one would write by hand: forward, loss, router, optimizer, batch
after batch. Around it: a validation at the end of each epoch, a progress bar, callbacks, and a stop
that names the layer where a run turned into NaN.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from elunet._checks import integer
from elunet._types import Array, Seed
from elunet.data import Batches
from elunet.history import Epoch, History
from elunet.losses import Loss
from elunet.network import Network, Tap
from elunet.optim import Optimizer
from elunet.routers import Backprop, Router

Data = tuple[Array, Array]


class DivergenceError(RuntimeError):
    """A run with a NaN or an infinity in it.

    Attributes
    ----------
    step : int
        The optimizer's count of completed steps.
    where : str
        The first place, in forward order, that holds a NaN or an infinity: "conv3.W".
    """

    def __init__(self, step: int, where: str) -> None:
        super().__init__(
            f"Trainer: expected a finite loss and weights, got a NaN or an infinity after step"
            f" {step}, first in {where}. A smaller learning rate, or clip_norm, often helps."
        )
        self.step, self.where = step, where


class Callback:
    """What can be done at fixed points of a run; override what is needed."""

    def on_epoch_start(self, trainer: Trainer, epoch: int) -> None:
        """Before the first batch of an epoch, counted from 0."""

    def on_backward(self, trainer: Trainer, dy: Array, target: Array) -> Tap | None:
        """Before the rule's backward pass; a tap that it returns is shown the rule's signals.

        The forward pass is there to be gone back through, by another rule for instance; what that
        leaves in the gradients is overwritten.
        """
        return None

    def on_gradients(self, trainer: Trainer) -> None:
        """After the rule's backward pass, before the optimizer's step."""

    def on_step(self, trainer: Trainer, loss: float) -> None:
        """After each step; the gradients of the batch are still in the network."""

    def on_epoch_end(self, trainer: Trainer, row: Epoch) -> None:
        """After validation; `row` is the history's last."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """When `Trainer.fit` ends, in whatever way."""


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

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind than it should be.

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
        seed: Seed = 0,
        progress: bool | None = None,
    ) -> None:
        for name, value, kind in (
            ("net", net, Network),
            ("optimizer", optimizer, Optimizer),
            ("router", router, Router | None),
        ):
            if not isinstance(value, kind):
                wanted = getattr(kind, "__name__", "Router")
                raise TypeError(f"Trainer: expected {name} of type {wanted}, got {value!r}")
        if not callable(loss) or isinstance(loss, type):
            raise TypeError(f"Trainer: expected loss as a loss object, got {loss!r}")
        self.net, self.loss, self.optimizer = net, loss, optimizer
        self.router = Backprop() if router is None else router
        self.batch_size = integer("Trainer", "batch_size", batch_size)
        self.augment, self.seed = augment, seed
        self.callbacks = list(callbacks)
        self.progress = progress
        self.history = History()
        self._batches: Batches | None = None  # of the arrays in _data
        self._data: tuple[Any, Any] = (None, None)
        self._bar: Any = None

    def fit(
        self, train: Data | Batches, validation: Data | None = None, epochs: int = 1
    ) -> History:
        """Train for some epochs and return the history.

        A second call with the same array objects goes on where the first ended: `fit` of 1 epoch
        and then of 2 is `fit` of 3. With others, a new view of the same data among them, the order
        of the batches begins anew; keep `Batches` to go on then.

        Parameters
        ----------
        train : (x, y) or Batches
            `Batches` bring their own batch size, augmentation and seed.
        validation : (x, y), optional
            Looked at after each epoch.
        epochs : int, default 1

        Raises
        ------
        TypeError, ValueError
            If an argument is of another kind than it should be.
        DivergenceError
            If loss or weights are no longer finite; `history` holds the epochs before.
        """
        integer("Trainer.fit", "epochs", epochs)
        batches = self._batches_of(train)
        if validation is not None:
            _check_pair("validation", validation)
        total = len(self.history) + epochs
        with self._progress(len(batches) * epochs):
            try:
                while len(self.history) < total:
                    self._epoch(batches, validation, total)
            finally:
                for callback in self.callbacks:
                    callback.on_fit_end(self)
        return self.history

    def log(self, text: str) -> None:
        """Print a line, above the progress bar if there is one."""
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.write(text)

    def _batches_of(self, train: Data | Batches) -> Batches:
        """Return the training data as batches, the same ones for the same arrays."""
        if isinstance(train, Batches):
            if self.augment is not None:
                raise ValueError(
                    "Trainer.fit: expected augment in the Batches that were given, got it in the"
                    " Trainer"
                )
            return train
        _check_pair("train", train)
        x, y = train
        if self._batches is None or self._data[0] is not x or self._data[1] is not y:
            self._batches = Batches(x, y, self.batch_size, seed=self.seed, augment=self.augment)
            self._data = x, y
        return self._batches

    def _epoch(self, batches: Batches, validation: Data | None, total: int) -> None:
        epoch = len(self.history)
        self.optimizer.epoch = self.router.epoch = epoch
        for callback in self.callbacks:
            callback.on_epoch_start(self, epoch)
        learning_rate = self.optimizer.learning_rate()
        title = f"epoch {epoch + 1}/{total}"
        mean, begin = _Mean(), time.perf_counter()
        self._show(title + (" (compiling kernels)" if epoch == 0 else ""))
        for x, y in batches:
            mean.add(*self._step(x, y), len(x))
            self._show(title, mean, mean.count / (time.perf_counter() - begin))
        seconds = time.perf_counter() - begin
        self._check_weights()
        validated = (math.nan, math.nan)
        if validation is not None:
            validated = evaluate(self.net, *validation, self.loss, self.batch_size)
            if not math.isfinite(validated[0]):
                raise DivergenceError(self.optimizer.steps, "the validation loss")
        row = Epoch(
            epoch + 1,
            self.optimizer.steps,
            learning_rate,
            *mean.values,
            *validated,
            self.optimizer.penalty(self.net),
            seconds,
            mean.count / seconds,
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
                self._check_weights()
                raise DivergenceError(self.optimizer.steps, self._first_bad(x))
            taps = [callback.on_backward(self, dy, y) for callback in self.callbacks]
            self.router.backward(self.net, dy, y, _together(taps))
            for callback in self.callbacks:
                callback.on_gradients(self)
            self.optimizer.step(self.net, self.router)
        for callback in self.callbacks:
            callback.on_step(self, value)
        return value, accuracy(prediction, y)

    def _check_weights(self) -> None:
        """Raise a DivergenceError that names the first parameter with a NaN or an infinity."""
        for name, value in self.net.parameters().items():
            if not np.isfinite(value).all():
                raise DivergenceError(self.optimizer.steps, name)

    def _first_bad(self, x: Array) -> str:
        """Return the first place with a NaN or an infinity, from another pass on the same batch."""
        bad = np.argwhere(~np.isfinite(x))
        if len(bad):
            return f"the input batch, at index {tuple(bad[0].tolist())}"
        found: list[str] = []

        def look(name: str, y: Array) -> None:
            if not np.isfinite(y).all():
                found.append(f"{name}'s output")

        self.net.forward(x, tap=look)
        return found[0] if found else "the loss"

    @contextmanager
    def _progress(self, steps: int) -> Iterator[None]:
        """Show a bar while the block runs, if it is wanted or there is a terminal."""
        if not (sys.stderr.isatty() if self.progress is None else self.progress):
            yield
            return
        from tqdm import tqdm

        with tqdm(total=steps, unit="step", dynamic_ncols=True) as self._bar:
            try:
                yield
            finally:
                self._bar = None

    def _show(self, title: str, mean: _Mean | None = None, speed: float = 0.0) -> None:
        """Set the bar's text, and move it if there is a mean to show."""
        if self._bar is None:
            return
        self._bar.set_description(title, refresh=mean is None)
        if mean is not None:
            loss, hits = mean.values
            accuracy = "" if math.isnan(hits) else f"accuracy {hits:.3f}, "
            self._bar.set_postfix_str(f"loss {loss:.3f}, {accuracy}{speed:.0f} pictures/s", False)
            self._bar.update()


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


def _together(taps: Sequence[Tap | None]) -> Tap | None:
    """Return one tap that shows what it is shown to all of them, None if there are none."""
    given = [tap for tap in taps if tap is not None]

    def show(name: str, delta: Array) -> None:
        for tap in given:
            tap(name, delta)

    return show if given else None


def _check_pair(name: str, data: object) -> None:
    """Raise a TypeError unless `data` is (x, y)."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        kinds = "(x, y) or Batches" if name == "train" else "(x, y)"
        raise TypeError(f"Trainer.fit: expected {name} as {kinds}, got {type(data).__name__}")
