"""Inner products in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from elunet.kernels.products import inner_products, sum_of_squares


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_are_numpys_in_double_precision(dtype):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1001)).astype(dtype)
    wide = a.astype(np.float64), b.astype(np.float64)
    expected = wide[0] @ wide[0], wide[0] @ wide[1], wide[1] @ wide[1]
    assert inner_products(a, b) == pytest.approx(expected, rel=1e-13)


def test_squares_of_small_float32_numbers_do_not_vanish():
    tiny = np.full(4, 1e-30, np.float32)
    assert inner_products(tiny, tiny)[0] == pytest.approx(4e-60, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1001])
def test_sum_of_squares(dtype, size):
    a = np.random.default_rng(size).normal(size=size).astype(dtype)
    assert sum_of_squares(a) == pytest.approx(np.sum(a.astype(np.float64) ** 2), rel=1e-13)


def test_sum_of_squares_neither_overflows_nor_loses_nan():
    assert sum_of_squares(np.full(4, 1e30, np.float32)) == pytest.approx(4e60)
    assert np.isnan(sum_of_squares(np.array([1.0, np.nan, 1.0])))
    assert sum_of_squares(np.array([1.0, -np.inf])) == np.inf
