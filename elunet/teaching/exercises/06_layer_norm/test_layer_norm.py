"""What a layer normalization has to do."""

import numpy as np
import pytest
from layer_norm import LayerNorm

import elunet as eln
from elunet.testing import LayerContract, check_layer, spread


class TestLayerNorm(LayerContract):
    """The tests for any layer."""

    def make_layer(self):
        """Return the layer to test, with a different gamma and beta for each channel."""
        layer = LayerNorm(4)
        layer.params["gamma"] = np.array([1.0, 0.5, -2.0, 3.0], np.float32)
        layer.params["beta"] = np.array([0.0, 1.0, 2.0, -1.0], np.float32)
        return layer

    def make_input(self):
        """Return a batch of small images with four channels."""
        return spread((2, 2, 3, 4), np.random.default_rng(0))

    def formula(self, layer, x, train):
        """Return the formula, row by row."""
        y = np.empty(x.shape)
        for place in np.ndindex(x.shape[:-1]):
            row = x[place]
            x_hat = (row - row.mean()) / np.sqrt(row.var() + 1e-5)
            y[place] = layer.params["gamma"] * x_hat + layer.params["beta"]
        return y


def test_rows_have_mean_0_and_variance_1():
    """Whatever they had before."""
    x = np.random.default_rng(0).normal(5.0, 3.0, size=(6, 50))
    y = LayerNorm(50).forward(x)
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=1), 1, rtol=1e-4)


def test_a_shift_of_a_row_does_nothing():
    """So the sum of dx over a row is 0."""
    x = np.random.default_rng(0).normal(size=(3, 8))
    layer = LayerNorm(8)
    np.testing.assert_allclose(layer.forward(x + 7), layer.forward(x), atol=1e-12)
    dx = layer.backward(np.random.default_rng(1).normal(size=(3, 8)))
    np.testing.assert_allclose(dx.sum(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 3), (5, 3), (2, 4, 4, 3)])
def test_gradients_for_any_number_of_axes(shape):
    """Rows, and images."""
    x = spread(shape, np.random.default_rng(2))
    assert len(check_layer(LayerNorm(3), x).arrays) == 3


def test_in_a_network():
    """It has a name, and the network finds its parameters."""
    net = eln.Sequential([eln.layers.Linear(4, 3), LayerNorm(3), eln.layers.ELU()], seed=0)
    net.backward(np.ones_like(net.forward(np.ones((2, 4)), train=True)))
    assert net.gradients()["layernorm1.gamma"].shape == (3,)
