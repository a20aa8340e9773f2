"""The pass of dropout against its plain twin, and at the ends."""

from __future__ import annotations

import numpy as np
import pytest

from elunet.kernels.dropout import drop
from elunet.kernels.plain import dropout as plain


@pytest.mark.numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dropped", [0, 1, 20_000, 65_535])
def test_drop(dtype, dropped):
    rng = np.random.default_rng(0)
    x, bits = rng.normal(size=999).astype(dtype), rng.integers(0, 1 << 16, 999, np.uint16)
    bits[:3] = 0, dropped, 65_535  # a number is kept from `dropped` on
    y, expected, scale = x.copy(), x.copy(), dtype(1.5)
    drop(y, bits, dropped, scale)
    plain.drop(expected, bits, dropped, scale)
    np.testing.assert_array_equal(y, expected)


def test_numbers_are_kept_from_the_limit_on():
    y = np.array([1.0, 2.0, 3.0])
    drop(y, np.array([6, 7, 8], np.uint16), 7, np.float64(1.5))
    np.testing.assert_array_equal(y, [0, 3, 4.5])


def test_no_numbers():
    drop(np.ones(0), np.ones(0, np.uint16), 1, np.float64(2))
