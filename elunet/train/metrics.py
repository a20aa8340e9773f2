"""Measures of predictions other than the loss, computed by a callback after each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from elunet._checks import plain
from elunet._types import Array
from elunet.train.callbacks import Callback
from elunet.train.history import Epoch

if TYPE_CHECKING:
    from elunet.train import Trainer

Measure = Callable[[Array, Array], float]


def rmse(prediction: Array, target: Array) -> float:
    """Return the root mean squared error, in the target's units.

    Parameters
    ----------
    prediction, target : arrays of one shape
        A target (N,) for predictions (N, 1) is good, too.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> round(rmse(np.array([1.0, 2.0]), np.array([1.0, 4.0])), 4)
    1.4142
    """
    x, t = _pair("rmse", prediction, target)
    return math.sqrt(float(np.square(x - t).mean()))


def r2(prediction: Array, target: Array) -> float:
    """Return the share of the target's variance that the prediction explains.

    ``1 - sum((x - t)^2) / sum((t - mean(t))^2)``: 1 is perfect, 0 is what the mean would get, and
    there is no lower bound. Of several columns, the mean of theirs. A column that does not vary
    counts 1 where it is met exactly, else 0.

    Parameters
    ----------
    prediction, target : arrays of one shape, (N,) or (N, ...)
        A target (N,) for predictions (N, 1) is good, too.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> round(r2(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])), 4)
    0.7857
    """
    x, t = _pair("r2", prediction, target)
    x, t = x.reshape(len(x), -1), t.reshape(len(t), -1)
    left = np.square(x - t).sum(axis=0)
    there = np.square(t - t.mean(axis=0)).sum(axis=0)
    share = np.where(there > 0, left / np.where(there > 0, there, 1), np.where(left > 0, 1, 0))
    return float(np.mean(1 - share))


class Metrics(Callback):
    """Measures the predictions of the validation data after each epoch.

    It makes a prediction of its own for them, beside the one for the history's loss.

    Parameters
    ----------
    batch_size : int, default 100
        Of the predictions.
    measures : callables, by name
        ``measure(prediction, target) -> float``, such as `r2` and `rmse`.

    Attributes
    ----------
    rows : list of {name: float}
        One for each epoch, as in the history.

    Raises
    ------
    ValueError
        At the start of `fit`, if there are no validation data.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> x = np.arange(4, dtype=np.float32)[:, None]
    >>> net = eln.Sequential([eln.layers.Linear(1, 1, init=eln.init.Constant(1))])
    >>> metrics = eln.train.Metrics(r2=eln.train.r2, rmse=eln.train.rmse)
    >>> loss, optimizer = eln.losses.MeanSquaredError(), eln.optim.SGD(0.0)
    >>> trainer = eln.Trainer(net, loss, optimizer, callbacks=[metrics])
    >>> history = trainer.fit((x, x), (x, x), epochs=1)
    >>> metrics.rows
    [{'r2': 1.0, 'rmse': 0.0}]
    """

    def __init__(self, batch_size: int = 100, **measures: Measure) -> None:
        self.batch_size, self.measures = batch_size, measures
        self.rows: list[dict[str, float]] = []

    def on_fit_start(self, trainer: Trainer) -> None:
        """Check that there are validation data."""
        if trainer.validation is None:
            raise ValueError("Metrics: expected validation data in fit, got none")

    def on_epoch_end(self, trainer: Trainer, row: Epoch) -> None:
        """Compute the measures."""
        if trainer.validation is None:  # on_fit_start has refused that
            return
        x, y = trainer.validation
        prediction = trainer.net.predict(x, batch_size=self.batch_size)
        self.rows.append({n: float(measure(prediction, y)) for n, measure in self.measures.items()})

    def state(self) -> Any:
        """Return the rows so far; numbers that are not finite are strings."""
        return [
            {name: value if math.isfinite(value) else repr(value) for name, value in row.items()}
            for row in self.rows
        ]

    def restore(self, state: Any) -> None:
        """Go back to a `state`; raise an error and change nothing if it is not one."""
        if not all(isinstance(row, Mapping) for row in state):
            raise TypeError("Metrics.restore: expected rows of measures")
        self.rows = [{name: float(value) for name, value in row.items()} for row in state]


def _pair(owner: str, prediction: Array, target: Array) -> tuple[Array, Array]:
    x, t = plain(owner, "prediction", prediction), plain(owner, "target", target)
    if t.shape == x.shape[:1] and x.shape[1:] == (1,):
        t = t[:, None]
    if x.shape != t.shape or not x.size:
        raise ValueError(
            f"{owner}: expected prediction and target of one shape, got {x.shape} and {t.shape}"
        )
    return x.astype(np.float64), t.astype(np.float64)
