"""im2col and col2im with strides, dilation and groups, and depthwise kernels, against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def meetings(x, W, strides, dilation, top, left, shape):
    """Yield (i, j, u, v, row, column) wherever W[u, v] meets a pixel inside the image."""
    for i, j, u, v in np.ndindex(*shape[1:3], *W.shape[:2]):
        row = i * strides[0] + u * dilation[0] - top
        column = j * strides[1] + v * dilation[1] - left
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            yield i, j, u, v, row, column


@DTYPES
@given(case=depthwise_cases())
def test_depthwise_kernels(dtype, case):
    """Forward, and both ways back, of whole numbers: exact in either dtype."""
    x, W, *where, shape = case
    dy = np.random.default_rng(1).integers(-4, 5, shape)
    many = shape[3] // x.shape[3]
    wide = x.repeat(many, axis=3)  # output o sees channel o // many
    y, dx, dW = np.zeros(shape), np.zeros(wide.shape), np.ones(W.shape)
    for i, j, u, v, row, column in meetings(x, W, *where, shape):
        y[:, i, j] += wide[:, row, column] * W[u, v]
        dx[:, row, column] += dy[:, i, j] * W[u, v]
        dW[u, v] += (wide[:, row, column] * dy[:, i, j]).sum(axis=0)
    dx = dx.reshape(*x.shape, many).sum(axis=-1)
    got_y, got_dx = np.full(y.shape, np.nan, dtype), np.full(x.shape, np.nan, dtype)
    got_dW = np.ones(W.shape)  # it adds
    x, W, dy = (array.astype(dtype) for array in (x, W, dy))
    depthwise(x, W, *where, got_y)
    depthwise_backward(dy, W, *where, got_dx)
    depthwise_gradient(x, dy, *where, got_dW)
    for got, expected in [(got_y, y), (got_dx, dx), (got_dW, dW)]:
        np.testing.assert_array_equal(got, expected)
