"""PReLU: its values, and slopes of its own."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln
from elunet.layers import PReLU


def test_by_hand():
    layer = PReLU(2, alpha=0.5)
    layer.params["alpha"][1] = -1
    x = np.array([[-2.0, -3.0], [4.0, 0.0]])
    np.testing.assert_array_equal(layer.forward(x), [[-1, 3], [4, 0]])
    dy = np.array([[10.0, 20.0], [30.0, 40.0]])
    np.testing.assert_array_equal(layer.backward(dy), [[5, -20], [30, -40]])  # at 0: alpha
    np.testing.assert_array_equal(layer.grads["alpha"], [-20, -60])


def test_a_single_slope_is_for_all():
    layer = PReLU()
    layer.forward(np.full((3, 2, 2, 5), -1.0))
    layer.backward(np.ones((3, 2, 2, 5)))
    np.testing.assert_array_equal(layer.grads["alpha"], [-60])


def test_it_is_no_weighted_layer_and_is_not_decayed():
    net = eln.Sequential([eln.layers.Linear(2, 2), PReLU()], seed=0)
    assert not net["prelu1"].weighted
    net.forward(np.ones((1, 2)), train=True)
    net.backward(np.zeros((1, 2)))
    eln.optim.SGD(0.1, l2=1.0).step(net)
    assert net["prelu1"].params["alpha"] == 0.25


@pytest.mark.parametrize("arguments", [{"channels": 0}, {"alpha": np.nan}])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match="^PReLU: expected"):
        PReLU(**arguments)


def test_a_start_beyond_float32_is_infinite():
    """Without a warning, as any constant of a layer."""
    with np.errstate(all="raise"):
        assert PReLU(alpha=1e39).params["alpha"] == np.inf
