"""Inner products in double precision, against their plain twins, and at the ends."""

from __future__ import annotations

import numpy as np
import pytest

from elunet.kernels.plain import products as plain
from elunet.kernels.products import inner_products, sum_of_squares


@pytest.mark.numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_are_their_twins(dtype):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1001)).astype(dtype)
    assert inner_products(a, b) == pytest.approx(plain.inner_products(a, b), rel=1e-13)


def test_three_products_of_two_numbers_each():
    assert inner_products(np.array([1.0, 2.0]), np.array([3.0, -4.0])) == (5, -5, 25)


def test_squares_of_small_float32_numbers_do_not_vanish():
    tiny = np.full(4, 1e-30, np.float32)
    assert inner_products(tiny, tiny)[0] == pytest.approx(4e-60, rel=1e-6)


@pytest.mark.numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1001])
def test_sum_of_squares(dtype, size):
    a = np.random.default_rng(size).normal(size=size).astype(dtype)
    assert sum_of_squares(a) == pytest.approx(plain.sum_of_squares(a), rel=1e-13)


def test_sum_of_squares_neither_overflows_nor_loses_nan():
    assert sum_of_squares(np.full(4, 1e30, np.float32)) == pytest.approx(4e60)
    assert np.isnan(sum_of_squares(np.array([1.0, np.nan, 1.0])))
    assert sum_of_squares(np.array([1.0, -np.inf])) == np.inf
