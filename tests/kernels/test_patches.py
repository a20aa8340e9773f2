"""gather_patches against its formula, and scatter_patches as its transpose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.patches import gather_patches, scatter_patches

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
    gather_patches(x.astype(dtype), *where, columns)
    np.testing.assert_array_equal(columns, gathered(x, *where, shape))


@DTYPES
@given(case=cases())
def test_scatter_is_the_transpose(dtype, case):
    """Each number of x goes to the places that hold it: dx is the sum of what lies there."""
    x, *where, shape = case
    there = gathered(x, *where, shape)
    dy = np.random.default_rng(0).integers(-9, 10, shape).astype(dtype)
    dx = np.full(x.shape, np.nan, dtype)
    scatter_patches(dy, *where, dx)
    expected = [dy[there == number].sum() for number in x.reshape(-1)]
    np.testing.assert_array_equal(dx.reshape(-1), expected)
