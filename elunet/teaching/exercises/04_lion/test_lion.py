"""What the optimizer Lion has to do."""

import numpy as np
import pytest
from lion import Lion

import elunet as eln


class Net:
    """Parameters, and gradients that are written into the same arrays before each step."""

    def __init__(self, **parameters):
        self.arrays = {name: np.array(value) for name, value in parameters.items()}
        self.slopes = {name: np.zeros_like(value) for name, value in self.arrays.items()}

    def parameters(self):
        """Return the live arrays by name."""
        return dict(self.arrays)

    def gradients(self):
        """Return the gradients by the same names."""
        return dict(self.slopes)

    def descend(self, optimizer, **gradients):
        """Take a step with these gradients."""
        for name, value in gradients.items():
            self.slopes[name][...] = value
        optimizer.step(self)


def test_the_first_step_goes_against_the_sign():
    """The step does not depend on the gradient's size; where it is 0, nothing moves."""
    net = Net(w=[1.0, 1.0, 1.0])
    net.descend(Lion(lr=0.1), w=[5.0, -1e-6, 0.0])
    np.testing.assert_allclose(net.arrays["w"], [0.9, 1.1, 1.0])


def test_five_steps_by_hand():
    """With beta1 = 0.5 and beta2 = 0.75, where m is 0.25, -0.0625, 0.203125 and 0.07734375."""
    net, optimizer = Net(w=[0.0]), Lion(lr=1.0, beta1=0.5, beta2=0.75)
    path = []
    for g in (1.0, -1.0, 1.0, -0.3, -0.05):
        net.descend(optimizer, w=[g])
        path.append(float(net.arrays["w"][0]))
    assert path == [-1.0, 0.0, -1.0, 0.0, -1.0]


def test_each_parameter_has_a_memory_of_its_own():
    """One parameter's gradients do not move another parameter."""
    net, optimizer = Net(a=[0.0], b=[0.0]), Lion(lr=1.0)
    net.descend(optimizer, a=[1.0], b=[-1.0])
    net.descend(optimizer, a=[0.0], b=[0.0])
    assert net.arrays["a"] == -2.0
    assert net.arrays["b"] == 2.0


def test_the_gradient_is_only_read():
    """It does not belong to the optimizer."""
    net = Net(w=[1.0, 2.0])
    net.descend(Lion(), w=[3.0, -4.0])
    np.testing.assert_array_equal(net.slopes["w"], [3, -4])


def test_the_memory_is_no_view_of_the_gradient():
    """The gradient's array is overwritten before the second step."""
    net, optimizer = Net(w=[0.0]), Lion(lr=1.0, beta1=0.5, beta2=0.0)
    net.descend(optimizer, w=[1.0])
    net.descend(optimizer, w=[-0.5])  # c = 0.5 * 1.0 - 0.5 * 0.5, above 0
    assert net.arrays["w"] == -2.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_keep_their_array_and_dtype(dtype):
    """The layers hold these arrays."""
    net = Net(w=np.ones(3, dtype))
    array = net.arrays["w"]
    net.descend(Lion(lr=0.5), w=1.0)
    assert net.arrays["w"] is array
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, 0.5)


def test_it_trains_a_network():
    """A small one, on four points that no line separates."""
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = np.array([0, 1, 1, 0])
    layers = eln.layers
    net = eln.Sequential([layers.Linear(2, 8), layers.Tanh(), layers.Linear(8, 2)], seed=0)
    optimizer, loss = Lion(lr=0.01), eln.losses.SoftmaxCrossEntropy()
    for _ in range(300):
        _, dy = loss(net.forward(x, train=True), y)
        net.backward(dy)
        optimizer.step(net)
    assert loss(net(x), y)[0] < 0.05
