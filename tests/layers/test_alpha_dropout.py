"""AlphaDropout: mean and variance stay, and what is dropped is SELU's lowest value."""

from __future__ import annotations

import numpy as np
import pytest

from elunet.layers import AlphaDropout


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.8])
def test_mean_and_variance_stay(rate):
    x = np.random.default_rng(0).normal(size=(1000, 1000))
    y = AlphaDropout(rate, seed=1).forward(x, train=True)
    assert abs(y.mean()) < 0.01
    assert abs(y.var() - 1) < 0.01


def test_by_hand():
    """At rate 1/2: s = 1 / sqrt(1/2 (1 + a^2 / 2)), y = s (x - a / 2) or s a / 2."""
    a = -1.7580993408473766
    s = 1 / np.sqrt(0.5 * (1 + a * a / 2))
    x = np.linspace(-3, 3, 1000)
    layer = AlphaDropout(0.5, seed=2)
    y = layer.forward(x, train=True)
    off = np.isclose(y, s * a / 2)
    assert 400 < off.sum() < 600
    np.testing.assert_allclose(y, np.where(off, s * a / 2, s * (x - a / 2)), rtol=1e-12)
    np.testing.assert_allclose(layer.backward(np.ones(1000)), np.where(off, 0, s), rtol=1e-12)


def test_evaluation_and_rate_zero_change_nothing():
    x = np.ones((3, 4))
    np.testing.assert_array_equal(AlphaDropout(0.5, seed=0).forward(x), x)
    np.testing.assert_array_equal(AlphaDropout(0.0, seed=0).forward(x, train=True), x)


def test_errors_name_it():
    with pytest.raises(ValueError, match=r"^AlphaDropout: expected rate in \[0, 1\), got 1"):
        AlphaDropout(1)
