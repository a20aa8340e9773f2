"""What a Maxout layer has to do."""

import numpy as np
import pytest
from maxout import Maxout

from elunet.testing import LayerContract, check_layer, spread


class TestMaxout(LayerContract):
    """The tests for any layer."""

    dtypes = (np.float64,)  # its parameters are float64

    def make_layer(self):
        """Return the layer to test, with biases that are not 0."""
        layer = Maxout(4, 3, 2)
        layer.b += np.array([[0.1, -0.2, 0.3], [-0.1, 0.4, 0.2]])
        return layer

    def make_input(self):
        """Return five rows of four numbers."""
        return spread((5, 4), np.random.default_rng(0))

    def formula(self, layer, x, train):
        """Return the larger of the two, each written as a product of matrices."""
        return np.maximum(x @ layer.W[0] + layer.b[0], x @ layer.W[1] + layer.b[1])


def test_it_can_be_the_absolute_value():
    """One piece goes up, the other one down."""
    layer = Maxout(1, 1, 2)
    layer.W[:, 0, 0] = 1, -1
    x = np.array([[-3.0], [2.0]])
    np.testing.assert_allclose(layer.forward(x), np.abs(x))
    np.testing.assert_allclose(layer.backward(np.ones((2, 1))), np.sign(x))
    np.testing.assert_allclose(layer.dW[:, 0, 0], [2, -3])
    np.testing.assert_allclose(layer.db[:, 0], [1, 1])


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_parameters_are_found_and_right(pieces):
    """The check finds W with dW, and b with db."""
    x = spread((3, 2), np.random.default_rng(1))
    assert check_layer(Maxout(2, 4, pieces), x).arrays == ["dx", "dW", "db"]


def test_equal_pieces_share_nothing():
    """If all pieces are equal, the gradient goes to one of them, not to each."""
    layer = Maxout(2, 1, 3)
    layer.W[...] = 1.0
    layer.forward(np.ones((1, 2)))
    np.testing.assert_allclose(layer.backward(np.ones((1, 1))), [[1, 1]])
    assert layer.db.sum() == 1
