"""The ELU and softmax kernels against NumPy in higher precision, or their twins in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from elunet.kernels.activations import (
    elu,
    elu_backward,
    elu_backward_from_input,
    gelu,
    gelu_backward,
    log_softmax,
    softmax,
)
from elunet.kernels.plain import activations as plain

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ALPHAS = pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])

rows = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 6)),
    elements=st.floats(-1e4, 1e4, allow_subnormal=False),
)


def run_elu(x, alpha=1.0):
    y = x.copy()
    elu(y, x.dtype.type(alpha))
    return y


def exact_elu(x, alpha):
    x = x.astype(np.longdouble)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@DTYPES
@ALPHAS
def test_elu_is_as_exact_as_it_says(dtype, alpha):
    x = np.concatenate(
        [-np.logspace(-6, 3, 3000), np.linspace(-20, 0, 2000), np.linspace(0, 5, 50)]
    )
    x = x.astype(dtype)
    error = np.abs(run_elu(x, alpha) - exact_elu(x, alpha))
    negative = x <= 0
    assert error[~negative].max() == 0
    promised = 1e-7 if dtype is np.float32 else 3e-16
    reference = np.finfo(np.longdouble).eps  # no better than float64 on some platforms
    assert error[negative].max() <= max(alpha, 1) * (promised + reference)


@DTYPES
def test_elu_keeps_its_digits_near_zero(dtype):
    """There e^x - 1 is nearly x; a plain exp(x) - 1 would lose all but a few digits."""
    x = -np.logspace(-30, -2, 500).astype(dtype)
    relative = np.abs(run_elu(x) / exact_elu(x, 1.0) - 1)
    assert relative.max() <= 4 * np.finfo(dtype).eps


@DTYPES
@ALPHAS
def test_elu_at_the_ends(dtype, alpha):
    x = np.array([1e4, -1e4, 0.0, -0.0, np.inf, -np.inf, np.finfo(dtype).min], dtype)
    y = run_elu(x, alpha)
    np.testing.assert_array_equal(y, np.array([1e4, -alpha, 0, 0, np.inf, -alpha, -alpha], dtype))


@DTYPES
def test_elu_keeps_nan_and_only_nan(dtype):
    y = run_elu(np.array([1.0, np.nan, -1.0, np.nan], dtype))
    np.testing.assert_array_equal(np.isnan(y), [False, True, False, True])


@DTYPES
@ALPHAS
def test_elu_backward(dtype, alpha):
    x = np.linspace(-4, 4, 81).astype(dtype)
    dy = np.linspace(1, 2, 81).astype(dtype)
    dx = dy.copy()
    elu_backward(dx, run_elu(x, alpha), dtype(alpha))
    slope = np.where(x > 0, 1.0, alpha * np.exp(x.astype(np.float64)))
    np.testing.assert_allclose(dx, dy * slope, rtol=2e-5 if dtype is np.float32 else 1e-13)


@DTYPES
def test_elu_backward_at_the_ends(dtype):
    y = run_elu(np.array([0.0, -0.0, 1e4, -1e4, np.nan], dtype), 2.0)
    dx = np.ones_like(y)
    elu_backward(dx, y, dtype(2))
    np.testing.assert_array_equal(dx, np.array([2, 2, 1, 0, np.nan], dtype))


@DTYPES
@ALPHAS
def test_elu_backward_from_input(dtype, alpha):
    """All digits of the slope are right, however far below 0."""
    x = np.linspace(-80, 4, 841).astype(dtype)
    dx = np.ones_like(x)
    elu_backward_from_input(dx, x, dtype(alpha))
    slope = np.where(x > 0, 1.0, alpha * np.exp(x.astype(np.float64)))
    np.testing.assert_allclose(dx, slope, rtol=1e-5 if dtype is np.float32 else 1e-13)
    ends = np.array([0.0, -0.0, 1e4, -1e4, np.nan, np.inf, -np.inf], dtype)
    dx = np.ones_like(ends)
    elu_backward_from_input(dx, ends, dtype(2))
    assert abs(dx[3]) < 1e-37
    assert abs(dx[6]) < 1e-37
    np.testing.assert_array_equal(dx[[0, 1, 2, 4, 5]], np.array([2, 2, 1, np.nan, 1], dtype))


@DTYPES
@pytest.mark.numba
def test_gelu_is_its_twin(dtype):
    x, dy = np.linspace(-30, 30, 2001).astype(dtype), np.linspace(1, 2, 2001).astype(dtype)
    y, dx, expected, slopes = x.copy(), dy.copy(), x.copy(), dy.copy()
    gelu(y)
    gelu_backward(dx, x)
    plain.gelu(expected)
    plain.gelu_backward(slopes, x)
    tolerance = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx, slopes, rtol=tolerance, atol=tolerance)


@pytest.mark.numba
@pytest.mark.parametrize(("terms", "error"), [(6, 2e-8), (11, 1e-16)])
def test_the_polynomial(terms, error):
    from elunet.kernels._intrinsics import _polynomial

    r = np.linspace(-math.log(2) / 2, math.log(2) / 2, 1001)
    e_r_minus_1 = np.polynomial.Polynomial([0, *_polynomial(terms)])(r.astype(np.longdouble))
    assert np.abs(e_r_minus_1 - np.expm1(r.astype(np.longdouble))).max() < error


@DTYPES
@given(x=rows)
def test_softmax(dtype, x):
    x = x.astype(dtype)
    y = np.full_like(x, np.nan)
    softmax(x, y)
    epsilon = np.finfo(dtype).eps
    np.testing.assert_allclose(y.sum(axis=1), 1, atol=8 * epsilon)
    expected = np.empty(x.shape)
    plain.softmax(x.astype(np.float64), expected)
    np.testing.assert_allclose(y, expected, atol=4 * epsilon)
    softmax(x, x)  # in place
    np.testing.assert_array_equal(x, y)


@DTYPES
@given(x=rows)
def test_log_softmax(dtype, x):
    x = x.astype(dtype)
    y = np.full_like(x, np.nan)
    log_softmax(x, y)
    epsilon = np.finfo(dtype).eps
    expected = np.empty(x.shape)
    plain.log_softmax(x.astype(np.float64), expected)
    np.testing.assert_allclose(y, expected, rtol=4 * epsilon, atol=8 * epsilon)
    log_softmax(x, x)  # in place
    np.testing.assert_array_equal(x, y)


@DTYPES
def test_softmax_of_huge_logits(dtype):
    x = np.array([[1e4, -1e4, 1e4], [-1e4, -1e4, -1e4]], dtype)
    y, logs = np.empty_like(x), np.empty_like(x)
    softmax(x, y)
    log_softmax(x, logs)
    np.testing.assert_allclose(y, [[0.5, 0, 0.5], [1 / 3] * 3], atol=1e-6)
    assert np.isfinite(logs).all()
    np.testing.assert_allclose(logs[0], [-math.log(2), -2e4 - math.log(2), -math.log(2)], rtol=1e-6)


@DTYPES
def test_softmax_keeps_nan_in_its_row(dtype):
    x = np.array([[0.0, np.nan], [np.nan, 0.0], [0.0, 0.0]], dtype)
    for kernel in (softmax, log_softmax):
        y = np.zeros_like(x)
        kernel(x, y)
        np.testing.assert_array_equal(np.isnan(y).any(axis=1), [True, True, False])
