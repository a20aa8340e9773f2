"""ELU's curves, and mean activations by layer and epoch."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L
from elunet.plots import activations, mean_activations, unit_means


def test_elu_and_its_derivative(tmp_path):
    function, derivative = activations(file=tmp_path / "elu.png").axes
    for axes, formula in (
        (function, lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0)))),
        (derivative, lambda x, a: np.where(x > 0, 1, a * np.exp(np.minimum(x, 0)))),
    ):
        lines = axes.lines[:4]
        labels = [line.get_label() for line in lines]
        assert labels == [rf"$\alpha$ = {a}" for a in ("0.5", "1", "2", "5")]
        for line, alpha in zip(lines, (0.5, 1, 2, 5), strict=True):
            x, y = line.get_data()
            there = np.isfinite(x)
            np.testing.assert_allclose(y[there], formula(x[there], alpha), atol=1e-12)
            assert {-5, 0, 5} <= set(x)
    assert (tmp_path / "elu.png").exists()


def test_no_line_is_drawn_across_a_jump():
    _, derivative = activations((1, 2)).axes
    smooth, jumping = derivative.lines[:2]
    assert np.isfinite(smooth.get_ydata()).all()
    (gap,) = np.flatnonzero(np.isnan(jumping.get_ydata()))
    np.testing.assert_allclose(jumping.get_ydata()[[gap - 1, gap + 1]], [2, 1])


@pytest.mark.parametrize("alphas", [(), 1.0, "12", (1, 0), (np.nan,), ("a",)])
def test_wrong_alphas_are_refused(alphas):
    with pytest.raises((ValueError, TypeError), match="alpha"):
        activations(alphas)


def test_unit_means_of_dense_and_convolutional_layers():
    parts = [L.Conv2D(1, 3, 3, seed=0), L.ReLU(), L.Dropout(0.5), L.BatchNorm(3), L.Flatten()]
    net = eln.Sequential([*parts, L.Linear(12, 4, seed=1), L.ELU()])
    x = np.random.default_rng(0).normal(size=(7, 2, 2, 1))
    outputs = {}
    net.forward(x, tap=lambda name, y: outputs.update({name: y.copy()}))
    means = unit_means(net, x, batch_size=3)
    assert list(means) == ["relu1", "elu1"]
    np.testing.assert_allclose(means["relu1"], outputs["relu1"].mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(means["elu1"], outputs["elu1"].mean(axis=0))
    means = unit_means(net, x, layers=["linear1", "conv1"])
    assert list(means) == ["conv1", "linear1"]
    np.testing.assert_allclose(means["conv1"], outputs["conv1"].mean(axis=(0, 1, 2)))


def test_unit_means_show_nan():
    net = eln.Sequential([L.ReLU()])
    means = unit_means(net, np.array([[np.nan, 1.0], [2.0, 3.0]]))
    np.testing.assert_array_equal(means["relu1"], [np.nan, 2])


def test_unit_means_refuse_what_does_not_fit():
    net = eln.Sequential([L.Linear(2, 3, seed=0)])
    x = np.zeros((1, 2))
    with pytest.raises(ValueError, match="with activations, or layers, got none"):
        unit_means(net, x)
    with pytest.raises(ValueError, match=r"layers among \['linear1'\], got \['elu1'\]"):
        unit_means(net, x, ["elu1"])
    with pytest.raises(ValueError, match="at least one image"):
        unit_means(net, x[:0], ["linear1"])
    with pytest.raises(ValueError, match="batch_size"):
        unit_means(net, x, ["linear1"], 0)


MEANS = {
    "ELU": {
        0: {"elu1": np.array([0.0, 1.0, 2.0]), "elu2": np.array([-1.0])},
        2: {"elu1": np.array([0.0, 4.0, 5.0]), "elu2": np.array([-3.0])},
    },
    "ReLU": {
        0: {"relu1": np.array([1.0]), "relu2": np.array([np.nan, 1.0, 3.0])},
        1: {"relu1": np.array([np.nan]), "relu2": np.array([3.0, np.inf])},
    },
}


def test_medians_by_layer_and_by_epoch(tmp_path):
    by_layer, by_epoch = mean_activations(MEANS, tmp_path / "m.png", "medians").axes
    elu, relu = (box.lines[0] for box in by_layer.containers)
    np.testing.assert_allclose(elu.get_ydata(), [4, -3])
    np.testing.assert_allclose(relu.get_ydata(), [np.nan, 3])
    np.testing.assert_allclose(np.round(elu.get_xdata()), [1, 2])
    (bars,) = by_layer.containers[0].lines[2]
    np.testing.assert_allclose(bars.get_segments()[0][:, 1], [2, 4.5])
    elu, low, high, relu = by_epoch.lines[:4]
    np.testing.assert_allclose([low.get_ydata()[0], high.get_ydata()[0]], [-0.25, 1.25])
    np.testing.assert_allclose(elu.get_data(), [[0, 2], [0.5, 2]])
    np.testing.assert_allclose(relu.get_data(), [[0, 1], [1, 3]])
    band = by_epoch.collections[0].get_datalim(by_epoch.transData)
    np.testing.assert_allclose(band.intervaly, [-0.75, 4.25])
    assert (tmp_path / "m.png").exists()


def test_one_epoch_has_one_panel():
    means = {name: {0: epochs[0]} for name, epochs in MEANS.items()}
    figure = mean_activations(means)
    assert len(figure.axes) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ELU", "ReLU"]


def test_networks_of_nan_are_drawn_as_nothing():
    figure = mean_activations({"a": {0: {"elu1": np.array([np.nan])}}})
    assert not np.isfinite(figure.axes[0].containers[0].lines[0].get_ydata()).any()


@pytest.mark.parametrize(
    ("means", "kind", "message"),
    [
        ([1], TypeError, "got list"),
        ({}, ValueError, "got an empty dictionary"),
        ({"a": {"elu1": np.ones(3)}}, TypeError, "integers as epochs, got something else at 'a'"),
        ({"a": {}}, ValueError, "no epoch of 'a'"),
        ({"a": {0: np.ones(3)}}, TypeError, "empty array or something else at 'a', epoch 0"),
        (
            {"a": {0: {"elu1": np.ones(0)}}},
            TypeError,
            "empty array or something else at 'a', epoch 0",
        ),
        ({"a": {0: {}}}, ValueError, "no layer of 'a' at epoch 0"),
    ],
)
def test_wrong_means_are_refused(means, kind, message):
    with pytest.raises(kind, match=f"mean_activations: .*{message}"):
        mean_activations(means)
