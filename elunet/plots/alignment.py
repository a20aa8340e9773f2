"""The angle between a learning rule's gradient and backpropagation's, over layers and time.

Below 90 degrees a rule goes downhill, above 90 uphill. Inside the null band, near 90 degrees, its
angle is one that random matrices give by chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from elunet._checks import choice, number
from elunet.experiments.alignment import QUANTITIES, Alignment
from elunet.plots._canvas import GRAY, File, canvas, finish, light_grid, some_markers, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Iterable[Alignment]

BETWEEN = {
    "gradient": "Angle to backprop's\ngradient (degrees)",
    "delta": "Angle to backprop's\nsignal (degrees)",
    "image": "Angle to backprop's\nsignal, per image (degrees)",
    "weight": "Angle between\nB and W (degrees)",
}
MEANINGLESS, NOT_MEASURED = "no angle: a norm is 0", "not measured"
ROOM_FOR_NUMBERS = 16  # columns
EXACT = 1.0  # degrees: a lower null band belongs to a layer that no random matrix affects


def angles(
    rows: Rows,
    quantity: str = "gradient",
    file: File = None,
    title: str = "",
    span: float = 90.0,
) -> Figure:
    """Draw angles as a heat map: layers from top to bottom, measured steps from left to right.

    Blue is below 90 degrees (the rule goes downhill, or B points towards W), white is 90, red is
    above. A dot marks an angle inside its null band, a cross an angle above it, so that the two
    sides differ in gray as well. Layers that are exact for any random matrices, such as the output
    layer, have no band. With up to 16 columns the cells show their numbers. Steps are drawn at
    equal distances, even if they are not equally spaced.

    Parameters
    ----------
    rows : iterable of elunet.experiments.Alignment
        The rows of one run.
    quantity : "gradient", "delta", "image" or "weight", default "gradient"
        Rows of other quantities are left out.
    file : path, optional
        Where to save the figure; the ending tells the format.
    title : str
    span : float, default 90
        Degrees from 90 to the deepest colors, at most 90; a smaller span shows smaller differences.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        If a row is no `Alignment`, or `span` no number.
    ValueError
        If the quantity is unknown or in no row, `span` is out of range, or a layer was measured
        twice at one step, as in rows of two runs.

    Examples
    --------
    >>> import elunet as eln
    >>> from elunet.experiments import Alignment
    >>> row = Alignment(0, 0, "conv1", "gradient", 85.0, 1.0, 88.0, 92.0)
    >>> eln.plots.angles([row]).axes[0].get_yticklabels()
    [Text(0, 0, 'conv1')]
    """
    span = number("angles", "span", span, "(0, 90]")
    chosen = _chosen("angles", rows, quantity)
    layers, steps, table = _grid("angles", chosen)
    values = np.array([[math.nan if row is None else row.angle for row in line] for line in table])
    figure = canvas(8.4, max(2.8, 1.7 + 0.3 * len(layers)))
    axes = figure.subplots()
    from matplotlib import colormaps

    colors = colormaps["RdBu_r"].with_extremes(bad="white")
    image = axes.imshow(values, cmap=colors, vmin=90 - span, vmax=90 + span, aspect="auto")
    bar = figure.colorbar(image, ax=axes, pad=0.015, extend="neither" if span == 90 else "both")
    bar.set_label(BETWEEN[quantity], fontsize=9)
    bar.set_ticks([90 + span * share for share in (-1, -0.5, 0, 0.5, 1)])
    handles = _marks(axes, table, 0.62 * span)
    axes.set_yticks(range(len(layers)), layers)
    shown = range(0, len(steps), max(1, math.ceil(len(steps) / 12)))
    axes.set_xticks(shown, [str(steps[i]) for i in shown])
    axes.set_xlabel("Step")
    axes.set_ylabel("Layer (first at the top)")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if handles:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9
        )
    return finish(figure, title, file)


def _marks(axes: Axes, table: Sequence[Sequence[Alignment | None]], dark: float) -> list[Any]:
    """Add numbers and marks: inside the null band, uphill, missing angles.

    Text is white from `dark` degrees off 90. Return the entries of the legend.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle

    columns = len(table[0])
    numbers = columns <= ROOM_FOR_NUMBERS
    right, up = (0.36, 0.3) if numbers else (0.0, 0.0)
    size = float(np.clip(480 / columns / 3, 1.5, 4))
    spots: dict[tuple[str, str], list[tuple[float, float]]] = {}
    hatched: dict[str, dict[str, Any]] = {
        MEANINGLESS: {"hatch": "////", "facecolor": "#D9D9D9", "edgecolor": GRAY},
        NOT_MEASURED: {"facecolor": "#A6A6A6", "edgecolor": "#A6A6A6"},
    }
    seen = set()
    for y, line in enumerate(table):
        for x, row in enumerate(line):
            if row is None or math.isnan(row.angle):
                kind = NOT_MEASURED if row is None else MEANINGLESS
                seen.add(kind)
                axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, lw=0, **hatched[kind]))
                continue
            ink = "white" if abs(row.angle - 90) > dark else "black"
            if numbers:
                axes.text(x, y, f"{row.angle:.0f}", ha="center", va="center", color=ink, size=8)
            if row.null_low <= row.angle <= row.null_high and row.null_high > EXACT:
                spots.setdefault(("o", ink), []).append((x + right, y - up))
            elif row.angle > (90 if math.isnan(row.null_high) else max(90, row.null_high)):
                spots.setdefault(("x", ink), []).append((x + right, y - up))
    for (marker, ink), places in spots.items():
        look: dict[str, Any] = {"color": ink, "marker": marker, "linestyle": "", "markersize": size}
        axes.plot(*zip(*places, strict=True), **look)
    words = {"o": "inside the null band", "x": "uphill: above 90 degrees and the band"}
    dots = [
        Line2D([], [], color="black", marker=marker, linestyle="", markersize=4, label=text)
        for marker, text in words.items()
        if any(key[0] == marker for key in spots)
    ]
    fields = [Patch(label=kind, lw=0, **hatched[kind]) for kind in hatched if kind in seen]
    return [*dots, *fields]


def angle_curves(
    rows: Rows | Mapping[str, Rows],
    quantity: str = "gradient",
    file: File = None,
    title: str = "",
) -> Figure:
    """Draw angles over the steps, one panel per layer, with the null band shaded.

    Parameters
    ----------
    rows : iterable of elunet.experiments.Alignment, or a dict of several
        The rows of one run, or ``{"FA": rows, "DFA": rows}`` for several runs; each band has its
        line's color.
    quantity : "gradient", "delta", "image" or "weight", default "gradient"
        Rows of other quantities are left out.
    file : path, optional
        Where to save the figure; the ending tells the format.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        A cross at a panel's lower edge means that there is no angle, because a norm vanishes.

    Raises
    ------
    TypeError
        If a row is no `Alignment`.
    ValueError
        If the quantity is unknown or in no row, or a layer was measured twice at one step of a
        run.

    Examples
    --------
    >>> import elunet as eln
    >>> from elunet.experiments import Alignment
    >>> row = Alignment(0, 0, "conv1", "gradient", 85.0, 1.0, 88.0, 92.0)
    >>> eln.plots.angle_curves([row]).axes[0].get_title()
    'conv1'
    """
    runs: dict[str, Rows] = dict(rows) if isinstance(rows, Mapping) else {"": rows}
    if not runs:
        raise ValueError("angle_curves: expected rows of at least one run, got none")
    grids = {
        str(name): _grid("angle_curves", _chosen("angle_curves", run, quantity))
        for name, run in runs.items()
    }
    layers = list(dict.fromkeys(layer for grid in grids.values() for layer in grid[0]))
    columns = min(4, len(layers))
    lines = math.ceil(len(layers) / columns)
    figure = canvas(2.0 * columns + 0.8 if columns > 1 else 5, 1.0 + 1.8 * lines)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for layer, axes in zip(layers, panels, strict=False):
        _angle_panel(axes, layer, grids)
    for place, axes in enumerate(panels):
        if place >= len(layers):
            axes.set_visible(False)
        elif place + columns >= len(layers):
            axes.tick_params(labelbottom=True)  # also above an empty place
            axes.set_xlabel("Step")
    panels[0].set(ylim=(0, 180), yticks=(0, 45, 90, 135, 180))
    figure.supylabel(BETWEEN[quantity], fontsize=9, multialignment="center")
    handles: dict[str, Any] = {}
    for axes in panels:
        found, texts = axes.get_legend_handles_labels()
        handles |= dict(zip(texts, found, strict=True))
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9,
        handlelength=3,
    )
    return finish(figure, title, file)


def _angle_panel(
    axes: Axes, layer: str, grids: Mapping[str, tuple[list[str], list[int], Any]]
) -> None:
    """Draw one layer's angles in all runs."""
    axes.axhline(90, color=GRAY, linewidth=0.8)
    for place, (name, (layers, steps, table)) in enumerate(grids.items()):
        if layer not in layers:
            continue
        found = [row for row in table[layers.index(layer)] if row is not None]
        steps = [row.step for row in found]
        look = style(place)
        low, high = ([getattr(row, end) for row in found] for end in ("null_low", "null_high"))
        if np.isfinite(low).any():
            color = GRAY if len(grids) == 1 else look["color"]
            text = f"null band of {name}" if name else "null band: other random matrices"
            edge = {"linewidth": 0.7, "linestyle": look["linestyle"]}
            axes.fill_between(steps, low, high, alpha=0.25, color=color, label=text, **edge)
        every = some_markers(place, len(steps), 6)
        axes.plot(
            steps, [row.angle for row in found], label=name or "angle", markersize=4,
            markevery=every, **look,
        )  # fmt: skip
        lost = [row.step for row in found if math.isnan(row.angle)]
        if lost:
            across = axes.get_xaxis_transform()
            axes.plot(
                lost, [0.04] * len(lost), "x", color="black", markersize=4, label=MEANINGLESS,
                transform=across, clip_on=False,
            )  # fmt: skip
    axes.set_title(layer, fontsize=10)
    light_grid(axes)


def _chosen(owner: str, rows: Rows, quantity: str) -> list[Alignment]:
    """Return the rows of one quantity, at least one."""
    choice(owner, "quantity", quantity, QUANTITIES)
    every = list(rows)
    for row in every:
        if not isinstance(row, Alignment):
            raise TypeError(f"{owner}: expected rows of elunet.experiments.Alignment, got {row!r}")
    found = [row for row in every if row.quantity == quantity]
    if not found:
        there = sorted({row.quantity for row in every})
        raise ValueError(f"{owner}: expected rows of quantity {quantity!r}, got {there or 'none'}")
    return found


def _grid(
    owner: str, rows: Sequence[Alignment]
) -> tuple[list[str], list[int], list[list[Alignment | None]]]:
    """Return the layers in order, the steps in order, and each layer's rows by step."""
    layers = list(dict.fromkeys(row.layer for row in rows))
    steps = sorted({row.step for row in rows})
    by_place: dict[tuple[str, int], Alignment] = {}
    for row in rows:
        if (row.layer, row.step) in by_place:
            raise ValueError(
                f"{owner}: expected rows of one run, got two of {row.layer} at step {row.step}"
            )
        by_place[row.layer, row.step] = row
    return layers, steps, [[by_place.get((layer, step)) for step in steps] for layer in layers]
