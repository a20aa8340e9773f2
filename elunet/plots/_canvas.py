"""What all plots share: figures without a window, and line styles that do not rely on color.

The colors are Okabe and Ito's without yellow, which is hard to see on white. Colors, markers and
dashes repeat after different numbers of lines, so two lines of one color still differ.
"""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from elunet._checks import plain
from elunet._types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
COLORS = (BLUE, VERMILION, GREEN, PURPLE, "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vXPp"
DASHES: tuple[Any, ...] = (
    "-",
    "--",
    "-.",
    ":",
    (0, (5, 1)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (8, 2, 2, 2)),
    (0, (1, 1)),
)
GRAY = "#595959"
DOTS_PER_INCH = 100

File = str | os.PathLike[str] | None


def canvas(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, at 100 pixels per inch."""
    from elunet.plots._figure import ShownFigure

    return ShownFigure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")


def finish(figure: Figure, title: str, file: File) -> Figure:
    """Add the title and save the figure, if wanted."""
    if title:
        figure.suptitle(wrapped(title, figure.get_figwidth()), fontsize=11)
    if file is not None:
        figure.savefig(file)
    return figure


def wrapped(title: str, width: float) -> str:
    """Return a title in as many lines as a figure of this width in inches needs."""
    return "\n".join(textwrap.fill(line, max(20, int(11 * width))) for line in title.split("\n"))


def style(place: int) -> dict[str, Any]:
    """Return the color, marker and dashes of the line with this number."""
    return {
        "color": COLORS[place % len(COLORS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[place % len(DASHES)],
    }


def some_markers(place: int, points: int, wanted: int = 12) -> tuple[int, int]:
    """Return `markevery` for about as many markers as wanted, at different points for each line."""
    every = max(1, round(points / wanted))
    return (place * every // 3) % every, every


def light_grid(axes: Axes) -> None:
    """Give axes a light grid, and no frame above and to the right."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def whole_numbers(axes: Axes) -> None:
    """Put the ticks of the horizontal axis at integers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def labels(owner: str, name: str, value: Any, classes: int | None = None) -> Array:
    """Return integer labels (N,), from labels or from one row per class (N, C), one-hot or scores.

    Raises
    ------
    TypeError, ValueError
        If they are neither, or a label is negative or at least `classes`; the index is named.
    """
    array = plain(owner, name, value)
    if array.ndim == 2 and array.shape[1]:
        array = array.argmax(axis=1)
    if array.ndim != 1:
        raise ValueError(f"{owner}: expected {name} of shape (N,) or (N, C), got {array.shape}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{owner}: expected {name} as integers, got {array.dtype}")
    wrong = (array < 0) | (array >= (np.inf if classes is None else classes))
    if wrong.any():
        index = int(wrong.argmax())
        limit = "of at least 0" if classes is None else f"from 0 to {classes - 1}"
        raise ValueError(f"{owner}: expected {name} {limit}, got {array[index]} at index {index}")
    return array
