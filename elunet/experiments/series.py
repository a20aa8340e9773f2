"""A series: several recipes on the same data, each trained with several seeds, in one folder.

It measures the effect of a change to a recipe. The same call resumes an interrupted run, and does
not repeat a finished one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elunet._checks import integer
from elunet.experiments.recipes import Recipe
from elunet.experiments.statistics import t_interval
from elunet.storage import tables
from elunet.train import Data, Job
from elunet.train.guards import DivergenceError


@dataclass(frozen=True)
class SeriesRow:
    """One epoch of one run.

    Attributes
    ----------
    recipe : str
    seed, epoch : int
    train_loss, train_accuracy, test_loss, test_accuracy : float
        Accuracies are fractions. The losses of the epoch in which a run diverged are NaN.
    seconds : float or None
        Time of the epoch's training; None in the epoch in which a run diverged.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.experiments.SeriesRow("plain", 0, 1, 2.0, 0.25, 1.9, 0.3, 10.0).diverged
    False
    """

    recipe: str
    seed: int
    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float | None

    @property
    def diverged(self) -> bool:
        """Whether the run ended here, in a NaN or an infinity."""
        return math.isnan(self.train_loss)


def series(
    recipes: Mapping[str, Recipe],
    train: Data,
    test: Data,
    epochs: int,
    folder: str | os.PathLike[str],
    seeds: int = 1,
    log: Callable[[str], object] = print,
) -> list[SeriesRow]:
    """Train each recipe with each seed, and return all epochs of all runs.

    Parameters
    ----------
    recipes : dict of {str: Recipe}
        By names that can be those of folders. Each prepares the images itself.
    train, test : (x, y)
        uint8 images (N, H, W, C) and labels.
    epochs : int
    folder : path
        Where each run has a folder ``NAME-SEED``, and ``NAME-SEED.csv`` once it is finished.
        ``series.csv`` has all rows.
    seeds : int, default 1
        Runs of each recipe, with seeds 0, 1 and so on.
    log : callable, default print
        Called with a line of text on how each run ended.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, or the folder has a run of other data or settings.
    OSError
        If a file cannot be written.

    Examples
    --------
    >>> import dataclasses
    >>> import elunet as eln
    >>> small = lambda seed: eln.models.small_cnn(widths=(2, 2, 2), seed=seed)
    >>> one = dataclasses.replace(eln.recipes.RECIPES["quick"], network=small)
    >>> two = dataclasses.replace(one, augment=None)
    >>> data = eln.data.make_shapes(100, seed=0), eln.data.make_shapes(50, seed=1)
    >>> rows = eln.experiments.series({"one": one, "two": two}, *data, 1, "series", log=str)
    >>> [(row.recipe, row.epoch) for row in rows]
    [('one', 1), ('two', 1)]
    """
    epochs, seeds = integer("series", "epochs", epochs), integer("series", "seeds", seeds)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    found: dict[tuple[str, int], list[SeriesRow]] = {}
    for seed in range(seeds):
        for name, recipe in recipes.items():
            file = place / f"{name}-{seed}.csv"
            if file.exists() and (rows := tables.read("series", file, SeriesRow)):
                if len(rows) != epochs and not rows[-1].diverged:
                    raise ValueError(
                        f"series: expected {epochs} epochs in {file}, got {len(rows)}; use another"
                        " folder"
                    )
            else:
                rows = _run(recipe, name, seed, (train, test), epochs, place / f"{name}-{seed}")
                tables.write(file, SeriesRow, rows)
                log(f"{name}, seed {seed}: {_words(rows[-1])}")
            found[name, seed] = rows
    order = [row for name in recipes for seed in range(seeds) for row in found[name, seed]]
    tables.write(place / "series.csv", SeriesRow, order)
    return order


def series_table(rows: list[SeriesRow], epoch: int | None = None) -> str:
    """Return a Markdown table: mean and 95 % t-interval over seeds, in percent except the loss.

    Parameters
    ----------
    rows : list of SeriesRow
        What `series` returned.
    epoch : int, optional
        After which epoch; the last by default.

    Examples
    --------
    >>> import elunet as eln
    >>> row = eln.experiments.SeriesRow("plain", 0, 1, 2.0, 0.25, 1.9, 0.3, 10.0)
    >>> print(eln.experiments.series_table([row]))
    | recipe | train loss | train accuracy | test accuracy |
    |---|---|---|---|
    | plain | 2.000 | 25.0 | 30.0 |
    """
    lines = ["| recipe | train loss | train accuracy | test accuracy |", "|---|---|---|---|"]
    last = max(row.epoch for row in rows) if epoch is None else epoch
    for name in dict.fromkeys(row.recipe for row in rows):
        mine = [row for row in rows if row.recipe == name]
        whole = [row for row in mine if row.epoch == last and not row.diverged]
        broken = sum(row.diverged and row.epoch <= last for row in mine)
        note = f" ({broken} of {broken + len(whole)} diverged)" if broken else ""
        cells = ["", "", ""]
        if whole:
            cells = [
                _mean([row.train_loss for row in whole], 3),
                _mean([100 * row.train_accuracy for row in whole], 1),
                _mean([100 * row.test_accuracy for row in whole], 1),
            ]
        lines.append(f"| {name}{note} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _run(
    recipe: Recipe, name: str, seed: int, data: tuple[Data, Data], epochs: int, folder: Path
) -> list[SeriesRow]:
    """Train one recipe, or the rest of it."""
    job = Job(folder, log=lambda text: None)
    if job.is_in(folder):
        job.resume(folder)
    job.prepare()
    trainer = recipe.trainer(len(data[0][0]), epochs, seed, progress=False, settings={"name": name})
    diverged = []
    try:
        job.train(trainer, *recipe.prepared(*data), epochs)
    except DivergenceError:
        nan = math.nan
        end = SeriesRow(name, seed, len(trainer.history) + 1, nan, nan, nan, nan, None)
        diverged.append(end)
    columns = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "seconds")
    return [
        SeriesRow(name, seed, row.epoch, *(getattr(row, column) for column in columns))
        for row in trainer.history
    ] + diverged


def _words(last: SeriesRow) -> str:
    if last.diverged:
        return f"diverged in epoch {last.epoch}"
    return f"train loss {last.train_loss:.4f}, test accuracy {100 * last.test_accuracy:.2f} %"


def _mean(values: list[float], digits: int) -> str:
    """Return the mean and, if there are several values, half the width of its interval."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    mean, half = t_interval(values)
    return f"{np.round(mean, digits):.{digits}f} ± {half:.{digits}f}"
