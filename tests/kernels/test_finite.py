"""Looking for NaN and infinity: as NumPy does, wherever they stand."""

from __future__ import annotations

import numpy as np
import pytest

from elunet.kernels.finite import BLOCK, all_finite

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@DTYPES
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_it_finds_one_at_every_kind_of_place(dtype, bad):
    x = np.ones(2 * BLOCK + 7, dtype)
    assert all_finite(x)
    for place in (0, 1, 15, BLOCK - 1, BLOCK, 2 * BLOCK, len(x) - 1):
        x[place] = bad
        assert not all_finite(x), place
        x[place] = 1


@DTYPES
def test_the_ends_of_the_range_are_finite(dtype):
    limits = np.finfo(dtype)
    x = np.array([limits.max, limits.min, limits.tiny, limits.smallest_subnormal, 0, -0.0], dtype)
    assert all_finite(x)
    assert all_finite(x[:0])
