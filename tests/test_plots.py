"""The curves show what the history holds."""

from __future__ import annotations

import math

import numpy as np
import pytest

import elunet as eln


def history(epochs: int, validated: bool = True) -> eln.History:
    rows = eln.History()
    for epoch in range(1, epochs + 1):
        value = 0.1 * epoch / epochs if validated else math.nan
        rows.append(
            eln.Epoch(epoch, epoch * 5, 0.1, 2 / epoch, 0.3, 3 / epoch, value, 0, 1.0, 100.0)
        )
    return rows


def test_both_splits_are_drawn_with_their_values(tmp_path):
    file = tmp_path / "curves.png"
    figure = eln.plots.curves(history(4), file, "a title", "test")
    loss, accuracy = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training (running mean)", "test"]
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [2, 1, 2 / 3, 0.5])
    np.testing.assert_allclose(accuracy.lines[1].get_ydata(), [2.5, 5, 7.5, 10])
    assert "10.00 % test" in accuracy.get_title()
    assert file.read_bytes().startswith(b"\x89PNG")


def test_splits_are_told_apart_without_color():
    train, test = eln.plots.curves(history(4)).axes[0].lines
    assert train.get_linestyle() != test.get_linestyle()
    assert train.get_marker() != test.get_marker()


def test_without_validation_there_is_one_line():
    rows = eln.History(
        eln.Epoch(1, 1, 0.1, 2.0, 0.5, math.nan, math.nan, 0.0, 1.0, 1.0) for _ in range(1)
    )
    figure = eln.plots.curves(rows)
    assert [len(axes.lines) for axes in figure.axes] == [1, 1]


def test_long_runs_have_no_markers():
    assert eln.plots.curves(history(60)).axes[0].lines[0].get_marker() == ""


def test_an_empty_history_is_refused():
    with pytest.raises(ValueError, match="at least one epoch"):
        eln.plots.curves(eln.History())
