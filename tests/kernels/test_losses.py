"""The cross entropy with labels against its plain twin, and at the ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.kernels.losses import label_cross_entropy
from elunet.kernels.plain import losses as plain

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def run(z, labels):
    dz = np.full_like(z, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # without the JIT, NumPy would warn
        valid, value = label_cross_entropy(z, np.array(labels), dz)
    assert valid
    return value, dz


@pytest.mark.numba
@DTYPES
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 6),
    c=st.integers(1, 20),
    size=st.sampled_from([1e-3, 1.0, 30.0, 1e4]),
)
def test_it_is_its_twin(dtype, seed, n, c, size):
    rng = np.random.default_rng(seed)
    z, labels = (size * rng.normal(size=(n, c))).astype(dtype), rng.integers(0, c, n)
    value, dz = run(z, labels)
    gradient = np.empty(z.shape)
    _, expected = plain.label_cross_entropy(z, labels, gradient)
    assert value == pytest.approx(expected, rel=1e-13, abs=1e-13)
    tolerance = 1e-7 if dtype is np.float32 else 1e-15
    np.testing.assert_allclose(dz, gradient, rtol=8 * tolerance, atol=tolerance)


@DTYPES
def test_at_the_ends(dtype):
    value, dz = run(np.array([[1e4, -1e4, -np.inf]], dtype), [0])
    assert str(value) == "0.0"
    np.testing.assert_array_equal(dz, [[0, 0, 0]])
    value, dz = run(np.array([[0, -np.inf]], dtype), [1])
    assert value == np.inf
    np.testing.assert_array_equal(dz, [[1, -1]])


@DTYPES
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_stays_in_its_row(dtype, bad, place):
    z = np.zeros((2, 3), dtype)
    z[0, place] = bad
    value, dz = run(z, [2, 0])
    assert np.isnan(value)
    assert np.isnan(dz[0]).all()
    assert np.isfinite(dz[1]).all()


@pytest.mark.parametrize("label", [-1, 3, -(2**63), 2**63 - 1])
def test_a_label_outside(label):
    z = np.zeros((2, 3))
    valid, _ = label_cross_entropy(z, np.array([0, label]), np.empty_like(z))
    assert not valid
