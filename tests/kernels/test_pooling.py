"""The pooling kernels against their plain twins, and against those for windows of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.plain import pooling as plain
from elunet.kernels.pooling import max_pool, max_pool_backward, mean_pool, mean_pool_backward
from elunet.kernels.windows import max_windows, mean_windows

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


def lines(x, size, stride):
    """Return the windows' rows and columns, as `max_windows` takes them."""
    firsts = (np.arange(count) * stride for count in out_shape(x, size, stride)[1:3])
    return [np.stack([first, first + size], axis=1) for first in firsts]


def run_max_pool(x, size, stride, places=np.uint8):
    y = np.full(out_shape(x, size, stride), np.nan, x.dtype)
    winner = np.full(y.shape, 99, places)
    max_pool(x, size, stride, y, winner)
    return y, winner


@DTYPES
@pytest.mark.parametrize("places", [np.uint8, np.int32])
@given(case=cases())
def test_max_pool_is_the_one_for_any_windows(dtype, places, case):
    """Its winners are places in the window; those of the other are places in the image."""
    x, size, stride = case
    y, winner = run_max_pool(x.astype(dtype), size, stride, places)
    expected, place = np.empty(y.shape), np.empty(y.shape, np.int32)
    max_windows(x, *lines(x, size, stride), expected, place)
    np.testing.assert_array_equal(y, expected)
    _, i, j, _ = np.indices(y.shape, sparse=True)
    row, column = np.divmod(winner.astype(int), size)
    width = x.shape[2]
    np.testing.assert_array_equal((i * stride + row) * width + j * stride + column, place)


@pytest.mark.numba
@DTYPES
@given(case=cases())
def test_gradients_are_their_twins(dtype, case):
    x, size, stride = case
    y, winner = run_max_pool(x.astype(dtype), size, stride)
    dy = np.arange(1, y.size + 1, dtype=dtype).reshape(y.shape)
    dx, expected = np.full(x.shape, np.nan, dtype), np.empty(x.shape, dtype)
    max_pool_backward(dy, winner, size, stride, dx)
    plain.max_pool_backward(dy, winner, size, stride, expected)
    np.testing.assert_array_equal(dx, expected)
    mean_pool_backward(dy, size, stride, dx)
    plain.mean_pool_backward(dy, size, stride, expected)
    np.testing.assert_allclose(dx, expected, rtol=1e-6)


@DTYPES
@given(case=cases())
def test_gradients_are_transposes(dtype, case):
    """<y, dy> = <x, dx> for the windows that won; for means, exactly that."""
    x, size, stride = case
    y, winner = run_max_pool(x.astype(dtype), size, stride)
    dy = np.random.default_rng(0).integers(-9, 10, y.shape).astype(dtype)
    dx = np.full(x.shape, np.nan, dtype)
    max_pool_backward(dy, winner, size, stride, dx)
    assert (y * dy).sum() == (x * dx).sum()
    mean_pool(x.astype(dtype), size, stride, y)
    mean_pool_backward(dy, size, stride, dx)
    np.testing.assert_allclose((y * dy).sum(), (x * dx).sum(), rtol=1e-5, atol=1e-4)


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
def test_mean_pool_is_the_one_for_any_windows(dtype, case):
    x, size, stride = case
    y = np.full(out_shape(x, size, stride), np.nan, dtype)
    mean_pool(x.astype(dtype), size, stride, y)
    expected = np.empty(y.shape)
    mean_windows(x, *lines(x, size, stride), np.full(y.shape[1:3], float(size**2)), expected)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)
