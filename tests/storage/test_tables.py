"""Rows of dataclasses come back from a CSV file as they were."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from elunet.storage import tables


@dataclass(frozen=True)
class Row:
    name: str
    step: int
    loss: float
    accuracy: float | None = None
    note: str = ""


ROWS = [Row("a, b", 1, 0.1, None, "x"), Row("", -2, math.inf, 1 / 3, '"')]


def test_rows_come_back(tmp_path):
    tables.write(tmp_path / "x.csv", Row, ROWS)
    assert tables.read("test", tmp_path / "x.csv", Row) == ROWS


def test_columns_with_defaults_may_be_missing():
    text = "name,step,loss\na,1,0.5\n"
    assert tables.from_text("test", "x", Row, text) == [Row("a", 1, 0.5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "test: expected x with columns .*, got None"),
        ("name,step\n", "with columns"),
        ("step,name,loss\n", "with columns"),
        ("name,step,loss,more\n", "with columns"),
        ("name,step,loss\na,1.5,2\n", "numbers in line 2 of x, got .*: invalid literal"),
        ("name,step,loss\na,1\n", "3 cells in line 2 of x"),
    ],
)
def test_another_table_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        tables.from_text("test", "x", Row, text)
