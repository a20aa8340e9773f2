"""Dropout: how often, which scale, one mask for both passes, and where it comes from."""

from __future__ import annotations

import re

import numpy as np
import pytest

from elunet.layers import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_how_many_and_how_much(rate, dtype):
    x = np.ones((400, 500), dtype)
    y = Dropout(rate, seed=0).forward(x, train=True)
    deviation = np.sqrt(rate * (1 - rate) / x.size)
    assert abs((y == 0).mean() - rate) < 5 * deviation
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-4)
    assert abs(y.mean() - 1) < 5 * deviation / (1 - rate)


def test_backward_has_forwards_mask():
    layer = Dropout(0.5, seed=0)
    x = np.full((20, 20), 3.0)
    y = layer.forward(x, train=True)
    np.testing.assert_array_equal(layer.backward(x), y)
    assert (layer.forward(x, train=True) != y).any()


def test_outside_training_it_does_nothing():
    layer = Dropout(0.5, seed=0)
    x = np.random.default_rng(0).normal(size=(4, 5))
    state = layer.rng.bit_generator.state
    np.testing.assert_array_equal(layer.forward(x), x)
    np.testing.assert_array_equal(layer.backward(x), x)
    assert layer.rng.bit_generator.state == state


@pytest.mark.parametrize("rate", [0, 0.0, 1e-9])
def test_rate_zero(rate):
    x = np.random.default_rng(0).normal(size=(4, 5))
    layer = Dropout(rate, seed=0)
    np.testing.assert_array_equal(layer.forward(x, train=True), x)
    np.testing.assert_array_equal(layer.backward(x), x)


def test_a_rate_next_to_one_is_still_finite():
    y = Dropout(1 - 1e-12, seed=0).forward(np.ones((100, 100), np.float32), train=True)
    assert np.isfinite(y).all()
    assert set(np.unique(y)) <= {0, 65536}


def test_seeds():
    x = np.ones((10, 10))
    same = [Dropout(0.5, seed=3).forward(x, train=True) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(Dropout(0.5, seed=rng).forward(x, train=True), same[0])
    assert (Dropout(0.5, seed=4).forward(x, train=True) != same[0]).any()
    assert (Dropout(0.5).forward(x, train=True) != Dropout(0.5).forward(x, train=True)).any()


def test_a_stored_generator_state_goes_on():
    layer, x = Dropout(0.5, seed=0), np.ones((10, 10))
    layer.forward(x, train=True)
    state = layer.rng.bit_generator.state
    expected = layer.forward(x, train=True)
    other = Dropout(0.5, seed=9)
    other.rng.bit_generator.state = state
    np.testing.assert_array_equal(other.forward(x, train=True), expected)


@pytest.mark.parametrize("rate", [-0.1, 1, 1.0, 1.5, np.nan, np.inf])
def test_bad_rates(rate):
    message = f"Dropout: expected rate in [0, 1), got {float(rate)!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Dropout(rate)


@pytest.mark.parametrize("rate", ["0.5", None, True, [0.5]])
def test_rates_that_are_no_numbers(rate):
    message = f"Dropout: expected rate to be a number in [0, 1), got {rate!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Dropout(rate)
