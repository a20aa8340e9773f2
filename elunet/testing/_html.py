"""What a check found, as HTML for notebooks: the table, and where in the array the error sits.

Of a wrong array the error of each entry is drawn as a small map, darker where it is larger. Arrays
of more than two axes are drawn twice: for images, the largest error at each pixel and each pair of
image and channel; for a convolution's kernel, at each place of the window and at each pair of input
and output channel. The rows may be those of a result or of an error.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from elunet import _display
from elunet._types import Array

if TYPE_CHECKING:
    from elunet.testing._report import Row

SIDE = 24
"""Most cells of a map along one axis."""
CELL = "width:1em;height:1em;padding:0;border:1px solid rgba(128,128,128,.2)"
EMPTY = "background:repeating-linear-gradient(45deg,transparent 0 2px,rgba(128,128,128,.4) 2px 3px)"


def report(name: str, verdict: str, rows: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """Return a title, the table of all arrays, and a map of each wrong one."""
    columns = ["array", "", "max abs error", "max rel error", "entries checked"]
    cells = []
    for row in rows:
        mark = "ok" if row.ok else "WRONG"
        kinks = f", {row.kinks} on kinks" if row.kinks else ""
        checked = f"{row.checked} of {row.size}{kinks}"
        cells.append(
            [row.array, mark, f"{row.max_abs_error:.1e}", f"{row.max_rel_error:.1e}", checked]
        )
    parts = [_display.titled(name, verdict), _display.table(columns, cells, texts=2)]
    parts += [_wrong(row) for row in rows if not row.ok]
    parts += [f"<div>note: {html.escape(note)}</div>" for note in notes]
    return "".join(parts)


def _wrong(row: Row) -> str:
    """Return what is wrong with one array, and its maps."""
    lines = [f'<div style="margin-top:.6em">{html.escape(line)}</div>' for line in _lines(row)]
    if row.errors is None or not np.any(np.isfinite(row.errors)):
        return "".join(lines)
    maps = "".join(_map(*view) for view in views(row.array, row.errors))
    return "".join(lines) + f'<div style="display:flex;gap:2em;flex-wrap:wrap">{maps}</div>'


def _lines(row: Row) -> list[str]:
    text = row.describe().splitlines()
    return [", ".join(line.strip() for line in text[:2]), *(line.strip() for line in text[2:])]


def views(array: str, errors: Array) -> list[tuple[str, Array]]:
    """Return captions and maps of at most two axes; the largest error over the other axes."""
    shape = errors.shape
    if errors.ndim < 2:
        return [(f"error at each entry of {array}", errors.reshape(1, -1))]
    if errors.ndim == 2:
        return [(f"error at each entry of {array} {list(shape)}", errors)]
    image = array.rpartition(".")[2].lower().startswith(("dx", "dinput"))
    if errors.ndim == 4:
        pairs = [(1, 2), (0, 3)] if image else [(0, 1), (2, 3)]
    else:
        pairs = [(0, errors.ndim - 1), (errors.ndim - 2, errors.ndim - 1)]
    found = []
    for one, other in pairs:
        rest = tuple(axis for axis in range(errors.ndim) if axis not in (one, other))
        caption = f"largest error at each place of axes {one} and {other} of {array} {list(shape)}"
        found.append((caption, _most(errors, rest)))
    return found


def _most(errors: Array, axes: tuple[int, ...]) -> Array:
    """Return the largest error along axes, NaN where nothing was compared."""
    largest = np.max(np.where(np.isnan(errors), -1.0, errors), axis=axes)
    return np.where(largest < 0, np.nan, largest)


def _smaller(grid: Array) -> Array:
    """Return the largest of each block of cells, so that no side has more than SIDE."""
    for axis in (0, 1):
        length = grid.shape[axis]
        if length > SIDE:
            starts = np.arange(SIDE) * length // SIDE
            grid = np.maximum.reduceat(np.nan_to_num(grid, nan=-1.0), starts, axis=axis)
            grid = np.where(grid < 0, np.nan, grid)
    return grid


def _map(caption: str, grid: Array) -> str:
    """Return one map as a table of colored cells."""
    cells = _smaller(grid)
    top = float(np.nanmax(cells)) or 1.0
    lines = "".join(
        "<tr>" + "".join(_cell(float(value), top) for value in line) + "</tr>" for line in cells
    )
    return (
        f'<div><div style="font-size:.85em">{html.escape(caption)}; the darkest is {top:.2g}</div>'
        f'<table style="border-collapse:collapse;margin:.3em 0">{lines}</table></div>'
    )


def _cell(value: float, top: float) -> str:
    color = EMPTY if np.isnan(value) else f"background:rgba(200,40,40,{value / top:.2f})"
    return f'<td style="{CELL};{color}"></td>'
