"""The graph has all boxes, and an arrow for each path of a signal."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L
from elunet import routers as R
from elunet.plots import network_graph


def arrows(figure, kind=""):
    """Return the arrows of a kind, such as "conv2 -> conv1"."""
    ids = [patch.get_gid() for patch in figure.axes[0].patches if patch.get_gid()]
    return [name.split(": ")[1] for name in ids if name.startswith(f"{kind}: ")]


def words(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def chain(count):
    return [f"conv{k + 1} -> conv{k}" for k in range(count - 1, 0, -1)]


def residual(blocks=1):
    net = eln.Network(seed=0)
    net.add(L.Conv2D(3, 4, 3))
    top = net.add(L.ELU())
    for _ in range(blocks):
        net.add(L.Conv2D(4, 4, 3))
        main = net.add(L.BatchNorm(4))
        net.add(L.Add(), inputs=[top, main])
        top = net.add(L.ELU())
    net.add(L.GlobalMeanPool2D())
    net.add(L.Linear(4, 3))
    net.forward(np.zeros((1, 4, 4, 3), np.float32))
    return net


@pytest.fixture(scope="module")
def elu11():
    net = eln.models.elu11(pool="mean", widths=(4,) * 10)
    net.forward(np.zeros((1, 32, 32, 3), np.float32))
    return net


def test_units_of_a_chain(elu11, tmp_path):
    figure = network_graph(elu11, file=tmp_path / "g.png", title="ELU-11")
    assert arrows(figure, "box") == ["input", *(f"conv{k}" for k in range(1, 12))]
    expected = ["input -> conv1", *(f"conv{k} -> conv{k + 1}" for k in range(1, 11))]
    assert sorted(arrows(figure, "forward")) == sorted(expected)
    assert words(figure) == ["forward"]
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"conv3", "Conv2D(4->4, 3x3)", "elu3, meanpool2, dropout1"} <= texts
    assert (tmp_path / "g.png").exists()


def test_feedback_goes_from_unit_to_unit(elu11):
    figure = network_graph(elu11, R.FeedbackAlignment())
    assert sorted(arrows(figure, "feedback")) == sorted(chain(11))
    assert arrows(figure, "exact") == ["loss -> conv11"]
    assert words(figure) == ["forward", "back, exact", "back through B"]


def test_backprop_is_exact_everywhere(elu11):
    figure = network_graph(elu11, R.Backprop())
    assert sorted(arrows(figure, "exact")) == sorted(["loss -> conv11", *chain(11)])


def test_direct_projections_start_at_the_output_or_the_target(elu11):
    figure = network_graph(elu11, R.DirectFeedbackAlignment())
    assert sorted(arrows(figure, "direct")) == sorted(f"conv11 -> conv{k}" for k in range(1, 11))
    figure = network_graph(elu11, R.DirectRandomTargetProjection())
    assert sorted(arrows(figure, "direct")) == sorted(f"target -> conv{k}" for k in range(1, 11))
    assert "target -> loss" in arrows(figure, "forward")


def test_dilated_terms_lie_inside_the_stacks(elu11):
    figure = network_graph(elu11, R.DilatedBackprop())
    added = ["conv3 -> conv2", "conv5 -> conv4", "conv7 -> conv6", "conv9 -> conv8"]
    assert sorted(arrows(figure, "dilated")) == added
    assert words(figure)[-1] == "added, past the Jacobian"


@pytest.mark.parametrize("columns", [None, 1, 2, 3])
def test_skips_are_drawn_on_both_ways(columns):
    figure = network_graph(residual(), R.FeedbackAlignment(), columns=columns)
    assert arrows(figure, "box") == ["input", "conv1", "conv2", "add1", "linear1", "loss"]
    assert sorted(arrows(figure, "forward")) == [
        "add1 -> linear1",
        "conv1 -> add1",
        "conv1 -> conv2",
        "conv2 -> add1",
        "input -> conv1",
        "linear1 -> loss",
    ]
    assert sorted(arrows(figure, "exact")) == [
        "add1 -> conv1",
        "add1 -> conv2",
        "loss -> linear1",
    ]
    assert sorted(arrows(figure, "feedback")) == ["conv2 -> conv1", "linear1 -> add1"]


def test_different_rules_for_different_layers():
    rule = R.Mixed({"linear*": R.DirectFeedbackAlignment(), "*": R.SignSymmetry()})
    figure = network_graph(residual(), rule)
    assert arrows(figure, "direct") == ["linear1 -> add1"]
    assert arrows(figure, "feedback") == ["conv2 -> conv1"]


def boxes(figure):
    return {
        patch.get_gid()[5:]: patch.get_window_extent().padded(-0.5)
        for patch in figure.axes[0].patches
        if str(patch.get_gid()).startswith("box: ")
    }


@pytest.mark.parametrize("columns", [None, 1, 2, 5])
@pytest.mark.parametrize("rule", [R.Backprop, R.DirectFeedbackAlignment, R.DilatedBackprop])
def test_nothing_covers_anything(rule, columns, elu11):
    """Boxes and lines stay inside the figure, boxes do not overlap, and texts fit their boxes."""
    for net in (elu11, residual(9)):
        figure = network_graph(net, rule(), columns=columns, title="a title of some length")
        page = figure.bbox
        frames = list(boxes(figure).values())
        for index, frame in enumerate(frames):
            assert page.fully_containsx(frame.x0)
            assert page.fully_containsx(frame.x1)
            assert not any(frame.overlaps(other) for other in frames[:index])
        for text in figure.axes[0].texts:
            extent = text.get_window_extent()
            assert any(f.x0 < extent.x0 and extent.x1 < f.x1 for f in frames), text.get_text()
        for patch in figure.axes[0].patches:
            extent = patch.get_window_extent()
            assert page.x0 <= extent.x0 + 1
            assert extent.x1 - 1 <= page.x1
            assert page.y0 <= extent.y0 + 1
            assert extent.y1 - 1 <= page.y1


def test_lines_in_the_gutters_do_not_run_through_boxes():
    figure = network_graph(residual(9), R.Backprop())
    frames = boxes(figure)
    for patch in figure.axes[0].patches:
        kind, _, name = str(patch.get_gid()).partition(": ")
        if "->" not in name:
            continue
        corners = patch.get_path().vertices
        dense = np.concatenate([np.linspace(a, b, 20) for a, b in pairwise(corners)])
        points = figure.axes[0].transData.transform(dense)
        for box, frame in frames.items():
            assert not any(frame.contains(*point) for point in points), (kind, name, box)


def test_long_names_and_custom_layers():
    class Scaled(L.Layer):
        def forward(self, x, train=False):
            return x

        def backward_input(self, dy):
            return dy

    net = eln.Network(seed=0)
    net.add(Scaled(), name="a_very_long_name_for_a_layer_indeed")
    net.add(L.Linear(2, 2))
    figure = network_graph(net, R.Backprop())
    assert len(arrows(figure, "box")) == 4
    assert arrows(figure, "exact") == ["loss -> linear1"]  # nothing below learns


def test_one_layer():
    figure = network_graph(eln.Sequential([L.Linear(2, 2)]), R.FeedbackAlignment(), columns=9)
    assert arrows(figure, "box") == ["input", "linear1", "loss"]


def test_wrong_arguments_are_refused():
    net = eln.Sequential([L.Linear(2, 2)])
    with pytest.raises(TypeError, match="network_graph: expected net as a Network, got list"):
        network_graph([L.Linear(2, 2)])
    with pytest.raises(ValueError, match="at least one layer, got none"):
        network_graph(eln.Network())
    with pytest.raises(TypeError, match=r"router with paths\(net\), got 'FA'"):
        network_graph(net, "FA")
    with pytest.raises(ValueError, match="network_graph: expected columns of at least 1, got 0"):
        network_graph(net, columns=0)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("linear2", "linear1", "magic"), "kind of .* to be one of .'exact'"),
        (("linear2", "linear9", "exact"), "ends of .* to be one of .'linear1', 'linear2'"),
    ],
)
def test_paths_to_nowhere_are_refused(path, message):
    class Odd(R.Router):
        def paths(self, net):
            return [R.Path(*path)]

    net = eln.Sequential([L.Linear(2, 2), L.Linear(2, 2)])
    with pytest.raises(ValueError, match=message):
        network_graph(net, Odd())


def test_a_rule_that_needs_shapes_asks_for_a_forward_pass():
    net = eln.Sequential([L.Linear(2, 2), L.Linear(2, 2)])
    with pytest.raises(RuntimeError, match="forward"):
        network_graph(net, R.DilatedBackprop())
