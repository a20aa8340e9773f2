"""im2col against its plain twin; col2im as its transpose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.columns import col2im, col2im_planes, im2col, im2col_planes
from elunet.kernels.plain import columns as plain

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@st.composite
def cases(draw):
    """Draw (x's shape, kernel, stride, top, left, output's height and width)."""
    batch, channels = draw(st.integers(1, 2)), draw(st.integers(1, 9))
    stride = draw(st.integers(1, 3))
    sides, kernel, before, out = [], [], [], []
    for _ in range(2):
        side, size = draw(st.integers(1, 5)), draw(st.integers(1, 4))
        first, last = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        last = max(last, size - side - first)  # so that one window fits
        sides.append(side)
        kernel.append(size)
        before.append(first)
        out.append((side + first + last - size) // stride + 1)
    return (batch, *sides, channels), tuple(kernel), stride, *before, tuple(out)


@pytest.mark.numba
@DTYPES
@given(case=cases(), seed=st.integers(0, 99))
def test_im2col(dtype, case, seed):
    shape, kernel, stride, top, left, out = case
    x = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    columns = np.full((shape[0], *out, *kernel, shape[3]), np.nan, dtype)
    im2col(x, kernel, stride, top, left, columns)
    expected = np.empty_like(columns)
    plain.im2col(x, kernel, stride, top, left, expected)
    np.testing.assert_array_equal(columns, expected)


@DTYPES
@given(case=cases(), seed=st.integers(0, 99))
def test_col2im_is_the_transpose_of_im2col(dtype, case, seed):
    """<im2col(x), c> = <x, col2im(c)> for every x and c; whole numbers make it exact."""
    shape, kernel, stride, top, left, out = case
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 10, shape).astype(dtype)
    c = rng.integers(-9, 10, (shape[0], *out, *kernel, shape[3])).astype(dtype)
    columns, dx = np.empty_like(c), np.full_like(x, np.nan)
    im2col(x, kernel, stride, top, left, columns)
    col2im(c, stride, top, left, dx)
    assert (columns * c).sum() == (x * dx).sum()


def test_no_images():
    x, columns = np.ones((0, 4, 4, 2)), np.ones((0, 2, 2, 3, 3, 2))
    im2col(x, (3, 3), 1, 0, 0, columns)
    col2im(columns, 1, 0, 0, x)


@DTYPES
@given(case=cases(), seed=st.integers(0, 99))
def test_planes_make_the_transposed_matrix(dtype, case, seed):
    shape, kernel, stride, top, left, out = case
    x = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    columns = np.full((*kernel, shape[3], shape[0], *out), np.nan, dtype)
    im2col_planes(x, kernel, stride, top, left, columns)
    expected = np.empty((shape[0], *out, *kernel, shape[3]), dtype)
    im2col(x, kernel, stride, top, left, expected)
    np.testing.assert_array_equal(columns, expected.transpose(3, 4, 5, 0, 1, 2))


@DTYPES
@given(case=cases(), seed=st.integers(0, 99))
def test_planes_put_the_transposed_matrix_back(dtype, case, seed):
    """The same as col2im, exactly for whole numbers."""
    shape, kernel, stride, top, left, out = case
    columns = np.random.default_rng(seed).integers(-9, 9, (shape[0], *out, *kernel, shape[3]))
    columns = columns.astype(dtype)
    expected, got = np.empty(shape, dtype), np.full(shape, np.nan, dtype)
    col2im(columns, stride, top, left, expected)
    transposed = np.ascontiguousarray(columns.transpose(3, 4, 5, 0, 1, 2))
    col2im_planes(transposed, stride, top, left, got)
    np.testing.assert_array_equal(got, expected)
