"""The pooling kernels against loops over windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.pooling import max_pool, max_pool_backward, mean_pool, mean_pool_backward

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@st.composite
def cases(draw):
    """Draw (x in float64 with many ties, size, stride)."""
    size, stride = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    sides = [draw(st.integers(size, 7)) for _ in range(2)]
    shape = (draw(st.integers(1, 2)), *sides, draw(st.sampled_from([1, 2, 3, 15, 16, 17, 35])))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.integers(-4, 5, shape).astype(np.float64), size, stride


def out_shape(x, size, stride):
    sides = ((side - size) // stride + 1 for side in x.shape[1:3])
    return (len(x), *sides, x.shape[3])


def windows(x, size, stride):
    """Yield each output place (n, i, j, c) and its window."""
    for n, i, j, c in np.ndindex(out_shape(x, size, stride)):
        rows, columns = i * stride, j * stride
        yield (n, i, j, c), x[n, rows : rows + size, columns : columns + size, c]


def run_max_pool(x, size, stride, places=np.uint8):
    y = np.full(out_shape(x, size, stride), np.nan, x.dtype)
    winner = np.full(y.shape, 99, places)
    max_pool(x, size, stride, y, winner)
    return y, winner


@DTYPES
@pytest.mark.parametrize("places", [np.uint8, np.int32])
@given(case=cases())
def test_max_pool_and_its_ties(dtype, places, case):
    x, size, stride = case
    y, winner = run_max_pool(x.astype(dtype), size, stride, places)
    for place, window in windows(x, size, stride):
        assert y[place] == window.max()
        assert winner[place] == window.argmax()  # the first of equal ones


@DTYPES
@given(case=cases())
def test_max_pool_backward(dtype, case):
    x, size, stride = case
    y, winner = run_max_pool(x.astype(dtype), size, stride)
    dy = np.arange(1, y.size + 1, dtype=dtype).reshape(y.shape)
    dx = np.full(x.shape, np.nan, dtype)
    max_pool_backward(dy, winner, size, stride, dx)
    expected = np.zeros_like(x)
    for place, window in windows(expected, size, stride):
        window[divmod(int(winner[place]), size)] += dy[place]
    np.testing.assert_array_equal(dx, expected)


@DTYPES
def test_nan_wins_wherever_it_stands(dtype):
    for k in range(4):
        x = np.arange(4, dtype=dtype)
        x[k] = np.nan
        y, winner = run_max_pool(x.reshape(1, 2, 2, 1), 2, 2)
        assert np.isnan(y[0, 0, 0, 0])
        assert winner[0, 0, 0, 0] == k


@DTYPES
def test_infinities(dtype):
    x = np.array([-np.inf, -np.inf, np.inf, 0], dtype).reshape(1, 2, 2, 1)
    assert run_max_pool(x, 2, 2)[0].item() == np.inf
    assert run_max_pool(np.full_like(x, -np.inf), 2, 2)[0].item() == -np.inf


@DTYPES
@given(case=cases())
def test_mean_pool(dtype, case):
    x, size, stride = case
    y = np.full(out_shape(x, size, stride), np.nan, dtype)
    mean_pool(x.astype(dtype), size, stride, y)
    for place, window in windows(x, size, stride):
        np.testing.assert_allclose(y[place], window.mean(), rtol=1e-6, atol=1e-6)


@DTYPES
@given(case=cases())
def test_mean_pool_backward_is_its_transpose(dtype, case):
    x, size, stride = case
    y = np.empty(out_shape(x, size, stride), dtype)
    mean_pool(x.astype(dtype), size, stride, y)
    dy = np.random.default_rng(0).integers(-9, 10, y.shape).astype(dtype)
    dx = np.full(x.shape, np.nan, dtype)
    mean_pool_backward(dy, size, stride, dx)
    np.testing.assert_allclose((y * dy).sum(), (x * dx).sum(), rtol=1e-5, atol=1e-4)
    expected = np.zeros_like(x)
    for place, window in windows(expected, size, stride):
        window += dy[place] / size**2
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-5)
