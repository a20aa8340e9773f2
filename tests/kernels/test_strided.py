"""im2col with strides, dilation and groups against a loop, the others against their plain twins.

The loop is here for the twins, all of which take windows in the same way.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.plain import strided as plain
from elunet.kernels.strided import (
    col2im_strided,
    depthwise,
    depthwise_backward,
    depthwise_gradient,
    im2col_strided,
)

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def cases(draw):
    """Draw (x of different whole numbers, stride, dilation, top, left, the columns' shape)."""
    groups, channels = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    shape = (draw(st.integers(1, 2)), *draw(PAIRS), groups * channels)
    x = 1.0 + np.arange(np.prod(shape)).reshape(shape)
    columns = (groups, shape[0], *draw(PAIRS), *draw(PAIRS), channels)
    return x, draw(PAIRS), draw(PAIRS), draw(st.integers(0, 3)), draw(st.integers(0, 3)), columns


def gathered(x, stride, dilation, top, left, shape):
    columns = np.zeros(shape)
    for g, n, i, j, u, v, c in np.ndindex(shape):
        row = i * stride[0] + u * dilation[0] - top
        column = j * stride[1] + v * dilation[1] - left
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            columns[g, n, i, j, u, v, c] = x[n, row, column, g * shape[-1] + c]
    return columns


@DTYPES
@given(case=cases())
def test_gather(dtype, case):
    x, *where, shape = case
    columns = np.full(shape, np.nan, dtype)
    im2col_strided(x.astype(dtype), *where, columns)
    np.testing.assert_array_equal(columns, gathered(x, *where, shape))


@DTYPES
@given(case=cases())
def test_scatter_is_the_transpose(dtype, case):
    """Each number of x goes to the places that hold it: dx is the sum of what lies there."""
    x, *where, shape = case
    there = gathered(x, *where, shape)
    dy = np.random.default_rng(0).integers(-9, 10, shape).astype(dtype)
    dx = np.full(x.shape, np.nan, dtype)
    col2im_strided(dy, *where, dx)
    expected = [dy[there == number].sum() for number in x.reshape(-1)]
    np.testing.assert_array_equal(dx.reshape(-1), expected)


@st.composite
def depthwise_cases(draw):
    """Draw (x, W, strides, dilation, top, left, output shape), of whole numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    channels, many = draw(st.sampled_from([1, 3, 16, 17])), draw(st.integers(1, 2))
    x = rng.integers(-4, 5, (draw(st.integers(1, 2)), *draw(PAIRS), channels))
    W = rng.integers(-4, 5, (*draw(PAIRS), channels * many))
    corner = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    shape = (len(x), draw(st.integers(1, 4)), draw(st.integers(1, 5)), channels * many)
    return x, W, draw(PAIRS), draw(PAIRS), *corner, shape


@pytest.mark.numba
@DTYPES
@given(case=depthwise_cases())
def test_depthwise_kernels(dtype, case):
    """Forward, and both ways back, of whole numbers: exact in either dtype."""
    x, W, *where, shape = case
    dy = np.random.default_rng(1).integers(-4, 5, shape)
    y, dx, dW = np.empty(shape), np.empty(x.shape), np.ones(W.shape)  # of whole numbers: exact
    plain.depthwise(x, W, *where, y)
    plain.depthwise_backward(dy.astype(float), W, *where, dx)
    plain.depthwise_gradient(x, dy, *where, dW)
    got_y, got_dx = np.full(shape, np.nan, dtype), np.full(x.shape, np.nan, dtype)
    got_dW = np.ones(W.shape)  # it adds
    x, W, dy = (array.astype(dtype) for array in (x, W, dy))
    depthwise(x, W, *where, got_y)
    depthwise_backward(dy, W, *where, got_dx)
    depthwise_gradient(x, dy, *where, got_dW)
    for got, expected in [(got_y, y), (got_dx, dx), (got_dW, dW)]:
        np.testing.assert_array_equal(got, expected)


@DTYPES
@given(case=depthwise_cases())
def test_depthwise_is_a_product_with_the_columns(dtype, case):
    """One group for each channel of x; and both ways back are its transposes."""
    x, W, *where, shape = case
    dy = np.random.default_rng(1).integers(-4, 5, shape).astype(dtype)
    x, W = x.astype(dtype), W.astype(dtype)
    channels = x.shape[3]
    columns = np.empty((channels, *shape[:3], *W.shape[:2], 1), dtype)
    im2col_strided(x, *where, columns)
    matrices = W.reshape(-1, channels, shape[3] // channels).swapaxes(0, 1)
    products = columns.reshape(channels, -1, matrices.shape[1]) @ matrices
    y, dx, dW = np.empty(shape, dtype), np.empty_like(x), np.zeros(W.shape)
    depthwise(x, W, *where, y)
    np.testing.assert_array_equal(y, products.swapaxes(0, 1).reshape(shape))
    depthwise_backward(dy, W, *where, dx)
    depthwise_gradient(x, dy, *where, dW)
    assert (y * dy).sum() == (x * dx).sum() == (W * dW).sum()
