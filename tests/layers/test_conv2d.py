"""Conv2D against the formula in its docstring, written as loops; its paddings; its errors."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet import init
from elunet.layers import Conv2D


def zeros_before(layer, size, axis):
    """Return (zeros before, output size) along one axis, from the definition."""
    kernel, stride = layer.kernel_size[axis], layer.stride
    if layer.padding == "same":
        out = math.ceil(size / stride)
        return max((out - 1) * stride + kernel - size, 0) // 2, out
    each = 0 if layer.padding == "valid" else layer.padding[axis]
    return each, (size + 2 * each - kernel) // stride + 1


def plain_forward(layer, x):
    W = layer.params["W"].astype(np.float64)
    top, height = zeros_before(layer, x.shape[1], 0)
    left, width = zeros_before(layer, x.shape[2], 1)
    y = np.zeros((len(x), height, width, W.shape[3])) + layer.params.get("b", 0.0)
    for i, j, u, v in np.ndindex(height, width, *W.shape[:2]):
        row, column = i * layer.stride + u - top, j * layer.stride + v - left
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            y[:, i, j] += x[:, row, column] @ W[u, v]
    return y


@st.composite
def convolutions(draw):
    """Draw a layer, with a bias that is not 0, and its input."""
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    sides = [draw(st.integers(1, 7)), draw(st.integers(1, 7))]
    missing = [k - n for k, n in zip(kernel, sides, strict=True)]
    pads = [max(-(-m // 2), 0) + draw(st.integers(0, 1)) for m in missing]
    paddings = ["same", tuple(pads), max(pads)]
    if max(missing) <= 0:
        paddings.append("valid")
    layer = Conv2D(
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
        draw(st.sampled_from([kernel, kernel[0]])) if kernel[0] == kernel[1] else kernel,
        stride=draw(st.integers(1, 3)),
        padding=draw(st.sampled_from(paddings)),
        bias=draw(st.booleans()),
        seed=0,
    )
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    if layer.bias:
        layer.params["b"] = rng.normal(size=layer.out_channels).astype(np.float32)
    return layer, rng.normal(size=(draw(st.integers(1, 3)), *sides, layer.in_channels))


@given(drawn=convolutions())
def test_forward_is_the_formula(drawn):
    layer, x = drawn
    np.testing.assert_allclose(layer.forward(x), plain_forward(layer, x), atol=1e-12)
    y32 = layer.forward(x.astype(np.float32))
    np.testing.assert_allclose(y32, plain_forward(layer, x), rtol=1e-4, atol=1e-4)


@given(drawn=convolutions())
def test_backward_is_the_transpose(drawn):
    """y is linear in x, in W and in b: <dy, y(v)> = <gradient, v> for each of them."""
    layer, x = drawn
    y = layer.forward(x)
    dy = np.random.default_rng(1).normal(size=y.shape)
    dx = layer.backward(dy)
    bias = (layer.grads["b"] * layer.params["b"]).sum() if layer.bias else 0.0
    np.testing.assert_allclose((dy * y).sum() - bias, (dx * x).sum(), atol=1e-9)
    np.testing.assert_allclose(
        (dy * y).sum() - bias, (layer.grads["W"] * layer.params["W"]).sum(), atol=1e-9
    )
    if layer.bias:
        np.testing.assert_allclose(layer.grads["b"], dy.sum(axis=(0, 1, 2)), atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, (2, 5)])
@pytest.mark.parametrize("size", [1, 4, 5, 7])
def test_same_padding(size, kernel, stride):
    layer = Conv2D(1, 2, kernel, stride=stride, seed=0)
    x = np.random.default_rng(0).normal(size=(2, size, size + 1, 1))
    y = layer.forward(x)
    assert y.shape[1:3] == (math.ceil(size / stride), math.ceil((size + 1) / stride))
    np.testing.assert_allclose(y, plain_forward(layer, x), atol=1e-12)


def test_same_puts_the_odd_zero_last():
    """A 2x2 kernel looks to the right and down."""
    layer = Conv2D(1, 1, 2, init=init.Constant(1.0))
    y = layer.forward(np.arange(1.0, 5.0).reshape(1, 2, 2, 1))
    np.testing.assert_array_equal(y[0, :, :, 0], [[10, 6], [7, 4]])


def test_one_by_one_kernel_with_padding_and_stride():
    """As many outputs as pixels, and yet not the image itself."""
    layer = Conv2D(1, 1, 1, stride=2, padding=1, init=init.Constant(1.0))
    x = np.arange(1.0, 5.0).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(layer.forward(x)[0, :, :, 0], [[0, 0], [0, 4]])


def test_many_blocks(monkeypatch):
    """However few images fit into the block of columns, the result is the same."""
    from elunet.layers import _im2col, conv2d

    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(7, 6, 6, 3)), rng.normal(size=(7, 6, 6, 4))
    results = []
    for block in (_im2col.BLOCK, 1, 3 * 36 * 27 * 8):
        monkeypatch.setattr(_im2col, "BLOCK", block)
        conv2d._made.cache_clear()
        layer = Conv2D(3, 4, 3, seed=0)
        y = layer.forward(x)
        results.append((y, layer.backward(dy), layer.grads["W"], layer.grads["b"]))
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)
    conv2d._made.cache_clear()


def test_nchw_is_hinted_at():
    layer = Conv2D(3, 16, 3)
    message = (
        "Conv2D(3->16, 3x3): expected x of shape (N, H, W, 3), got (32, 3, 28, 28);"
        " arrays are (N, H, W, C)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.forward(np.ones((32, 3, 28, 28)))


def test_wrong_channels():
    message = "Conv2D(3->16, 3x3): expected x of shape (N, H, W, 3), got (32, 28, 28, 1)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Conv2D(3, 16, 3).forward(np.ones((32, 28, 28, 1)))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            Conv2D(1, 1, 5, padding="valid"),
            (2, 4, 8, 1),
            "at least 5 pixels in height, padding included, got 4 (x of shape (2, 4, 8, 1))",
        ),
        (
            Conv2D(1, 1, (2, 7), padding=(0, 1)),
            (2, 4, 4, 1),
            "at least 7 pixels in width, padding included, got 6 (x of shape (2, 4, 4, 1))",
        ),
        (
            Conv2D(1, 1, 3),
            (2, 0, 4, 1),
            "at least 3 pixels in height, padding included, got",
        ),
    ],
)
def test_kernel_larger_than_the_padded_image(layer, shape, message):
    with pytest.raises(ValueError, match=re.escape(f"{layer!r}: expected x of {message}")):
        layer.forward(np.ones(shape))


FOUR = '"same", "valid", an integer, (height, width) or ((top, bottom), (left, right)), got '


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"stride": 0}, ValueError, "stride of at least 1, got 0"),
        ({"stride": 1.0}, TypeError, "stride as an integer, got 1.0"),
        ({"stride": (1, 2, 3)}, ValueError, "stride as an integer or two, got (1, 2, 3)"),
        ({"padding": -1}, ValueError, "padding of at least 0, got -1"),
        ({"padding": (0, -2)}, ValueError, "padding of at least 0, got -2"),
        ({"padding": True}, TypeError, "padding as an integer, got True"),
        ({"padding": 0.5}, TypeError, "padding as an integer, got 0.5"),
        (
            {"padding": "SAME"},
            ValueError,
            FOUR + "'SAME'",
        ),
        (
            {"padding": "ab"},
            ValueError,
            FOUR + "'ab'",
        ),
        (
            {"padding": (1, 1, 1)},
            ValueError,
            FOUR + "(1, 1, 1)",
        ),
        ({"padding": None}, TypeError, "padding as an integer, got None"),
        ({"kernel_size": 0}, ValueError, "kernel_size of at least 1, got 0"),
        ({"kernel_size": True}, TypeError, "kernel_size as an integer, got True"),
        ({"kernel_size": 3.0}, TypeError, "kernel_size as an integer, got 3.0"),
        ({"kernel_size": (3,)}, ValueError, "kernel_size as an integer or two, got (3,)"),
        ({"kernel_size": "33"}, ValueError, "kernel_size as an integer or two, got '33'"),
        ({"algorithm": "fft"}, ValueError, "algorithm to be one of ('auto', 'im2col', 'winograd')"),
        (
            {"algorithm": "winograd", "stride": 2},
            ValueError,
            "for algorithm winograd, got kernel_size 3, stride 2, dilation 1, groups 1",
        ),
        (
            {"algorithm": "winograd", "kernel_size": (2, 3)},
            ValueError,
            "for algorithm winograd, got kernel_size (2, 3), stride 1, dilation 1, groups 1",
        ),
        ({"in_channels": 0}, ValueError, "in_channels of at least 1, got 0"),
        ({"out_channels": 1.5}, TypeError, "out_channels as an integer, got 1.5"),
    ],
)
def test_bad_arguments(change, kind, message):
    arguments = {"in_channels": 3, "out_channels": 4, "kernel_size": 3} | change
    with pytest.raises(kind, match=re.escape(message)) as error:
        Conv2D(**arguments)
    assert str(error.value).startswith("Conv2D: expected ")


def test_numpy_integers_are_integers():
    layer = Conv2D(np.int64(3), np.int32(4), (np.uint8(3), np.int64(2)), np.int64(1), np.int64(1))
    assert repr(layer) == "Conv2D(3->4, 3x2, padding (1, 1))"
