"""Sums over rows: as NumPy's, and in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.sums import add_row_products, add_rows

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@DTYPES
@given(rows=st.integers(0, 9), columns=st.integers(0, 5), seed=st.integers(0, 99))
def test_sums_are_added_to_what_is_there(dtype, rows, columns, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, rows, columns)).astype(dtype)
    total, products = np.full(columns, 2.0), np.full(columns, 3.0)
    add_rows(x, total)
    add_row_products(x, y, products)
    wide_x, wide_y = x.astype(np.float64), y.astype(np.float64)
    np.testing.assert_allclose(total, 2 + wide_x.sum(axis=0), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(products, 3 + (wide_x * wide_y).sum(axis=0), rtol=1e-13, atol=1e-13)


def test_float32_rows_lose_nothing():
    x = np.full((3000, 1), 1e-3, np.float32)
    x[0] = 1e5
    total, products = np.zeros(1), np.zeros(1)
    add_rows(x, total)
    add_row_products(x, np.ones_like(x), products)
    expected = x.astype(np.float64).sum()
    np.testing.assert_allclose([total[0], products[0]], expected, rtol=1e-12)
