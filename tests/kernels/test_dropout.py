"""The pass of dropout against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from elunet.kernels.dropout import drop


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dropped", [0, 1, 20_000, 65_535])
def test_drop(dtype, dropped):
    rng = np.random.default_rng(0)
    x, bits = rng.normal(size=999).astype(dtype), rng.integers(0, 1 << 16, 999, np.uint16)
    bits[:3] = 0, dropped, 65_535  # a number is kept from `dropped` on
    y, scale = x.copy(), dtype(1.5)
    drop(y, bits, dropped, scale)
    np.testing.assert_array_equal(y, np.where(bits >= dropped, x * scale, 0))


def test_no_numbers():
    drop(np.ones(0), np.ones(0, np.uint16), 1, np.float64(2))
