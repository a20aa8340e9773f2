"""Filters as images, and saliency maps that leave the network unchanged."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L
from elunet.plots import filters, input_gradient, saliency


def tiles(figure, count, columns, height, width):
    """Return each filter's image, one number per weight and color."""
    sheet = figure.axes[0].images[0].get_array()
    rows = -(-count // columns)
    high, wide = (sheet.shape[0] - 4) // rows, (sheet.shape[1] - 4) // columns
    zoom = (high - 4) // height
    assert (wide - 4) // width == zoom
    corners = [(i // columns * high + 4, i % columns * wide + 4) for i in range(count)]
    return [sheet[y : y + zoom * height : zoom, x : x + zoom * width : zoom] for y, x in corners]


def test_each_filter_is_scaled_by_its_own_extremes(tmp_path):
    net = eln.Sequential([L.Conv2D(3, 5, (2, 3)), L.ELU(), L.Conv2D(5, 4, 1)], seed=0)
    figure = filters(net, columns=3, file=tmp_path / "f.png", title="filters")
    W = net["conv1"].params["W"].astype(float)
    for index, tile in enumerate(tiles(figure, 5, 3, 2, 3)):
        w = W[..., index]
        np.testing.assert_allclose(tile, (w - w.min()) / (w.max() - w.min()), atol=1e-6)
        assert (tile.min(), tile.max()) == (0, 1)
    assert figure.get_suptitle() == "filters"
    assert (tmp_path / "f.png").exists()


def test_the_saved_image_has_a_dot_for_a_dot(tmp_path):
    import matplotlib.image

    figure = filters(np.random.default_rng(0).normal(size=(5, 5, 3, 16)), file=tmp_path / "f.png")
    sheet = figure.axes[0].images[0].get_array()
    saved = matplotlib.image.imread(tmp_path / "f.png")[..., :3]
    assert saved.shape == sheet.shape
    np.testing.assert_allclose(saved, sheet, atol=1 / 255)


def test_gray_filters_have_three_equal_colors():
    W = np.random.default_rng(0).normal(size=(3, 3, 1, 2))
    one, _ = tiles(filters(W, columns=2), 2, 2, 3, 3)
    np.testing.assert_array_equal(one[..., 0], one[..., 2])


def test_constant_filters_are_gray_and_broken_ones_crossed():
    W = np.random.default_rng(0).normal(size=(4, 4, 3, 4))
    W[..., 1] = 7
    W[0, 0, 0, 2] = np.nan
    W[0, 0, 0, 3] = np.inf
    figure = filters(W, columns=4)
    drawn = tiles(figure, 4, 4, 4, 4)
    for tile in drawn[1:]:
        np.testing.assert_array_equal(tile, np.full((4, 4, 3), 0.5))
    (crosses,) = figure.axes[0].lines
    assert len(crosses.get_xdata()) == 2
    assert not filters(W[..., :2]).axes[0].lines


def test_a_linear_layer_needs_the_images_shape():
    net = eln.Sequential([L.Flatten(), L.Linear(12, 2)], seed=0)
    first, _ = tiles(filters(net, (2, 2, 3), columns=2), 2, 2, 2, 2)
    w = net["linear1"].params["W"][:, 0].reshape(2, 2, 3)
    np.testing.assert_allclose(first, (w - w.min()) / np.ptp(w), atol=1e-6)
    with pytest.raises(ValueError, match="give the images' shape"):
        filters(net)
    with pytest.raises(ValueError, match="of 12 numbers, got .2, 2, 1"):
        filters(net, (2, 2, 1))


@pytest.mark.parametrize("count", [1, 2, 8, 16, 17, 96, 192])
def test_by_default_few_places_stay_empty(count):
    W = np.random.default_rng(0).normal(size=(5, 5, 3, count))
    sheet = filters(W).axes[0].images[0].get_array()
    assert sheet.shape[1] <= 800
    assert sheet.shape[1] >= sheet.shape[0]


@pytest.mark.parametrize(
    ("W", "kind", "message"),
    [
        (np.ones((3, 3, 2, 4)), ValueError, r"1 or 3, filters\), got \(3, 3, 2, 4\)"),
        (np.ones((3, 3, 3, 0)), ValueError, "1 or 3, filters"),
        (np.ones(3), ValueError, "1 or 3, filters"),
        (np.ones((3, 3, 3, 4), complex), TypeError, "real numbers, got complex128"),
        (eln.Sequential([L.ELU()]), ValueError, "a weighted layer, got none"),
    ],
)
def test_what_are_no_filters_is_refused(W, kind, message):
    with pytest.raises(kind, match=f"filters: .*{message}"):
        filters(W)


def test_columns_are_checked():
    with pytest.raises(ValueError, match="filters: expected columns of at least 1"):
        filters(np.ones((3, 3, 3, 4)), columns=0)


def network():
    """Return a network with a skip and all layers that behave differently in training."""
    net = eln.Network(seed=0)
    net.add(L.Conv2D(3, 4, 3))
    net.add(L.BatchNorm(4))
    skip = net.add(L.ELU())
    net.add(L.Dropout(0.5))
    main = net.add(L.Conv2D(4, 4, 3))
    net.add(L.Add(), inputs=[skip, main])
    net.add(L.Flatten())
    net.add(L.Linear(4 * 4 * 4, 5))
    net["batchnorm1"].state["running_mean"] = np.array([0.1, -0.2, 0.3, 0.0])
    net["batchnorm1"].state["running_var"] = np.array([0.5, 1.0, 2.0, 3.0])
    return net


X = np.random.default_rng(1).normal(size=(3, 4, 4, 3))


def test_the_gradient_is_that_of_the_network_in_use():
    net = network()
    gradient, label = input_gradient(net, X)
    np.testing.assert_array_equal(label, net(X).argmax(axis=1))
    direction = np.random.default_rng(2).normal(size=X.shape)
    step = 1e-6 * direction
    rows = np.arange(3), label
    numeric = (net(X + step)[rows] - net(X - step)[rows]) / 2e-6
    np.testing.assert_allclose((gradient * direction).sum(axis=(1, 2, 3)), numeric, rtol=1e-6)
    assert gradient.dtype == np.float64
    assert input_gradient(net, X.astype(np.float32))[0].dtype == np.float32


def test_a_given_class():
    net = network()
    one, label = input_gradient(net, X, 4)
    np.testing.assert_array_equal(label, [4, 4, 4])
    each, label = input_gradient(net, X, [4, 0, 4])
    np.testing.assert_array_equal(label, [4, 0, 4])
    np.testing.assert_array_equal(each[[0, 2]], one[[0, 2]])
    assert not np.array_equal(each[1], one[1])


def everything(net):
    """Return what may change: parameters, running statistics, generators, gradients, rates."""
    return {
        "parameters": {name: value.copy() for name, value in net.parameters().items()},
        "gradients": {name: value.copy() for name, value in net.gradients().items()},
        "state": [{k: v.copy() for k, v in layer.state.items()} for layer in net.layers],
        "rng": [layer.rng and layer.rng.bit_generator.state for layer in net.layers],
        "rate": net["dropout1"].rate,
    }


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_in_the_network_changes(fails):
    """Not even between a forward pass and its backward pass, nor if there is an error."""
    net, other = network(), network()
    dy = np.ones_like(net.forward(X, train=True))
    other.forward(X, train=True)
    other.backward(dy)
    before = everything(net)
    if fails:
        with pytest.raises(ValueError, match="Linear"):
            input_gradient(net, np.zeros((1, 6, 6, 3)))
        with pytest.raises(ValueError, match="label from 0 to 4, got 9"):
            input_gradient(net, X, 9)
    else:
        input_gradient(net, X + 1)
        saliency(net, X + 1)
    np.testing.assert_equal(everything(net), before)
    net.backward(dy)
    np.testing.assert_equal(net.gradients(), other.gradients())


def test_saliency_is_the_largest_slope_of_a_pixel(tmp_path):
    net = network()
    shown = np.random.default_rng(0).integers(0, 255, X.shape, np.uint8)
    figure = saliency(
        net, X, 2, shown, classes=list("abcde"), file=tmp_path / "s.png", title="which pixels"
    )
    assert len(figure.axes) == 6
    gradient, _ = input_gradient(net, X, 2)
    for index in range(3):
        above, below = figure.axes[index], figure.axes[3 + index]
        np.testing.assert_array_equal(above.images[0].get_array(), shown[index])
        np.testing.assert_allclose(below.images[0].get_array(), np.abs(gradient[index]).max(axis=2))
        assert above.get_title() == "c"
    assert (tmp_path / "s.png").exists()


def test_gray_images_and_images_scaled_by_default():
    net = eln.Sequential([L.Flatten(), L.Linear(9, 2)], seed=0)
    x = np.random.default_rng(0).normal(size=(1, 3, 3, 1))
    above, below = saliency(net, x).axes
    shown = above.images[0].get_array()
    assert (shown.shape, shown.min(), shown.max()) == ((3, 3), 0, 1)
    assert below.images[0].get_array().shape == (3, 3)


@pytest.mark.parametrize(("count", "places"), [(1, 2), (8, 16), (9, 20), (10, 20)])
def test_at_most_eight_in_a_row(count, places):
    net = eln.Sequential([L.Flatten(), L.Linear(12, 2)], seed=0)
    assert len(saliency(net, np.ones((count, 2, 2, 3))).axes) == places


def test_maps_without_numbers_say_so():
    net = eln.Sequential([L.Tanh(), L.Flatten(), L.Linear(12, 2)], seed=0)
    x = np.zeros((3, 2, 2, 3))
    x[0, 0, 0, 0] = np.nan  # tanh' there is NaN
    x[1] = 1e6  # tanh' is 0
    figure = saliency(net, x)
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes[3:]]
    assert texts == [["not finite"], ["all 0"], []]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"x": np.zeros((2, 12))}, ValueError, r"1 or 3\), got \(2, 12\)"),
        ({"x": np.zeros((2, 4, 4, 2))}, ValueError, r"1 or 3\), got \(2, 4, 4, 2\)"),
        ({"x": X[:0]}, ValueError, "at least one image"),
        ({"x": X, "images": X[:1]}, ValueError, r"images of x's shape \(3, 4, 4, 3\)"),
        ({"x": X, "label": 5}, ValueError, "label from 0 to 4, got 5 at index 0"),
        ({"x": X, "label": 1.0}, TypeError, "label as integers, got float64"),
        ({"x": X, "label": [0, 1]}, ValueError, "expected 3 of label, got 2"),
        ({"x": X, "label": 4, "classes": ["a"]}, ValueError, "classes of at least 5 names, got 1"),
        ({"x": X.astype(np.uint8)}, TypeError, "float32 or float64, got uint8"),
        ({"x": [1]}, ValueError, r"1 or 3\), got .1"),
    ],
)
def test_wrong_arguments_of_saliency_are_refused(arguments, kind, message):
    with pytest.raises(kind, match=message):
        saliency(network(), **arguments)


def test_networks_without_logits_are_refused():
    with pytest.raises(ValueError, match=r"with output \(N, C\), got \(3, 4, 4, 3\)"):
        input_gradient(eln.Sequential([L.ELU()]), X)
    with pytest.raises(ValueError, match="and 0 layers"):
        input_gradient(eln.Network(), X)
