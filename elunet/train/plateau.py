"""Callbacks for a run that no longer improves: stop it, or lower the learning rate.

Both callbacks look at one number after each epoch, a column of the history or a measure of
`Metrics`. They remember its best value and for how many epochs it has not been bettered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from elunet._checks import choice, count, integer, number
from elunet.optim import Optimizer, PerLayer
from elunet.storage.weights import fitting, network_arrays
from elunet.train.callbacks import Callback
from elunet.train.history import Epoch
from elunet.train.metrics import Metrics

if TYPE_CHECKING:
    from elunet.train import Trainer

COLUMNS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
MODES = ("min", "max")


class _Plateau(Callback):
    """Counts the epochs since the best one."""

    def __init__(self, monitor: str, patience: int, min_delta: float, mode: str | None) -> None:
        owner = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f"{owner}: expected monitor as text, got {monitor!r}")
        if mode is None and monitor not in COLUMNS:
            raise ValueError(
                f"{owner}: expected monitor to be one of {COLUMNS}, or the name of a measure of"
                f" Metrics, with mode 'min' or 'max', got {monitor!r} without mode"
            )
        if mode is not None:
            choice(owner, "mode", mode, MODES)
        self.monitor = monitor
        self.mode = mode or ("min" if monitor.endswith("loss") else "max")
        self.patience = integer(owner, "patience", patience)
        self.min_delta = number(owner, "min_delta", min_delta, "[0, inf)")
        self.best: float | None = None
        self.best_epoch = self.waited = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Start again, unless this continues an interrupted `fit`."""
        if self.monitor.startswith("validation") and trainer.validation is None:
            raise ValueError(
                f"{type(self).__name__}: expected validation data in fit for {self.monitor!r}, got"
                " none"
            )
        if self.monitor not in COLUMNS:
            self._metrics(trainer)
        if trainer.position.begun == len(trainer.history):
            self._begin()

    def _begin(self) -> None:
        self.best, self.best_epoch, self.waited = None, 0, 0

    def _metrics(self, trainer: Trainer) -> Metrics:
        """Return the callback that computes the measure, before this one looks at it."""
        for callback in trainer.callbacks:
            if callback is self:
                break
            if isinstance(callback, Metrics) and self.monitor in callback.measures:
                return callback
        raise ValueError(
            f"{type(self).__name__}: expected Metrics with a measure {self.monitor!r} before it in"
            " the list of callbacks, got none"
        )

    def _see(self, trainer: Trainer, row: Epoch) -> bool:
        """Note an epoch; return whether it is the best so far. NaN never is."""
        if self.monitor in COLUMNS:
            value = float(getattr(row, self.monitor))
        else:
            value = self._metrics(trainer).rows[-1][self.monitor]
        sign = 1 if self.mode == "max" else -1
        gain = math.inf if self.best is None else sign * (value - self.best)
        if math.isfinite(value) and gain > self.min_delta:
            self.best, self.best_epoch, self.waited = value, row.epoch, 0
            return True
        self.waited += 1
        return False

    def state(self) -> dict[str, Any]:
        """Return the state."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def restore(self, state: Any) -> None:
        """Go back to a `state`; raise an error and change nothing if it is not one."""
        owner, best = f"{type(self).__name__}.restore", state["best"]
        best = None if best is None else number(owner, "best", best)
        best_epoch = count(owner, "best_epoch", state["best_epoch"])
        waited = count(owner, "waited", state["waited"])
        self.best, self.best_epoch, self.waited = best, best_epoch, waited


class EarlyStopping(_Plateau):
    """Ends `fit` when a loss, an accuracy or a measure has not become better for some epochs.

    Parameters
    ----------
    monitor : str, default "validation_loss"
        What is looked at: "validation_loss", "validation_accuracy", "train_loss", "train_accuracy"
        (the history's columns), or else the name of a measure of `Metrics`. The `Metrics` have to
        be before this callback in the list of callbacks.
    patience : int, default 10
        Ends after so many epochs in a row that are no better than the best.
    min_delta : float, default 0
        An epoch is better if it beats the best one by more than that.
    restore_best : bool, default False
        Whether weights and layers' states go back to those of the best epoch when `fit` is ended
        here. (If all epochs pass, they are the last epoch's. `Checkpoints` keep the best, too.)
    mode : {"min", "max"}, optional
        Whether the number has to fall or to rise. By default a loss has to fall, and an accuracy to
        rise; for a measure of `Metrics` it has to be given.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch : int
        Its epoch, counted from 1; 0 before the first.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range. At the start of `fit`, if there are no validation data to
        monitor, or no such measure.

    Notes
    -----
    A run that is cut and resumed ends where it would have ended. What `fit` is called for after it
    was ended here, or was complete, counts again.

    References
    ----------
    Prechelt, *Early Stopping: But When?*, 1998, 10.1007/3-540-49430-8_3.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> x, y = np.eye(4, dtype=np.float32), np.arange(4)
    >>> net = eln.Sequential([eln.layers.Linear(4, 4)], seed=0)
    >>> stopping = eln.EarlyStopping("train_loss", patience=2, min_delta=0.1)
    >>> loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(1e-3)
    >>> trainer = eln.Trainer(net, loss, optimizer, callbacks=[stopping])
    >>> history = trainer.fit((x, y), epochs=50)
    EarlyStopping: ended after epoch 3, because train_loss was best in epoch 1 (1.5756)
    >>> len(history)
    3
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best: bool = False,
        mode: str | None = None,
    ) -> None:
        super().__init__(monitor, patience, min_delta, mode)
        self.restore_best = restore_best
        self._weights: dict[str, Any] = {}

    def on_fit_start(self, trainer: Trainer) -> None:
        """Start again, or stop again if the interrupted run had been stopped."""
        super().on_fit_start(trainer)
        if self._weights:  # of a run that was resumed
            there = network_arrays(trainer.net)
            fitting("EarlyStopping", "the best weights", there, self._weights, cast=False)
        if self.waited >= self.patience:
            trainer.stop()

    def on_epoch_end(self, trainer: Trainer, row: Epoch) -> None:
        """Stop the trainer if there was no improvement for `patience` epochs."""
        if self._see(trainer, row) and self.restore_best:
            self._weights = {name: a.copy() for name, a in network_arrays(trainer.net).items()}
        if self.waited < self.patience:
            return
        if self._weights:
            for name, array in network_arrays(trainer.net).items():
                array[...] = self._weights[name]
        best = "never finite" if self.best is None else f"{self.best:.4f}"
        trainer.log(
            f"EarlyStopping: ended after epoch {row.epoch}, because {self.monitor} was best"
            " in epoch"
            f" {self.best_epoch} ({best})"
        )
        trainer.stop()

    def _begin(self) -> None:
        super()._begin()
        self._weights = {}

    def state(self) -> dict[str, Any]:
        """Return the state, with the best weights."""
        return {**super().state(), "weights": self._weights}

    def restore(self, state: Any) -> None:
        """Go back to a `state`; raise an error and change nothing if it is not one."""
        weights = state["weights"]
        if not isinstance(weights, Mapping) or not all(
            isinstance(array, np.ndarray) for array in weights.values()
        ):
            raise ValueError("EarlyStopping.restore: expected weights as arrays")
        super().restore(state)
        self._weights = dict(weights)


class ReduceOnPlateau(_Plateau):
    """Lowers the learning rate when a loss, an accuracy or a measure has not become better.

    Parameters
    ----------
    monitor : str, default "validation_loss"
        What is looked at: "validation_loss", "validation_accuracy", "train_loss", "train_accuracy"
        (the history's columns), or else the name of a measure of `Metrics`. The `Metrics` have to
        be before this callback in the list of callbacks.
    factor : float, default 0.1
        What the learning rate is multiplied by, in (0, 1). In a `PerLayer`, each part's.
    patience : int, default 10
        Lowers it after so many epochs in a row that are no better than the best (as Keras counts;
        PyTorch waits one more).
    min_delta : float, default 0
        An epoch is better if it beats the best one by more than that.
    cooldown : int, default 0
        Epochs after a reduction that are not counted.
    min_lr : float, default 0
        The learning rate never falls below.
    mode : {"min", "max"}, optional
        As in `EarlyStopping`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range. At the start of `fit`, if there are no validation data to
        monitor, or no such measure, or the learning rate is a schedule, which decides by itself.

    Notes
    -----
    A run that is cut and resumed has the learning rate that it would have had, bit for bit. What
    `fit` is called for after it was complete counts again, from the learning rate reached.

    Examples
    --------
    >>> import elunet as eln
    >>> callbacks = [eln.ReduceOnPlateau(factor=0.5, patience=3)]  # for a Trainer

    With a measure of the validation data:

    >>> metrics = eln.train.Metrics(r2=eln.train.r2)
    >>> callbacks = [metrics, eln.ReduceOnPlateau("r2", mode="max")]
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 0.0,
        cooldown: int = 0,
        min_lr: float = 0.0,
        mode: str | None = None,
    ) -> None:
        super().__init__(monitor, patience, min_delta, mode)
        self.factor = number("ReduceOnPlateau", "factor", factor, "(0, 1)")
        self.cooldown = integer("ReduceOnPlateau", "cooldown", cooldown, 0)
        self.min_lr = number("ReduceOnPlateau", "min_lr", min_lr, "[0, inf)")
        self.cooling = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Start again, unless this continues an interrupted `fit`."""
        super().on_fit_start(trainer)
        for part in _parts(trainer.optimizer):
            if callable(part.lr):
                raise ValueError(
                    f"ReduceOnPlateau: expected a number as learning rate, got {part.lr!r}"
                )

    def on_epoch_end(self, trainer: Trainer, row: Epoch) -> None:
        """Lower the learning rate if there was no improvement for `patience` epochs."""
        better = self._see(trainer, row)
        if self.cooling:
            self.cooling -= 1
            self.waited = 0
        if better or self.waited < self.patience:
            return
        self.waited, self.cooling = 0, self.cooldown
        for part in _parts(trainer.optimizer):
            part.lr = max(part.learning_rate() * self.factor, min(self.min_lr, part.lr))
        rate = trainer.optimizer.learning_rate()
        trainer.log(f"ReduceOnPlateau: learning rate {rate:.4g} after epoch {row.epoch}")

    def _begin(self) -> None:
        super()._begin()
        self.cooling = 0

    def state(self) -> dict[str, Any]:
        """Return the state."""
        return {**super().state(), "cooling": self.cooling}

    def restore(self, state: Any) -> None:
        """Go back to a `state`; raise an error and change nothing if it is not one."""
        cooling = count("ReduceOnPlateau.restore", "cooling", state["cooling"])
        super().restore(state)
        self.cooling = cooling


def _parts(optimizer: Optimizer) -> list[Any]:
    """Return the optimizers that have a learning rate of their own, each once."""
    if not isinstance(optimizer, PerLayer):
        return [optimizer]
    return list({id(part): part for part in optimizer.optimizers.values()}.values())
