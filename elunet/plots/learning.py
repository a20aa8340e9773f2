"""Learning curves: of one run, or of several learning rules with confidence bands over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from elunet._checks import choice
from elunet._types import Array
from elunet.experiments.statistics import t_quantile
from elunet.plots._canvas import (
    BLUE,
    VERMILION,
    File,
    canvas,
    finish,
    light_grid,
    some_markers,
    style,
    whole_numbers,
)
from elunet.train.history import COLUMNS, Epoch, History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def curves(
    history: History, file: File = None, title: str = "", validation: str = "validation"
) -> Figure:
    """Draw loss and accuracy over the epochs, for training and validation.

    A history without accuracies, as of a regression, has a panel for the loss only.

    Parameters
    ----------
    history : History
    file : path, optional
        Where to save the figure; the ending tells the format.
    title : str
    validation : str, default "validation"
        The name of the second split.

    Returns
    -------
    matplotlib.figure.Figure
        It has 1000 x 420 pixels when saved as PNG, or 560 x 420 with one panel.

    Raises
    ------
    ValueError
        If the history is empty.

    Examples
    --------
    >>> import elunet as eln
    >>> history = eln.History([eln.Epoch(1, 9, 0.1, 2.0, 0.2, 1.9, 0.3, 0, 1.0, 100.0)])
    >>> eln.plots.curves(history).axes[1].get_title()
    'last epoch: 30.00 % validation'
    """
    if not history:
        raise ValueError("curves: expected a history of at least one epoch, got none")
    found = [history.column(f"{split}_accuracy") for split in ("train", "validation")]
    panels = [("loss", 1.0, "Loss")]
    panels += [("accuracy", 100.0, "Accuracy (%)")] if np.isfinite(found).any() else []
    figure = canvas(10 if len(panels) > 1 else 5.6, 4.2)
    places = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (column, scale, label) in zip(places, panels, strict=True):
        _panel(axes, history, column, scale, validation)
        axes.set_ylabel(label)
    last = history[-1].validation_accuracy
    if np.isfinite(last):
        accuracy = places[1]
        accuracy.axhline(100 * last, color=VERMILION, linewidth=0.8, linestyle=":")
        accuracy.set_title(f"last epoch: {100 * last:.2f} % {validation}", fontsize=10)
    return finish(figure, title, file)


def _panel(axes: Axes, history: History, column: str, scale: float, validation: str) -> None:
    epochs = history.column("epoch")
    styles = (
        ("train", "training (running mean)", BLUE, "o", "-"),
        ("validation", validation, VERMILION, "s", "--"),
    )
    for split, label, color, marker, line in styles:
        values = scale * np.asarray(history.column(f"{split}_{column}"))
        if np.isfinite(values).any():
            shape = marker if len(epochs) <= 40 else ""
            axes.plot(epochs, values, line, color=color, marker=shape, markersize=5, label=label)
    axes.set_xlabel("Epoch")
    whole_numbers(axes)
    light_grid(axes)
    axes.legend(frameon=False)


def compare_curves(
    runs: Mapping[str, History | Iterable[History]],
    column: str = "validation_accuracy",
    file: File = None,
    title: str = "",
    label: str = "",
) -> Figure:
    """Draw the learning curves of several groups of runs, each as a mean over seeds with a band.

    The band is the 95 % t-interval of the mean, ``mean +- t(n - 1) s / sqrt(n)``, for each epoch,
    if there are at least two seeds. The mean of many more seeds would lie in it, if runs are
    normally distributed; single runs need not. If runs are paired by their seed, bands may overlap
    although the difference is significant.

    Where a run has no finite value, because it stopped or diverged, a mean of the others would be
    too good: there the remaining runs are drawn one by one, as thin lines.

    Parameters
    ----------
    runs : dict of str to History or to several
        ``{"backprop": [history, history, ...]}``, one history per seed.
    column : str, default "validation_accuracy"
        A column of `History`. Accuracies are drawn in percent.
    file : path, optional
        Where to save the figure; the ending tells the format.
    title : str
    label : str
        The label of the vertical axis, by default made from `column`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        If `runs` is not such a dictionary.
    ValueError
        If there is no such column, no run, or a history that is empty or has an epoch twice.

    Examples
    --------
    >>> import elunet as eln
    >>> seeds = [eln.History([eln.Epoch(1, 9, 0.1, 2, 0.2, 2, p, 0, 1, 1)]) for p in (0.1, 0.3)]
    >>> figure = eln.plots.compare_curves({"backprop": seeds})
    >>> figure.axes[0].lines[0].get_ydata()
    array([20.])
    """
    groups = _groups(runs)
    choice("compare_curves", "column", column, COLUMNS)
    percent = column.endswith("accuracy")
    figure = canvas(8, 4.2)
    axes = figure.subplots()
    for place, (name, histories) in enumerate(groups.items()):
        epochs, values = _table(histories, column)
        values *= 100 if percent else 1
        _mean_and_band(axes, place, name, epochs, values)
    words = column.replace("_", " ")
    axes.set_ylabel(label or words.capitalize() + (" (%)" if percent else ""))
    axes.set_xlabel("Epoch")
    whole_numbers(axes)
    light_grid(axes)
    if percent:  # a band of few seeds may be much wider
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -3), min(high, 103))
    several = any(len(histories) > 1 for histories in groups.values())
    axes.legend(
        bbox_to_anchor=(1.01, 1),
        loc="upper left",
        frameon=False,
        handlelength=4,
        title="mean, 95 % t-interval" if several else None,
        alignment="left",
    )
    return finish(figure, title, file)


def _mean_and_band(axes: Axes, place: int, name: str, epochs: Array, values: Array) -> None:
    """Draw values (seeds, epochs), NaN where there is none."""
    n = len(values)
    whole = np.asarray(np.isfinite(values).all(axis=0))
    mean = values.mean(axis=0)
    look = style(place)
    cut = int((~np.isfinite(values)).any(axis=1).sum())
    text = f"{name} (n = {n}{f', {cut} incomplete' if cut else ''})"
    every = some_markers(place, len(epochs))
    axes.plot(epochs, mean, label=text, **look, markersize=5, markevery=every, zorder=3)
    if n > 1:
        half = t_quantile(n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
        band = {"color": look["color"], "linewidth": 0.5, "zorder": 2}
        axes.fill_between(epochs, mean - half, mean + half, alpha=0.18, **band)
    if not whole.all():
        gap = ~whole
        gap[1:] |= ~whole[:-1]  # and the ends, so that lines continue from the mean's
        gap[:-1] |= ~whole[1:]
        for row in values:
            axes.plot(epochs, np.where(gap, row, np.nan), color=look["color"], linewidth=0.7)


def _table(histories: list[History], column: str) -> tuple[Array, Array]:
    """Return all epochs (E,) and a column's values (runs, E), NaN where a run has none."""
    epochs = np.unique([row.epoch for history in histories for row in history])
    values = np.full((len(histories), len(epochs)), np.nan)
    for row, history in zip(values, histories, strict=True):
        row[np.searchsorted(epochs, history.column("epoch"))] = history.column(column)
    values[~np.isfinite(values)] = np.nan
    return epochs, values


def _groups(runs: Mapping[str, History | Iterable[History]]) -> dict[str, list[History]]:
    """Return the runs with a list of histories each, after checking them."""
    if not isinstance(runs, Mapping):
        raise TypeError(
            'compare_curves: expected runs as {"name": [History, ...]}, got ' + type(runs).__name__
        )
    groups = {
        str(name): [group] if isinstance(group, History) else list(group)
        for name, group in runs.items()
    }
    if not groups:
        raise ValueError("compare_curves: expected runs of at least one kind, got none")
    for name, histories in groups.items():
        if not histories:
            raise ValueError(f"compare_curves: expected at least one run of {name!r}, got none")
        for history in histories:
            if not isinstance(history, History) or not all(isinstance(e, Epoch) for e in history):
                raise TypeError(
                    f"compare_curves: expected each run of {name!r} as a History, got"
                    f" {type(history).__name__}"
                )
            epochs = history.column("epoch")
            if not epochs or len(set(epochs)) < len(epochs):
                raise ValueError(
                    f"compare_curves: expected each run of {name!r} with at least one epoch"
                    f" and no epoch twice, got epochs {epochs}"
                )
    return groups
