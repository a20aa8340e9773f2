"""The history of a run: one row per epoch, as a list and as a CSV file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, SupportsIndex, overload

from elunet.checkpoint import write_atomically


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
    pictures_per_s : float
        Training pictures per second of it.
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
    pictures_per_s: float


COLUMNS = tuple(field.name for field in fields(Epoch))


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
            history = cls()
            for row in reader:
                try:
                    cells = {name: kinds.get(name, float)(row[name]) for name in COLUMNS}
                except (TypeError, ValueError) as error:
                    raise ValueError(
                        f"History: expected numbers in line {reader.line_num} of {file}, got"
                        f" {list(row.values())}"
                    ) from error
                history.append(Epoch(**cells))
            return history
