"""HTML tables of networks, layers and histories, for notebooks.

The only color is the gray of the lines between rows, which suits light and dark pages. A long table
scrolls in its own box. Text from users (names, reprs) is escaped.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

LONGEST = 80  # characters of a layer's own text
EPOCHS = 5  # last rows of a history

BOX = "max-height:26em;overflow:auto;width:fit-content;max-width:100%"
LINE = "border:0;border-bottom:1px solid rgba(128,128,128,.35)"
CELL = f"padding:.15em .6em;white-space:nowrap;{LINE}"

LEFT, RIGHT = "left", "right"


def network(net: Any) -> str:
    """Return a table of a network's layers, with output shapes once it has run."""
    ran = any(node.name in net.shapes for node in net.nodes)
    columns = ["layer", "kind", "takes", *(["output shape"] if ran else []), "parameters"]
    rows = []
    for node in net.nodes:
        shape = net.shapes.get(node.name)
        cells = [node.name, _short(node.about), ", ".join(node.inputs)]
        cells += [str(tuple(shape[1:])) if shape else ""] if ran else []
        size = 0 if node.shared else _size(node.layer)
        rows.append([*cells, f"{size:,}" if size else ""])
    total = sum(_size(node.layer) for node in net.homes)
    title = f"{_plural(len(net.nodes), 'layer')}, {_plural(total, 'parameter')}"
    return titled(type(net).__name__, title) + table(columns, rows, texts=len(columns) - 1)


def layer(one: Any) -> str:
    """Return a line: the layer, and the shapes of its parameters."""
    params = getattr(one, "params", {})
    shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in params.items())
    about = f"{shapes}; {_plural(_size(one), 'parameter')}" if shapes else ""
    return f"<code>{html.escape(_short(repr(one)))}</code> {html.escape(about)}".rstrip()


def history(rows: Sequence[Any]) -> str:
    """Return a table of the last epochs."""
    title = _plural(len(rows), "epoch")
    if len(rows) > EPOCHS:
        title += f", the last {EPOCHS}"
    head, *cells = _epochs(rows[-EPOCHS:])
    found = table(head, cells, texts=0) if rows else ""
    return titled("History", title) + found


def history_text(rows: Sequence[Any]) -> str:
    """Return a table of all epochs, as text."""
    lines = _epochs(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _epochs(rows: Sequence[Any]) -> list[list[str]]:
    """Return titles and a line for each epoch; columns without a number are left out."""
    columns: dict[str, tuple[str, str]] = {
        "epoch": ("epoch", "d"),
        "learning_rate": ("learning rate", ".3g"),
        "train_loss": ("training loss", ".4f"),
        "train_accuracy": ("training accuracy", ".2%"),
        "validation_loss": ("validation loss", ".4f"),
        "validation_accuracy": ("validation accuracy", ".2%"),
        "seconds": ("seconds", ".1f"),
    }
    cells = [
        [_formatted(getattr(row, name), form) for name, (_, form) in columns.items()]
        for row in rows
    ]
    titles = [title for title, _ in columns.values()]
    kept = [place for place in range(len(titles)) if not rows or any(line[place] for line in cells)]
    return [[line[place] for place in kept] for line in (titles, *cells)]


class Text(str):
    """A text that a notebook shows as `print` does, not in quotation marks on one line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def text_table(rows: Sequence[Sequence[str]], numbers: int) -> str:
    """Return rows of text: a header, the body, and a total between two lines.

    Text is aligned to the left, the last columns, which are `numbers`, to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = len(widths) - numbers
    lines = [
        "  ".join(
            cell.ljust(width) if place < texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    """Return an HTML table; the first columns are text, the others numbers."""
    if not rows:
        return ""
    sides = [LEFT if place < texts else RIGHT for place in range(len(columns))]
    head = "".join(_cell("th", text, side) for text, side in zip(columns, sides, strict=True))
    body = "".join(
        "<tr>"
        + "".join(_cell("td", text, side) for text, side in zip(row, sides, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div style="{BOX}"><table style="border-collapse:collapse;margin:0">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(tag: str, text: str, side: str) -> str:
    return f'<{tag} style="text-align:{side};{CELL}">{html.escape(text)}</{tag}>'


def titled(kind: str, about: str) -> str:
    return f'<div style="margin:.2em 0"><b>{html.escape(kind)}</b>: {html.escape(about)}</div>'


def _short(about: str) -> str:
    """Return the description of a layer on one line, cut if it is long."""
    text = " ".join(about.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _size(one: Any) -> int:
    return sum(int(np.size(value)) for value in getattr(one, "params", {}).values())


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _formatted(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)
