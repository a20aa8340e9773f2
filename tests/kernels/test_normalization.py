"""Normalization of channels: against its plain twins in double precision, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.normalization import (
    add_centered_squares,
    add_gradient_sums,
    normalize,
    normalize_backward,
)
from elunet.kernels.plain import normalization as plain

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# Whole stretches and a rest, less than one; rows that are short, and one that is longer.
SHAPES = pytest.mark.parametrize(
    ("rows", "columns"),
    [(0, 3), (1, 1), (2, 16), (33, 16), (64, 5), (700, 1), (43, 6), (40, 64), (15, 90), (7, 300)],
)


def draw(seed, shape, dtype=np.float64):
    return np.random.default_rng(seed).normal(1, 2, size=shape).astype(dtype)


def normalized(module, x, mean, rstd, gamma, beta):
    """Return x_hat and y of a kernel or its twin."""
    x_hat, y = np.full_like(x, np.nan), np.full_like(x, np.nan)
    of_channels = (a.astype(x.dtype) for a in (rstd, gamma, beta))
    module(x, mean, *of_channels, x_hat, y)
    return x_hat, y


@DTYPES
@SHAPES
def test_sums_are_added_to_what_is_there(dtype, rows, columns):
    shape = (rows, columns)
    x, dy, mean = draw(0, shape, dtype), draw(1, shape, dtype), draw(2, columns)
    found, expected = np.full((2, 3, columns), 2.0)
    add_centered_squares(x, mean, found[0])
    add_gradient_sums(dy, x, found[1], found[2])
    wide_x, wide_dy = x.astype(np.float64), dy.astype(np.float64)
    plain.add_centered_squares(wide_x, mean, expected[0])
    plain.add_gradient_sums(wide_dy, wide_x, expected[1], expected[2])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@DTYPES
@SHAPES
def test_normalize(dtype, rows, columns):
    shape = (rows, columns)
    x, channels = draw(0, shape, dtype), draw(1, (4, columns)).astype(dtype).astype(np.float64)
    found = normalized(normalize, x, *channels)
    expected = normalized(plain.normalize, x.astype(np.float64), *channels)
    tolerance = 4 * np.finfo(dtype).eps
    scale = np.abs(x).max(initial=0) + np.abs(channels).max()
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale**3)


@DTYPES
@SHAPES
def test_normalize_backward(dtype, rows, columns):
    shape = (rows, columns)
    dy, x_hat, channels = draw(0, shape, dtype), draw(1, shape, dtype), draw(2, (3, columns))
    dx, expected = np.full_like(dy, np.nan), np.full(shape, np.nan)
    normalize_backward(dy, x_hat, *channels, dx)
    plain.normalize_backward(dy.astype(np.float64), x_hat.astype(np.float64), *channels, expected)
    # Computed in float64 and rounded once; there a difference of products may cancel.
    rtol = np.finfo(dtype).eps if dtype is np.float32 else 1e-13
    np.testing.assert_allclose(dx, expected, rtol=rtol, atol=1e-12)


@DTYPES
@given(rows=st.integers(2, 40), columns=st.integers(1, 20), seed=st.integers(0, 99))
def test_a_row_alone_has_the_same_numbers(dtype, rows, columns, seed):
    """Whichever stretch a row is in, and whatever comes after it."""
    x, dy, channels = (
        draw(seed, (rows, columns), dtype),
        draw(seed + 1, (rows, columns), dtype),
        draw(seed + 2, (4, columns)),
    )
    x_hat, y = normalized(normalize, x, *channels)
    dx, last = np.empty_like(dy), np.empty_like(dy[-1:])
    normalize_backward(dy, x_hat, *channels[:3], dx)
    alone = normalized(normalize, x[-1:], *channels)
    normalize_backward(dy[-1:], x_hat[-1:], *channels[:3], last)
    np.testing.assert_array_equal(alone[0], x_hat[-1:])
    np.testing.assert_array_equal(alone[1], y[-1:])
    np.testing.assert_array_equal(last, dx[-1:])


@DTYPES
@pytest.mark.parametrize(("rows", "columns"), [(50, 3), (1000, 16), (300, 70)])
def test_two_values(dtype, rows, columns):
    """Half of the rows are mean - s, half are mean + s: x_hat is -1 and 1, exactly."""
    side = np.where(np.arange(rows) % 2, 1, -1)[:, None]
    mean, s = np.arange(columns) * 1.0, 2.0 ** (np.arange(columns) % 5)
    x = (mean + side * s).astype(dtype)
    squares = np.zeros(columns)
    add_centered_squares(x, mean, squares)
    np.testing.assert_array_equal(squares, rows * s**2)
    x_hat, y = normalized(normalize, x, mean, 1 / s, 4 + 0 * s, mean)
    np.testing.assert_array_equal(x_hat, side + 0 * s)
    np.testing.assert_array_equal(y, mean + 4 * side)
    products, sums = np.zeros((2, columns))
    add_gradient_sums(y, x_hat, products, sums)
    np.testing.assert_array_equal(products, 4 * rows + 0 * s)
    np.testing.assert_array_equal(sums, rows * mean)
    dx = np.full_like(y, np.nan)
    normalize_backward(y, x_hat, 4 / s, products / rows, sums / rows, dx)
    np.testing.assert_array_equal(dx, 0)  # y is a shift and a scale of x_hat, nothing else


@pytest.mark.parametrize("module", [normalize, plain.normalize])
def test_a_mean_that_float32_cannot_hold_is_taken_off_exactly(module):
    """Between 2^24 and 2^25 float32 holds even numbers only; this mean is 1 away from them."""
    mean = np.array([2.0**24 + 1, 1000 + 2.0**-15])
    x = np.array([[2.0**24 + 4, 1000], [2.0**24, 1000 + 2.0**-13]], np.float32)
    ones = np.ones(2)
    x_hat, y = normalized(module, x, mean, ones, ones, 0 * ones)
    np.testing.assert_array_equal(x_hat, x.astype(np.float64) - mean)
    np.testing.assert_array_equal(y, x_hat)


def test_float32_sums_lose_nothing():
    x = np.full((3000, 1), 1e-3, np.float32)
    x[0] = 1e5
    mean, found = np.array([0.25]), np.zeros((3, 1))
    add_centered_squares(x, mean, found[0])
    add_gradient_sums(x, np.ones_like(x), found[1], found[2])
    wide = x.astype(np.float64)
    expected = [[((wide - 0.25) ** 2).sum()], [wide.sum()], [wide.sum()]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@DTYPES
def test_nan_and_infinity_stay_in_their_channel(dtype):
    x = np.ones((40, 3), dtype)
    x[5, 1], x[6, 2] = np.nan, np.inf
    squares, products, sums = np.zeros((3, 3))
    add_centered_squares(x, np.ones(3), squares)
    add_gradient_sums(x, np.ones_like(x), products, sums)
    np.testing.assert_array_equal(squares, [0, np.nan, np.inf])
    np.testing.assert_array_equal(products, [40, np.nan, np.inf])
    np.testing.assert_array_equal(sums, [40, np.nan, np.inf])
    x_hat, y = normalized(normalize, x, np.ones(3), np.ones(3), np.ones(3), np.zeros(3))
    expected = x - 1
    np.testing.assert_array_equal(x_hat, expected)
    np.testing.assert_array_equal(y, expected)
    dx = np.empty_like(x)
    with np.errstate(invalid="ignore"):  # without the JIT, NumPy would warn
        normalize_backward(x, x_hat, np.ones(3), np.zeros(3), np.ones(3), dx)
    np.testing.assert_array_equal(dx, np.where(np.isfinite(x), 0, np.nan))
