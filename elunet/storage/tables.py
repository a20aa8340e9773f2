"""Tables: CSV files whose rows are instances of a dataclass, and read back as they were written.

The dataclass defines the table: its fields are the columns, its annotations (int, float, str, or
one of these or None) the kinds of cells. Columns at the end whose fields have defaults may be
missing, so that a table from before they were added is read too. None is an empty cell.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import MISSING, asdict, fields
from typing import Any, TypeVar, get_args, get_type_hints

from elunet.storage.files import read_text, write_atomically

Row = TypeVar("Row")


def write(file: str | os.PathLike[str], kind: type[Any], rows: Iterable[Any]) -> None:
    """Write rows of one dataclass, atomically.

    Raises
    ------
    OSError
        As `write_atomically`.
    """
    write_atomically(file, to_text(kind, rows).encode())


def read(owner: str, file: str | os.PathLike[str], kind: type[Row]) -> list[Row]:
    """Return the rows of a table.

    Parameters
    ----------
    owner : str
        Who asks; it begins an error's message.
    file : path
    kind : dataclass

    Raises
    ------
    ValueError
        If the columns are others, or a cell is not of its column's kind.
    OSError
        If the file cannot be read.
    """
    return from_text(owner, os.fspath(file), kind, read_text(owner, file))


def columns(kind: type[Any]) -> tuple[str, ...]:
    """Return the names of a dataclass's fields."""
    return tuple(field.name for field in fields(kind))


def to_text(kind: type[Any], rows: Iterable[Any]) -> str:
    """Return the content of a table."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns(kind), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return stream.getvalue()


def from_text(owner: str, name: str, kind: type[Row], text: str) -> list[Row]:
    """Return the rows of a table's content; `name` stands for it in an error's message."""
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return _from_reader(owner, name, kind, reader)
    except csv.Error as error:  # a cell of more than 131,072 characters, say
        raise ValueError(
            f"{owner}: expected {name} as a table, got after line {reader.line_num}: {error}"
        ) from error


def _from_reader(owner: str, name: str, kind: type[Row], reader: csv.DictReader[str]) -> list[Row]:
    header, expected = tuple(reader.fieldnames or ()), columns(kind)
    needed = [each.name for each in fields(kind) if each.default is MISSING]  # type: ignore[arg-type]
    if header != expected[: len(header)] or not set(needed) <= set(header):
        raise ValueError(
            f"{owner}: expected {name} with columns {expected}, got {reader.fieldnames!s:.500}"
        )
    hints = get_type_hints(kind)
    parse = {column: _parser(hints[column]) for column in header}
    rows = []
    for row in reader:
        cells = [cell for cell in row.values() if isinstance(cell, str)]
        if len(cells) < len(header) or None in row:
            count = len(cells) + len(row.get(None, ()))
            raise ValueError(
                f"{owner}: expected {len(header)} cells in line {reader.line_num} of {name}, got"
                f" {count}"
            )
        try:
            rows.append(kind(**{column: parse[column](row[column]) for column in header}))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{owner}: expected numbers in line {reader.line_num} of {name}, got"
                f" {cells!s:.500}: {error!s:.200}"
            ) from error
    return rows


def _parser(hint: Any) -> Callable[[str], Any]:
    """Return a function that reads a cell."""
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    (kind,) = kinds
    if type(None) in get_args(hint):
        return lambda cell: None if cell == "" else kind(cell)
    return kind  # type: ignore[no-any-return]
