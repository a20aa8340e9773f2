"""The confusion matrix: which class each class was predicted as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from elunet.plots._canvas import File, canvas, finish, labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOM_FOR_NUMBERS = 20  # classes


def confusion(
    prediction: Any,
    target: Any,
    classes: Sequence[str] | None = None,
    percent: bool = False,
    file: File = None,
    title: str = "",
) -> Figure:
    """Draw how often each true class (row) was predicted as each class (column).

    The colors show each row's shares, even if the cells show counts, so that a frequent class does
    not dominate. With more than 20 classes the cells have no numbers.

    Parameters
    ----------
    prediction : array (N,) of integers or (N, C) of scores
        Labels, or logits or probabilities, of which the largest counts. Images with a NaN among
        their scores are in an extra last column "NaN", if there are any.
    target : array (N,) of integers or (N, C), one-hot
    classes : sequence of str, optional
        Names of the C classes, by default their numbers, as many as the arrays contain.
    percent : bool, default False
        Whether the cells show percent of the row instead of counts. In the row of a class that
        does not occur they show "-".
    file : path, optional
        Where to save the figure; the ending tells the format.
    title : str
        By default the accuracy and the number of images.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        If the arrays have other shapes or dtypes, are empty or of different lengths, or a label is
        none of the classes; the index is named.

    Examples
    --------
    >>> import elunet as eln
    >>> figure = eln.plots.confusion([0, 1, 1], [0, 0, 1], ["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1', '1', '0', '1']
    """
    scores = np.asarray(prediction)
    lost = np.isnan(scores).any(axis=1) if scores.ndim == 2 and scores.dtype.kind == "f" else None
    names = None if classes is None else [str(name) for name in classes]
    count = None if names is None else len(names)
    predicted = labels("confusion", "prediction", prediction, count)
    true = labels("confusion", "target", target, count)
    rows = np.asarray(target)
    if rows.ndim == 2 and not (((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all()):
        raise ValueError(
            "confusion: expected target as labels or one-hot rows, got other rows; the prediction"
            " comes first: confusion(prediction, target)"
        )
    if len(predicted) != len(true) or not len(true):
        raise ValueError(
            "confusion: expected prediction and target of the same length, at least 1, got"
            f" {len(predicted)} and {len(true)}"
        )
    if names is None:
        widths = [a.shape[1] for a in map(np.asarray, (prediction, target)) if a.ndim == 2]
        most = max(int(predicted.max()), int(true.max())) + 1
        names = [str(label) for label in range(max([most, *widths]))]
    columns = list(names)
    if lost is not None and lost.any():
        predicted = np.where(lost, len(names), predicted)
        columns.append("NaN")
    counts = np.zeros((len(names), len(columns)), int)
    np.add.at(counts, (true, predicted), 1)
    accuracy = 100 * np.trace(counts) / len(true)
    title = title or f"{accuracy:.1f} % of {len(true)} right"
    return finish(_draw(counts, names, columns, percent), title, file)


def _draw(counts: Any, names: list[str], columns: list[str], percent: bool) -> Figure:
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    roomy = len(names) <= ROOM_FOR_NUMBERS
    side = max(3.0, 0.5 * min(len(names), ROOM_FOR_NUMBERS) + 1.4)
    figure = canvas(side + 0.9, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), number in np.ndenumerate(counts if roomy else np.empty((0, 0))):
        text = str(number)
        if percent:
            text = f"{100 * shares[row, column]:.0f}" if total[row] else "-"
        ink = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)
    size: dict[str, Any] = {} if len(names) <= 2 * ROOM_FOR_NUMBERS else {"fontsize": 5}
    turned: dict[str, Any] = {} if roomy else {"rotation": 90}
    if max(map(len, columns)) > 3:
        turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(columns)), columns, **turned, **size)
    axes.set_yticks(range(len(names)), names, **size)
    axes.set(xlabel="Predicted", ylabel="True")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.02, ticks=(0, 0.25, 0.5, 0.75, 1))
    bar.ax.set_yticklabels(["0", "25", "50", "75", "100"])
    bar.set_label("Share of the row (%)", fontsize=9)
    return figure
