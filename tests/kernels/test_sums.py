"""Sums over rows: as their plain twins' of the same numbers in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.plain import sums as plain
from elunet.kernels.sums import add_rows, add_to_rows

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@DTYPES
@given(rows=st.integers(0, 9), columns=st.integers(0, 5), seed=st.integers(0, 99))
def test_sums_are_added_to_what_is_there(dtype, rows, columns, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)).astype(dtype)
    total, expected = np.full((2, columns), 2.0)
    add_rows(x, total)
    plain.add_rows(x.astype(np.float64), expected)
    np.testing.assert_allclose(total, expected, rtol=1e-13, atol=1e-13)


@DTYPES
@pytest.mark.parametrize(
    ("rows", "columns"), [(16, 16), (33, 16), (43, 6), (64, 5), (300, 1), (15, 90), (40, 127)]
)
def test_short_rows_are_taken_together(dtype, rows, columns):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns)).astype(dtype)
    total, expected = np.full((2, columns), 2.0)
    add_rows(x, total)
    plain.add_rows(x.astype(np.float64), expected)
    np.testing.assert_allclose(total, expected, rtol=1e-12, atol=1e-12)


@DTYPES
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (5, 3), (100, 6), (33, 16), (20, 200)])
def test_one_row_is_added_to_all(dtype, shape):
    rng = np.random.default_rng(0)
    x, row = rng.normal(size=shape).astype(dtype), rng.normal(size=shape[1]).astype(dtype)
    expected = x + row
    add_to_rows(x, row)
    np.testing.assert_array_equal(x, expected)


def test_float32_rows_lose_nothing():
    x = np.full((3000, 1), 1e-3, np.float32)
    x[0] = 1e5
    total = np.zeros(1)
    add_rows(x, total)
    np.testing.assert_allclose(total[0], x.astype(np.float64).sum(), rtol=1e-12)
