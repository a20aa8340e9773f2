"""Convolutions and poolings of every kind against PyTorch's, both ways, in both dtypes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from elunet import layers as L
from elunet.testing import check_layer

torch = pytest.importorskip("torch")
F = torch.nn.functional
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate"}
PAIR = st.integers(1, 3) | st.tuples(st.integers(1, 3), st.integers(1, 3))


def nchw(x):
    return torch.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def nhwc(x):
    return x.detach().numpy().transpose(0, 2, 3, 1)


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def same(size, kernel, stride, dilation):
    """Return TensorFlow's zeros before and after, written out by cases."""
    reach = (kernel - 1) * dilation + 1
    total = max(reach - stride if size % stride == 0 else reach - size % stride, 0)
    return total // 2, total - total // 2


def compare(layer, theirs, x, dtype):
    """Compare output, gradient of the input and of the parameters with a function of PyTorch's."""
    rtol = 1e-4 if dtype == np.float32 else 1e-11
    x = x.astype(dtype)
    given = nchw(x).requires_grad_()
    expected = theirs(given)
    y = layer.forward(x, train=True)
    assert y.dtype == dtype
    scale = max(1.0, float(np.abs(y).max(initial=0)))
    np.testing.assert_allclose(y, nhwc(expected), rtol, rtol * scale)
    dy = np.random.default_rng(1).normal(size=y.shape).astype(dtype)
    expected.backward(nchw(dy))
    dx = layer.backward(dy)
    assert dx.dtype == dtype
    np.testing.assert_allclose(dx, nhwc(given.grad), rtol, 10 * rtol)


@st.composite
def convolutions(draw):
    groups = draw(st.sampled_from([1, 1, 2, 3, 4]))
    channels = groups * draw(st.integers(1, 3))
    outputs = groups * draw(st.integers(1, 3))
    padding = draw(
        st.sampled_from(["same", "valid", 1, (0, 2), ((1, 0), (2, 1)), ((0, 2), (0, 0))])
    )
    mode = draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate"]))
    kernel, stride, dilation = draw(PAIR), draw(PAIR), draw(PAIR)
    layer = L.Conv2D(
        channels, outputs, kernel, stride, padding, draw(st.booleans()), groups=groups,
        seed=draw(st.integers(0, 9)), dilation=dilation, padding_mode=mode,
    )  # fmt: skip
    shape = (draw(st.integers(1, 3)), draw(st.integers(4, 9)), draw(st.integers(4, 9)), channels)
    return layer, np.random.default_rng(draw(st.integers(0, 9))).normal(size=shape)


@settings(max_examples=300)
@given(case=convolutions(), dtype=st.sampled_from([np.float32, np.float64]))
def test_convolutions(case, dtype):
    layer, x = case
    if "b" in layer.params:
        layer.params["b"] = np.linspace(-1, 1, layer.out_channels)
    strides, dilation = layer.strides, layer.dilations
    if layer.padding == "same":
        around = [
            same(x.shape[1 + axis], layer.kernel_size[axis], strides[axis], dilation[axis])
            for axis in (0, 1)
        ]
    else:
        sides = (0, 0) if layer.padding == "valid" else layer.padding
        around = [pair(side) for side in sides]
    (top, bottom), (left, right) = around
    for axis, (before, after) in enumerate(around):
        size = x.shape[1 + axis]
        assume(size + before + after >= (layer.kernel_size[axis] - 1) * dilation[axis] + 1)
        assume(layer.padding_mode != "reflect" or max(before, after) < size)
    W = torch.tensor(layer.params["W"].astype(dtype).transpose(3, 2, 0, 1)).requires_grad_()
    b = layer.params.get("b")
    b = None if b is None else torch.tensor(b.astype(dtype)).requires_grad_()

    def theirs(given):
        mode = MODES[layer.padding_mode]
        padded = F.pad(given, (left, right, top, bottom), mode) if any(map(any, around)) else given
        return F.conv2d(padded, W, b, strides, 0, dilation, layer.groups)

    compare(layer, theirs, x, dtype)
    rtol = 1e-4 if dtype == np.float32 else 1e-10
    dW = W.grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(layer.grads["W"], dW, rtol, 20 * rtol)
    if b is not None:
        np.testing.assert_allclose(layer.grads["b"], b.grad.numpy(), rtol, 20 * rtol)
    assert layer.params["W"].shape == (
        *layer.kernel_size, layer.in_channels // layer.groups, layer.out_channels,
    )  # fmt: skip


@settings(max_examples=40)
@given(case=convolutions())
def test_gradients_of_convolutions(case):
    layer, x = case
    try:
        layer.forward(x)
    except ValueError:  # there is no room for a window
        assume(False)
    check_layer(layer, x)


def test_a_weight_that_stands_in():
    """Feedback alignment's way back, for every way of computing."""
    for groups, dilation, mode in itertools.product((1, 2, 4), (1, 2), MODES):
        layer = L.Conv2D(4, 8, 3, groups=groups, dilation=dilation, padding_mode=mode, seed=0)
        other = L.Conv2D(4, 8, 3, groups=groups, dilation=dilation, padding_mode=mode, seed=1)
        x, dy = np.random.default_rng(0).normal(size=(2, 2, 6, 7, 4)), None
        y = layer.forward(x[0])
        dy = np.random.default_rng(1).normal(size=y.shape)
        other.forward(x[1])
        np.testing.assert_allclose(
            layer.backward_input(dy, weight=other.params["W"]), other.backward_input(dy)
        )
        with pytest.raises(ValueError, match="expected weight as a float array of W's shape"):
            layer.backward_input(dy, weight=np.ones((3, 3, 4, 9)))


def test_two_threads_give_the_numbers_of_one():
    import elunet as eln

    before = eln.get_num_threads()
    x = np.random.default_rng(0).normal(size=(40, 20, 20, 16)).astype(np.float32)
    found = []
    try:
        for threads in (1, 2):
            eln.set_num_threads(threads)
            for groups in (2, 16):
                layer = L.Conv2D(16, 32, 3, groups=groups, seed=0)
                y = layer.forward(x)
                found.append((y, layer.backward(np.ones_like(y)), layer.grads["W"]))
    finally:
        eln.set_num_threads(before)
    for one, other in zip(found[:2], found[2:], strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"groups": 3}, "expected groups that in_channels and out_channels can be split into, got"),
        ({"groups": 0}, "expected groups of at least 1"),
        ({"dilation": 0}, "expected dilation of at least 1"),
        ({"stride": (1, 2, 3)}, "expected stride as an integer or two"),
        ({"padding": ((1, 2), 3, 4)}, r'expected padding as "same", "valid", an integer, \(height'),
        ({"padding_mode": "circular"}, "expected padding_mode among"),
        (
            {"algorithm": "winograd", "dilation": 2},
            "expected a 2x2 or 3x3 kernel, and stride, dilation",
        ),
    ],
)
def test_arguments_of_convolutions(arguments, text):
    with pytest.raises(ValueError, match=f"Conv2D: {text}"):
        L.Conv2D(4, 4, 3, **arguments)


def test_images_too_small_to_be_mirrored():
    layer = L.Conv2D(1, 1, 7, padding_mode="reflect")
    with pytest.raises(ValueError, match="expected x of at least 4 pixels along a padded axis"):
        layer.forward(np.ones((1, 3, 9, 1)))


@st.composite
def poolings(draw, kind):
    size = draw(PAIR)
    stride = draw(st.none() | PAIR)
    high, wide = pair(size)
    sides = st.tuples(st.integers(0, (high - 1) // 2 + 1), st.integers(0, (wide - 1) // 2 + 1))
    padding = draw(st.just(0) | sides)
    assume(pair(padding)[0] <= high // 2 and pair(padding)[1] <= wide // 2)  # PyTorch's own limit
    arguments = {"ceil_mode": draw(st.booleans())}
    if kind is L.MeanPool2D:
        arguments["count_include_pad"] = draw(st.booleans())
    shape = (draw(st.integers(1, 3)), draw(st.integers(3, 9)), draw(st.integers(3, 9)), 2)
    x = np.random.default_rng(draw(st.integers(0, 9))).normal(size=shape)
    return kind(size, stride, padding, **arguments), x


@settings(max_examples=200)
@given(case=poolings(L.MaxPool2D), dtype=st.sampled_from([np.float32, np.float64]))
def test_max_poolings(case, dtype):
    layer, x = case
    around = [sides[0] for sides in layer._around]
    compare(
        layer,
        lambda given: F.max_pool2d(
            given, layer.sizes, layer.strides, around, ceil_mode=layer.ceil_mode
        ),
        x,
        dtype,
    )


@settings(max_examples=200)
@given(case=poolings(L.MeanPool2D), dtype=st.sampled_from([np.float32, np.float64]))
def test_mean_poolings(case, dtype):
    layer, x = case
    around = [sides[0] for sides in layer._around]
    compare(
        layer,
        lambda given: F.avg_pool2d(
            given, layer.sizes, layer.strides, around, layer.ceil_mode, layer.count_include_pad
        ),
        x,
        dtype,
    )


@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.just(2)),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_adaptive_mean_pooling(size, shape, dtype):
    x = np.random.default_rng(0).normal(size=shape)
    compare(L.AdaptiveMeanPool2D(size), lambda g: F.adaptive_avg_pool2d(g, size), x, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_global_max_pooling(dtype):
    x = np.random.default_rng(0).normal(size=(3, 5, 4, 2)).astype(dtype)
    layer = L.GlobalMaxPool2D()
    y = layer.forward(x)
    np.testing.assert_array_equal(y, x.max(axis=(1, 2)))
    dx = layer.backward(np.ones_like(y))
    np.testing.assert_array_equal(dx, (x == y[:, None, None]).astype(dtype))
    with pytest.raises(ValueError, match="expected x of at least 1 x 1 pixel"):
        layer.forward(x[:, :0])


@pytest.mark.parametrize("kind", [L.MaxPool2D, L.MeanPool2D])
def test_same_padding_of_a_pooling(kind):
    """TensorFlow's: ceil(size / stride) outputs; what lies outside has no value."""
    more = {"count_include_pad": False} if kind is L.MeanPool2D else {}
    x = np.random.default_rng(0).normal(size=(1, 5, 6, 1))
    layer = kind(3, 2, padding="same", **more)
    y = layer.forward(x)
    assert y.shape == (1, 3, 3, 1)
    take = np.max if kind is L.MaxPool2D else np.mean
    for i, j in itertools.product(range(3), range(3)):
        top, left = max(2 * i - 1, 0), max(2 * j, 0)
        window = x[0, top : 2 * i + 2, left : 2 * j + 3, 0]
        assert y[0, i, j, 0] == pytest.approx(take(window))


@pytest.mark.parametrize("size", [(3, 3), (2, 3)])
def test_the_general_way_gives_the_same_as_the_fast_one(size):
    x = np.random.default_rng(0).normal(size=(2, 9, 9, 3)).astype(np.float32)
    x[0, 4, 4] = np.nan
    for kind in (L.MaxPool2D, L.MeanPool2D):
        plain, general = kind(3, 2), kind(3, 2, ceil_mode=True)
        assert plain.is_plain
        assert not general.is_plain
        y = plain.forward(x)
        np.testing.assert_allclose(y, general.forward(x), rtol=1e-6)
        dy = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
        np.testing.assert_allclose(plain.backward(dy), general.backward(dy), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [L.MaxPool2D, L.MeanPool2D])
def test_arguments_of_poolings(kind):
    name = kind.__name__
    for arguments, text in (
        ({"size": (1, 2, 3)}, "expected size as an integer or two"),
        ({"stride": 0}, "expected stride of at least 1"),
        ({"padding": 2}, "expected padding of less than a window, got 2 for 2 pixels"),
        ({"padding": "full"}, 'expected padding as "same", "valid", an integer'),
    ):
        with pytest.raises(ValueError, match=f"{name}: {text}"):
            kind(**arguments)
    with pytest.raises(ValueError, match="expected x of at least 3 x 5 pixels, got x of shape"):
        kind((3, 5)).forward(np.ones((1, 3, 4, 1)))
    with pytest.raises(ValueError, match="expected size of at least 1"):
        L.AdaptiveMeanPool2D(0)


@given(
    stride=st.integers(1, 2),
    padding=st.sampled_from(["valid", "same", (1, 0)]),
    kernel=st.sampled_from([1, 3, (2, 1)]),
    bias=st.booleans(),
)
def test_locally_connected(stride, padding, kernel, bias):
    """Position by position, a convolution with a kernel of its own."""
    layer = L.LocallyConnected2D((5, 6), 2, 3, kernel, stride, padding, bias, seed=0)
    like = L.Conv2D(2, 3, kernel, stride, padding, bias=False)
    x = np.random.default_rng(0).normal(size=(4, 5, 6, 2))
    y = layer.forward(x)
    W = layer.params["W"].reshape(*like.kernel_size, 2, *y.shape[1:])
    b = layer.params["b"].reshape(y.shape[1:]) if bias else np.zeros(y.shape[1:])
    for i, j in np.ndindex(y.shape[1:3]):
        like.params["W"] = W[..., i, j, :].astype(np.float64)
        np.testing.assert_allclose(y[:, i, j], like.forward(x)[:, i, j] + b[i, j], rtol=1e-10)
    check_layer(layer, x)


def test_locally_connected_layers_have_the_scale_of_a_convolution():
    layer = L.LocallyConnected2D(16, 8, 4, 3, seed=0)
    assert layer.params["W"].var() == pytest.approx(2 / (9 * 8), rel=0.05)
    assert "b" not in L.LocallyConnected2D(4, 1, 1, 3, bias=False).params
    for arguments, text in (
        (((4, 4, 4), 1, 1, 3), "expected image_size as an integer or"),
        ((2, 1, 1, 3), "expected image_size with room for a window, padding included, got 2 for"),
        ((2, 0, 1, 3), "expected in_channels of at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=f"^LocallyConnected2D: {text}"):
            L.LocallyConnected2D(*arguments)
    with pytest.raises(ValueError, match=r"expected x of shape \(N, 16, 16, 8\), got"):
        layer.forward(np.ones((1, 15, 16, 8)))
