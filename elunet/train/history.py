"""The history of a run: one row per epoch, as a list and as a CSV file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import SupportsIndex, overload

from elunet import _display
from elunet.storage import tables


@dataclass(frozen=True)
class Epoch:
    """One row of a history.

    Attributes
    ----------
    epoch, step : int
        Epochs and steps completed.
    learning_rate : float
        Of the epoch's first step.
    train_loss, train_accuracy : float
        Means over the pass, while the weights changed. Accuracies are fractions.
    validation_loss, validation_accuracy : float
        After the pass; NaN without validation data.
    penalty : float
        The optimizer's L1 and L2 terms after the pass; no part of the losses.
    seconds : float
        Time of the pass, without the validation.
    images_per_s : float
        Training images per second of it.
    spikes : int
        Steps of the pass whose loss jumped, as `elunet.train.Spikes` defines it.

    Examples
    --------
    >>> import elunet as eln
    >>> row = eln.Epoch(1, 500, 0.1, 1.61, 0.4, 1.23, 0.55, 0.6, 80.0, 625.0)
    >>> row.validation_accuracy, row.spikes
    (0.55, 0)
    """

    epoch: int
    step: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    penalty: float
    seconds: float
    images_per_s: float
    spikes: int = 0


COLUMNS = tables.columns(Epoch)


class History(list[Epoch]):
    """The epochs of a run, in order.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.History().column("train_loss")
    []
    """

    @overload
    def __getitem__(self, index: SupportsIndex) -> Epoch: ...
    @overload
    def __getitem__(self, index: slice) -> History: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Epoch | History:
        """Return one row, or a history of some."""
        rows = super().__getitem__(index)
        return History(rows) if isinstance(rows, list) else rows

    def __str__(self) -> str:
        """Return a table, a line for each epoch."""
        return _display.history_text(self) if self else "no epoch yet"

    def _repr_html_(self) -> str:
        return _display.history(self)

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
        """Write all rows to a file, atomically; numbers read back the same."""
        tables.write(file, Epoch, self)

    def to_text(self) -> str:
        """Return the content of the file that `to_csv` writes."""
        return tables.to_text(Epoch, self)

    @classmethod
    def from_csv(cls, file: str | os.PathLike[str]) -> History:
        """Read a file of `to_csv` or `HistoryFile`.

        Without the last column, "spikes", which the first version did not write, it counts 0.

        Raises
        ------
        ValueError
            If the columns are others, or a cell is not a number.
        OSError
            If the file cannot be read.
        """
        return cls(tables.read("History", file, Epoch))

    @classmethod
    def from_text(cls, text: str, name: str = "the text") -> History:
        """Read what `to_text` returned; `name` stands for it in an error's message."""
        return cls(tables.from_text("History", name, Epoch, text))
