"""Max and mean pooling: overlaps, gaps, windows that do not fit, ties, and errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.layers import GlobalMeanPool2D, MaxPool2D, MeanPool2D

KINDS = pytest.mark.parametrize(("kind", "of"), [(MaxPool2D, np.max), (MeanPool2D, np.mean)])


@KINDS
@given(
    size=st.integers(1, 4),
    stride=st.none() | st.integers(1, 5),
    more=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    seed=st.integers(0, 99),
)
def test_every_window_that_fits(kind, of, size, stride, more, seed):
    x = np.random.default_rng(seed).normal(size=(2, size + more[0], size + more[1], 3))
    y = kind(size, stride).forward(x)
    step = size if stride is None else stride
    assert y.shape == (2, more[0] // step + 1, more[1] // step + 1, 3)
    for i, j in np.ndindex(y.shape[1:3]):
        window = x[:, i * step : i * step + size, j * step : j * step + size]
        np.testing.assert_allclose(y[:, i, j], of(window, axis=(1, 2)), atol=1e-14)


@KINDS
def test_what_no_window_sees_gets_no_gradient(kind, of):
    layer = kind(2)
    dx = layer.backward(
        np.ones_like(layer.forward(np.random.default_rng(0).normal(size=(1, 5, 5, 1))))
    )
    np.testing.assert_array_equal(dx[:, 4], 0)
    np.testing.assert_array_equal(dx[:, :, 4], 0)
    assert dx.sum() == pytest.approx(4)


def test_of_equal_values_the_first_wins():
    layer = MaxPool2D(2, 1)
    y = layer.forward(np.ones((1, 2, 3, 1)))
    dx = layer.backward(np.array([2.0, 3.0]).reshape(y.shape))
    np.testing.assert_array_equal(dx[0, :, :, 0], [[2, 3, 0], [0, 0, 0]])


def test_overlapping_windows_sum_their_gradients():
    layer = MaxPool2D(2, 1)
    y = layer.forward(np.array([[0.0, 9, 0], [0, 0, 0]]).reshape(1, 2, 3, 1))
    dx = layer.backward(np.array([2.0, 3.0]).reshape(y.shape))
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0, 5, 0], [0, 0, 0]])


@pytest.mark.parametrize("size", [16, 17])
def test_large_windows(size):
    """Places above 255 do not fit into a byte."""
    x = np.zeros((1, size, size, 1))
    x[0, -1, -1] = 1
    layer = MaxPool2D(size)
    dx = layer.backward(layer.forward(x))
    np.testing.assert_array_equal(dx, x)


def test_nan_is_passed_on():
    x = np.zeros((1, 2, 4, 1))
    x[0, 1, 1] = np.nan
    for layer in (MaxPool2D(), MeanPool2D()):
        np.testing.assert_array_equal(np.isnan(layer.forward(x)).ravel(), [True, False])


@KINDS
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "expected size of at least 1, got 0"),
        ((2, 0), ValueError, "expected stride of at least 1, got 0"),
        ((2, -1), ValueError, "expected stride of at least 1, got -1"),
        ((2.0,), TypeError, "expected size as an integer, got 2.0"),
        ((True,), TypeError, "expected size as an integer, got True"),
        ((2, 1.5), TypeError, "expected stride as an integer, got 1.5"),
        (((2, 2, 2),), ValueError, "expected size as an integer or two, got (2, 2, 2)"),
    ],
)
def test_bad_arguments(kind, of, arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(f'{kind.__name__}: {message}')}$"):
        kind(*arguments)


@KINDS
def test_pictures_smaller_than_a_window(kind, of):
    message = (
        f"{kind.__name__}(3x3): expected x of at least 3 x 3 pixels, got x of shape (1, 2, 5, 1)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(3).forward(np.ones((1, 2, 5, 1)))


@KINDS
def test_a_window_that_only_begins_inside(kind, of):
    """In ceil mode an image may be smaller than a window, but not by a whole step."""
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 1))
    layer = kind(3, 2, "valid", ceil_mode=True)
    np.testing.assert_allclose(layer.forward(x).item(), of(x))
    if kind is MeanPool2D:
        np.testing.assert_allclose(layer.backward(np.ones((1, 1, 1, 1))), np.full(x.shape, 1 / 6))
    message = f"{kind.__name__}(3x3, stride 1, ceil_mode): expected x of at least 3 x 3 pixels"
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(3, 1, ceil_mode=True).forward(x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_global_mean(dtype):
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(dtype)
    layer = GlobalMeanPool2D()
    np.testing.assert_allclose(layer.forward(x), x.mean(axis=(1, 2)), rtol=1e-5, atol=1e-7)
    dy = np.arange(8, dtype=dtype).reshape(2, 4)
    expected = np.broadcast_to(dy[:, None, None] / 15, x.shape)
    np.testing.assert_allclose(layer.backward(dy), expected, rtol=1e-6)


def test_global_mean_of_nothing():
    with pytest.raises(
        ValueError, match=r"GlobalMeanPool2D\(\): expected x of at least 1 x 1 pixel"
    ):
        GlobalMeanPool2D().forward(np.ones((2, 0, 3, 1)))
