"""What a Concat layer has to do."""

import numpy as np
from concat import Concat

from elunet.testing import LayerContract, check_layer, spread

RNG = np.random.default_rng(0)


class TestConcat(LayerContract):
    """The tests for any layer."""

    def make_layer(self):
        """Return the layer to test."""
        return Concat()

    def make_input(self):
        """Return two arrays of different widths."""
        return spread((3, 2), np.random.default_rng(0)), spread((3, 4), np.random.default_rng(1))

    def formula(self, layer, x, train):
        """Return row by row the numbers of the first array, and then those of the second."""
        rows = zip(x[0].tolist(), x[1].tolist(), strict=True)
        return np.array([first + second for first, second in rows])


def test_three_images():
    """Three inputs of different depths, and one of them twice as deep."""
    x = tuple(spread((2, 3, 3, depth), RNG) for depth in (1, 2, 4))
    y = Concat().forward(x)
    assert y.shape == (2, 3, 3, 7)
    np.testing.assert_array_equal(y[..., :1], x[0])
    np.testing.assert_array_equal(y[..., 1:3], x[1])
    np.testing.assert_array_equal(y[..., 3:], x[2])
    check_layer(Concat(), x)


def test_gradients_are_cut_at_the_same_places():
    """Every number of dy comes back at the place of its input."""
    layer = Concat()
    layer.forward((np.zeros((1, 2)), np.zeros((1, 3))))
    first, second = layer.backward(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]))
    np.testing.assert_array_equal(first, [[1, 2]])
    np.testing.assert_array_equal(second, [[3, 4, 5]])


def test_gradients_are_arrays_of_their_own():
    """Writing to dx does not change dy."""
    layer = Concat()
    layer.forward((np.zeros((1, 2)), np.zeros((1, 3))))
    dy = np.ones((1, 5))
    for dx in layer.backward(dy):
        dx += 1
    np.testing.assert_array_equal(dy, 1)
