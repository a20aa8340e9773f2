"""What a Huber loss has to do."""

import numpy as np
import pytest
from huber import Huber

from elunet.testing import LossContract, check_loss


class TestHuber(LossContract):
    """The tests for any loss."""

    def make_loss(self):
        """Return the loss to test."""
        return Huber()

    def make_prediction(self):
        """Return differences on both sides of both corners."""
        return np.array([[0.3, -0.4, 2.0], [-3.0, 0.9, -1.5]])

    def make_target(self):
        """Return zeros, so that the prediction is the difference."""
        return np.zeros((2, 3))


def test_values_that_one_knows():
    """Half a square inside, a line outside, and no jump between them."""
    huber, zero = Huber(delta=2.0), np.zeros(1)
    assert huber(np.array([1.0]), zero)[0] == pytest.approx(0.5)
    assert huber(np.array([2.0]), zero)[0] == pytest.approx(2.0)
    assert huber(np.array([3.0]), zero)[0] == pytest.approx(4.0)
    assert huber(np.array([-3.0]), zero)[0] == pytest.approx(4.0)


def test_the_value_is_a_mean_over_all_elements():
    """Twelve equal differences give the same as one."""
    assert Huber()(np.full((3, 4), 0.5), np.zeros((3, 4)))[0] == pytest.approx(0.125)


@pytest.mark.parametrize("delta", [0.1, 1.0, 10.0])
def test_the_gradient_for_any_delta(delta):
    """Delta bounds the slope."""
    prediction = np.random.default_rng(0).normal(size=(4, 3))
    check_loss(Huber(delta), prediction, np.zeros((4, 3)))
    _, dy = Huber(delta)(1e3 * prediction, np.zeros((4, 3)))
    np.testing.assert_allclose(np.abs(dy), delta / 12)
