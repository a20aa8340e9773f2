"""Heat maps and lines of angles show what was measured, and mark what was not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.colors import to_rgba

import elunet as eln
from elunet.experiments.alignment import Alignment


def row(layer, step, angle, quantity="gradient", low=85.0, high=95.0):
    return Alignment(step // 10, step, layer, quantity, angle, 1.0, low, high)


ROWS = [
    row("conv1", 0, 88.0),
    row("conv2", 0, 40.0),
    row("linear1", 0, 0.0, low=0.0, high=0.001),
    row("conv1", 10, math.nan),
    row("conv2", 10, 120.0),
    row("conv1", 0, 12.0, "delta"),
]


def texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_the_cells_are_the_angles(tmp_path):
    figure = eln.plots.angles(ROWS, file=tmp_path / "angles.png", title="FA")
    axes, bar = figure.axes
    expected = [[88, np.nan], [40, 120], [0, np.nan]]
    np.testing.assert_array_equal(np.ma.filled(axes.images[0].get_array(), np.nan), expected)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["conv1", "conv2", "linear1"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "10"]
    assert [text.get_text() for text in axes.texts] == ["88", "40", "120", "0"]
    assert "gradient (degrees)" in bar.get_ylabel()
    assert (tmp_path / "angles.png").stat().st_size > 1000


def test_marks_and_hatches_are_named():
    figure = eln.plots.angles(ROWS)
    axes = figure.axes[0]
    places = {line.get_marker(): list(zip(*line.get_data(), strict=True)) for line in axes.lines}
    ((x, y),) = places["o"]  # conv1 at step 0; linear1 is exact and has no band to be in
    assert (round(x), round(y)) == (0, 0)
    ((x, y),) = places["x"]
    assert (round(x), round(y)) == (1, 1)
    assert texts(figure) == [
        "inside the null band",
        "uphill: above 90 degrees and the band",
        "no angle: a norm is 0",
        "not measured",
    ]
    lost, missing = axes.patches
    assert (lost.get_xy(), lost.get_hatch()) == ((0.5, -0.5), "////")
    assert (missing.get_xy(), missing.get_hatch()) == ((0.5, 1.5), None)


def test_colors_diverge_around_90_degrees():
    image = eln.plots.angles(ROWS, span=60).axes[0].images[0]
    assert image.get_clim() == (30, 150)
    red, _, blue, _ = image.cmap(image.norm(40.0))
    assert blue > red
    red, _, blue, _ = image.cmap(image.norm(140.0))
    assert red > blue
    np.testing.assert_allclose(image.cmap(image.norm(90.0)), to_rgba("#f7f7f7"), atol=0.01)


def test_other_quantities():
    figure = eln.plots.angles(ROWS, "delta")
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), [[12]])
    assert not figure.axes[0].lines  # downhill and outside the band


def test_without_a_band_nothing_is_inside_it():
    rows = [row("a", 0, angle, low=math.nan, high=math.nan) for angle in (90.0,)]
    rows += [row("b", 0, 91.0, low=math.nan, high=math.nan)]
    assert texts(eln.plots.angles(rows)) == ["uphill: above 90 degrees and the band"]


def test_many_columns_have_no_numbers_but_marks():
    rows = [row("conv1", step, 90.0) for step in range(0, 400, 10)]
    axes = eln.plots.angles(rows).axes[0]
    assert not axes.texts
    (dots,) = axes.lines
    np.testing.assert_array_equal(dots.get_xdata(), np.arange(40))
    assert len(axes.get_xticks()) <= 12


def test_rows_of_nan_only():
    rows = [row("conv1", 0, math.nan, low=math.nan, high=math.nan)]
    assert texts(eln.plots.angles(rows)) == ["no angle: a norm is 0"]
    assert "no angle: a norm is 0" in texts(eln.plots.angle_curves(rows))


def test_angles_over_steps(tmp_path):
    figure = eln.plots.angle_curves(ROWS, file=tmp_path / "angles.png")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["conv1", "conv2", "linear1"]
    conv1, conv2, _ = shown
    _, line, cross = conv1.lines
    np.testing.assert_array_equal(line.get_data(), [[0, 10], [88, np.nan]])
    np.testing.assert_array_equal(cross.get_xdata(), [10])
    np.testing.assert_array_equal(conv2.lines[1].get_ydata(), [40, 120])
    band = conv2.collections[0].get_datalim(conv2.transData)
    np.testing.assert_allclose([band.intervalx, band.intervaly], [[0, 10], [85, 95]])
    assert texts(figure) == [
        "null band: other random matrices",
        "angle",
        "no angle: a norm is 0",
    ]
    assert (tmp_path / "angles.png").exists()


def test_several_runs_in_each_panel():
    exact = [row("conv1", step, 0.0, low=math.nan, high=math.nan) for step in (0, 5)]
    figure = eln.plots.angle_curves({"FA": ROWS, "backprop": exact})
    conv1, conv2 = figure.axes[:2]
    assert [line.get_label() for line in conv1.lines[1:]][::2] == ["FA", "backprop"]
    assert [line.get_label() for line in conv2.lines[1:]] == ["FA"]
    assert "null band of FA" in texts(figure)
    assert "null band of backprop" not in texts(figure)
    fa, backprop = (line for line in conv1.lines if line.get_label() in ("FA", "backprop"))
    assert fa.get_color() != backprop.get_color()
    assert fa.get_marker() != backprop.get_marker()


@pytest.mark.parametrize("count", [1, 4, 5, 11])
def test_a_panel_for_each_layer(count):
    rows = [row(f"conv{k}", step, 80.0) for k in range(count) for step in (0, 1)]
    figure = eln.plots.angle_curves(rows)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == count
    assert sum(axes.get_xlabel() == "Step" for axes in shown) == min(4, count)


PLOTS = pytest.mark.parametrize("plot", [eln.plots.angles, eln.plots.angle_curves])


@PLOTS
def test_wrong_rows_are_refused(plot):
    name = plot.__name__
    with pytest.raises(ValueError, match=f"{name}: expected quantity to be one of"):
        plot(ROWS, "angle")
    with pytest.raises(ValueError, match=f"{name}: .* quantity 'weight', got .'delta', 'gradient'"):
        plot(ROWS, "weight")
    with pytest.raises(ValueError, match="quantity 'gradient', got none"):
        plot([])
    with pytest.raises(
        TypeError, match=f"{name}: expected rows of elunet.experiments.Alignment, got 3"
    ):
        plot([3])
    with pytest.raises(ValueError, match=f"{name}: .* one run, got two of conv1 at step 0"):
        plot([*ROWS, ROWS[0]])


def test_wrong_spans_are_refused():
    for span in (0, 91, math.nan):
        with pytest.raises(ValueError, match="angles: expected span in"):
            eln.plots.angles(ROWS, span=span)
    with pytest.raises(TypeError, match="angles: expected span"):
        eln.plots.angles(ROWS, span="wide")


def test_no_runs_are_refused():
    with pytest.raises(ValueError, match="rows of at least one run"):
        eln.plots.angle_curves({})


def test_measured_angles_can_be_drawn():
    L = eln.layers
    net = eln.Sequential([L.Linear(6, 8), L.ELU(), L.Linear(8, 3)], seed=0)
    loss = eln.losses.SoftmaxCrossEntropy()
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    _, dy = loss(net.forward(x, train=True), np.zeros(5, int))
    rows = eln.experiments.alignments(net, eln.routers.FeedbackAlignment(), dy, null=3)
    cells = eln.plots.angles(rows).axes[0].images[0].get_array()
    assert cells.shape == (2, 1)
    assert cells[1, 0] < 0.1
