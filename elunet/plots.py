"""Pictures of a run. Colors and markers are told apart without color vision and in gray."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from elunet.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN, VALIDATION = "#0072B2", "#D55E00"  # blue and vermilion of Okabe and Ito's palette


def curves(
    history: History,
    file: str | os.PathLike[str] | None = None,
    title: str = "",
    validation: str = "validation",
) -> Figure:
    """Draw loss and accuracy over the epochs, for training and validation.

    Parameters
    ----------
    history : History
    file : path, optional
        Where to save the picture; the ending tells the format.
    title : str
    validation : str, default "validation"
        What to call the second split.

    Returns
    -------
    matplotlib.figure.Figure
        Of 1000 x 420 pixels when saved as PNG. A notebook shows it as it is.

    Raises
    ------
    ValueError
        If the history is empty.
    """
    from matplotlib.figure import Figure

    if not history:
        raise ValueError("curves: expected a history of at least one epoch, got none")
    figure = Figure(figsize=(10, 4.2), dpi=100, layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    panels = ((loss, "loss", 1.0, "Loss"), (accuracy, "accuracy", 100.0, "Accuracy (%)"))
    for axes, column, scale, label in panels:
        _panel(axes, history, column, scale, validation)
        axes.set_ylabel(label)
    last = history[-1].validation_accuracy
    if np.isfinite(last):
        accuracy.axhline(100 * last, color=VALIDATION, linewidth=0.8, linestyle=":")
        accuracy.set_title(f"last epoch: {100 * last:.2f} % {validation}", fontsize=10)
    if title:
        figure.suptitle(title, fontsize=11)
    if file is not None:
        figure.savefig(file)
    return figure


def _panel(axes: Axes, history: History, column: str, scale: float, validation: str) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = history.column("epoch")
    styles = (
        ("train", "training (running mean)", TRAIN, "o", "-"),
        ("validation", validation, VALIDATION, "s", "--"),
    )
    for split, label, color, marker, line in styles:
        values = scale * np.asarray(history.column(f"{split}_{column}"))
        if np.isfinite(values).any():
            shape = marker if len(epochs) <= 40 else ""
            axes.plot(epochs, values, line, color=color, marker=shape, markersize=5, label=label)
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
