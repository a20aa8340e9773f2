"""What a Softplus layer has to do."""

import numpy as np
from softplus import Softplus

from elunet.testing import LayerContract, spread


class TestSoftplus(LayerContract):
    """The tests for any layer."""

    def make_layer(self):
        """Return the layer to test."""
        return Softplus()

    def make_input(self):
        """Return three rows of four numbers."""
        return spread((3, 4), np.random.default_rng(0))

    def formula(self, layer, x, train):
        """Return log(1 + e^x), as it is written."""
        return np.log(1 + np.exp(x))


def test_values_that_one_knows():
    """At 0 it is log 2, far to the left 0, far to the right x itself."""
    y = Softplus().forward(np.array([0.0, -1000.0, 1000.0]))
    np.testing.assert_allclose(y, [np.log(2), 0, 1000])


def test_known_slopes():
    """At 0 it is one half, far to the left 0, far to the right 1."""
    layer = Softplus()
    layer.forward(np.array([0.0, -1000.0, 1000.0]))
    np.testing.assert_allclose(layer.backward(np.ones(3)), [0.5, 0, 1])
