"""The curves show the history's values."""

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


def run(accuracies, first=1):
    return eln.History(
        eln.Epoch(epoch, epoch, 0.1, 1.0, 0.2, 1.0, accuracy, 0, 1.0, 1.0)
        for epoch, accuracy in enumerate(accuracies, first)
    )


def drawn(axes, label):
    """Return the line whose label begins with a text."""
    (line,) = [line for line in axes.lines if line.get_label().startswith(label)]
    return line


def test_the_mean_of_several_runs_and_its_interval(tmp_path):
    file = tmp_path / "compare.svg"
    runs = {"backprop": [run([0.1, 0.5]), run([0.2, 0.7]), run([0.3, 0.6])], "one": run([0.1])}
    axes = eln.plots.compare_curves(runs, file=file, title="rules").axes[0]
    line = drawn(axes, "backprop")
    assert line.get_label() == "backprop (n = 3)"
    np.testing.assert_allclose(line.get_xdata(), [1, 2])
    np.testing.assert_allclose(line.get_ydata(), [20, 60])
    (band,) = axes.collections  # none for a single run
    # t of 2 degrees of freedom is 4.302653; the standard deviation of 10, 20, 30 is 10.
    half = 4.302653 * 10 / np.sqrt(3)
    bottom, top = band.get_datalim(axes.transData).intervaly
    np.testing.assert_allclose([bottom, top], [20 - half, 60 + half], rtol=1e-6)
    assert drawn(axes, "one").get_label() == "one (n = 1)"
    assert axes.get_legend().get_title().get_text() == "mean, 95 % t-interval"
    assert axes.get_ylabel() == "Validation accuracy (%)"
    assert file.read_text("utf-8").startswith("<?xml")


def test_the_axis_of_accuracies_ends_near_0_and_100():
    low, high = eln.plots.compare_curves({"a": [run([0.1]), run([0.9])]}).axes[0].get_ylim()
    assert low >= -3
    assert high <= 103


def test_other_columns_are_not_percent():
    axes = eln.plots.compare_curves({"a": run([0.1, 0.2])}, "train_loss", label="Cost").axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [1, 1])
    assert axes.get_ylabel() == "Cost"
    assert axes.get_legend().get_title().get_text() == ""


@pytest.mark.parametrize("gone", [math.nan, math.inf, None])
def test_where_a_run_has_ended_no_mean_of_the_others_is_drawn(gone):
    broken = run([0.3, 0.3] if gone is None else [0.3, 0.3, gone])
    axes = eln.plots.compare_curves({"a": [run([0.1, 0.2, 0.3]), broken]}).axes[0]
    mean = drawn(axes, "a")
    assert mean.get_label() == "a (n = 2, 1 incomplete)"
    np.testing.assert_allclose(mean.get_ydata(), [20, 25, np.nan])
    single = [line.get_ydata() for line in axes.lines if line is not mean]
    np.testing.assert_allclose(single, [[np.nan, 20, 30], [np.nan, 30, np.nan]])


def test_runs_that_begin_later_stand_at_their_epochs():
    axes = eln.plots.compare_curves({"a": run([0.1, 0.2], first=5)}).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [5, 6])


def test_a_run_of_nan_only_is_drawn_as_nothing():
    axes = eln.plots.compare_curves({"a": run([math.nan] * 3)}).axes[0]
    assert not np.isfinite(axes.lines[0].get_ydata()).any()


def test_many_runs_differ_without_color_too():
    runs = {str(i): run([0.1 * i, 0.2]) for i in range(9)}
    lines = eln.plots.compare_curves(runs).axes[0].lines
    looks = {(line.get_marker(), line.get_color(), str(line._dash_pattern)) for line in lines}
    assert len(looks) == 9
    first = lines[:7]
    assert len({line.get_color() for line in first}) == 7
    assert len({line.get_marker() for line in first}) == 7
    assert len({str(line._dash_pattern) for line in first}) == 7


@pytest.mark.parametrize(
    ("runs", "column", "kind", "message"),
    [
        ([run([0.1])], "train_loss", TypeError, "expected runs as .* got list"),
        ({}, "train_loss", ValueError, "at least one kind, got none"),
        ({"a": []}, "train_loss", ValueError, "at least one run of 'a'"),
        ({"a": [[0.1]]}, "train_loss", TypeError, "each run of 'a' as a History, got list"),
        ({"a": [eln.History()]}, "train_loss", ValueError, "'a' with at least one epoch"),
        ({"a": run([0.1]) + run([0.2])}, "train_loss", TypeError, "as a History"),
        ({"a": run([0.1])}, "accuracy", ValueError, "column to be one of"),
    ],
)
def test_wrong_runs_are_refused(runs, column, kind, message):
    with pytest.raises(kind, match=message):
        eln.plots.compare_curves(runs, column)


def test_an_epoch_twice_is_refused():
    twice = eln.History([*run([0.1]), *run([0.2])])
    with pytest.raises(ValueError, match="no epoch twice, got epochs .1, 1."):
        eln.plots.compare_curves({"a": twice})


def test_long_titles_take_several_lines():
    figure = eln.plots.compare_curves({"a": run([0.1])}, title="many words " * 20)
    assert "\n" in figure.get_suptitle()


def test_a_regression_has_no_accuracies():
    nan = float("nan")
    rows = [eln.Epoch(k, 5 * k, 0.1, 1 / k, nan, 1.2 / k, nan, 0.6, 8.0, 6.0) for k in (1, 2)]
    figure = eln.plots.curves(eln.History(rows))
    (axes,) = figure.axes
    assert (axes.get_ylabel(), len(axes.lines)) == ("Loss", 2)
