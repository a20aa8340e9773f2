import copy

import numpy as np
import pytest

import elunet as eln
from elunet import layers
from elunet.testing import GradientCheckError, check_network

MSE = eln.losses.MeanSquaredError()


@pytest.fixture
def rng():
    return np.random.default_rng(3)


class Toy:
    """A network without elunet: one matrix, arrays in a dict."""

    def __init__(self):
        self.arrays = {"W": np.arange(6.0, dtype=np.float32).reshape(3, 2)}
        self.changes = {}

    def forward(self, x):
        self.x = x
        return x @ self.arrays["W"]

    def backward(self, dy):
        self.changes["W"] = self.x.T @ dy

    def parameters(self):
        return self.arrays

    def gradients(self):
        return self.changes


def convolutional(**replaced):
    return eln.Sequential(
        [
            layers.Conv2D(2, 3, 3),
            replaced.get("elu", layers.ELU(2.0)),
            layers.MaxPool2D(),
            layers.Conv2D(3, 4, 2, bias=False),
            layers.BatchNorm(4),
            layers.ReLU(),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Linear(24, 3),
        ],
        seed=1,
    )


def test_a_network_of_many_layers(rng):
    net = convolutional()
    result = check_network(
        net, rng.standard_normal((3, 6, 4, 2)), [0, 2, 1], eln.losses.SoftmaxCrossEntropy()
    )
    assert result.arrays == ["dx", *net.parameters()]
    assert result.max_rel_error < 1e-5


def test_a_network_with_two_paths(rng):
    net = eln.Network(seed=0)
    net.add(layers.Linear(4, 4), name="skip")
    net.add(layers.Tanh(), name="tanh")
    net.add(layers.Linear(4, 4), name="inner")
    net.add(layers.Add(), inputs=["skip", "inner"])
    check_network(net, rng.standard_normal((3, 4)), rng.standard_normal((3, 4)), MSE)


def test_everything_is_restored(rng):
    net = convolutional()
    x = rng.standard_normal((3, 6, 4, 2)).astype(np.float32)
    net.backward(np.ones_like(net.forward(x, train=True)))
    live, old = net.parameters(), copy.deepcopy(net.parameters())
    grads = copy.deepcopy(net.gradients())
    states = [copy.deepcopy(layer.state) for layer in net.layers]
    bits = net["dropout1"].rng.bit_generator.state
    check_network(net, x, [0, 2, 1], eln.losses.SoftmaxCrossEntropy())
    for name, array in net.parameters().items():
        assert array is live[name]
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, old[name])
    for name, array in net.gradients().items():
        np.testing.assert_array_equal(array, grads[name])
    for layer, state in zip(net.layers, states, strict=True):
        for key in state:
            np.testing.assert_array_equal(layer.state[key], state[key])
    assert net["dropout1"].rng.bit_generator.state == bits


class BadELU(layers.ELU):
    def backward_input(self, dy):
        return 2 * super().backward_input(dy)


def test_the_place_of_a_slip_in_the_middle(rng):
    net = convolutional(elu=BadELU(2.0))
    x = rng.standard_normal((3, 6, 4, 2))
    with pytest.raises(GradientCheckError) as caught:
        check_network(net, x, [0, 2, 1], eln.losses.SoftmaxCrossEntropy())
    text = str(caught.value)
    assert "conv1.W is wrong" in text
    assert "conv2.W is wrong" not in text
    assert "from the output back to conv2 the gradients are right; run check_layer on" in text
    assert "badelu1 = BadELU" in text
    assert "linear1 =" not in text


def test_a_wrong_loss_gradient_is_wrong_from_the_top(rng):
    net = eln.Sequential([layers.Linear(4, 3)], seed=0)

    def loss(p, t):
        return np.sum((p - t) ** 2) / len(p), 2 * (p - t)

    with pytest.raises(GradientCheckError) as caught:
        check_network(net, rng.standard_normal((5, 4)), np.zeros((5, 3)), loss)
    text = str(caught.value)
    assert "multiplied by the batch size 5" in text
    assert "the gradients are wrong from the last layer on; run check_layer on linear1" in text


def test_a_slip_that_only_the_input_shows(rng):
    class Bad(layers.Linear):
        def backward_input(self, dy, weight=None):
            return -super().backward_input(dy, weight)

    net = eln.Sequential([Bad(4, 3)], seed=0)
    with pytest.raises(
        GradientCheckError, match="back to bad1 the gradients are right; run check_layer on bad1"
    ):
        check_network(net, rng.standard_normal((5, 4)), np.zeros((5, 3)), MSE)


def test_a_custom_network(rng):
    net = Toy()
    W = net.arrays["W"]
    x = rng.standard_normal((5, 3))
    assert check_network(net, x, np.zeros((5, 2)), MSE).arrays == ["W"]
    assert net.arrays["W"] is W
    net.backward = lambda dy: net.changes.update(W=2 * net.x.T @ dy)
    with pytest.raises(GradientCheckError, match="W is wrong at 6 of 6"):
        check_network(net, x, np.zeros((5, 2)), MSE)


def test_kinks_inside_are_counted():
    net = eln.Sequential([layers.Linear(2, 2), layers.ReLU()], seed=0)
    x = np.zeros((1, 2))
    result = check_network(net, x, np.ones((1, 2)), MSE)
    assert sum(row.kinks for row in result.rows) > 0
    with pytest.raises(GradientCheckError, match="sits on a kink"):
        check_network(net, x, np.ones((1, 2)), MSE, skip_kinks=False)


def test_what_a_network_must_have(rng):
    x, y = rng.standard_normal((5, 3)), np.zeros((5, 2))
    with pytest.raises(TypeError, match="expected a network with a method forward, got object"):
        check_network(object(), x, y, MSE)
    with pytest.raises(
        TypeError, match=r"expected a loss, or a network with a method loss\(X, y\)"
    ):
        check_network(layers.ELU(), x, y)

    class NoGradients(Toy):
        def backward(self, dy):
            pass

    with pytest.raises(GradientCheckError, match="NoGradients: backward left no gradient of W"):
        check_network(NoGradients(), x, y, MSE)

    class Small(Toy):
        def forward(self, x):
            return super().forward(x).astype(np.float32)

    with pytest.raises(GradientCheckError, match="forward returned float32 for x in float64"):
        check_network(Small(), x, y, MSE)

    with pytest.raises(GradientCheckError, match="expected the loss as one finite number, got nan"):
        check_network(Toy(), x, y, lambda p, t: (np.nan, p))

    with pytest.raises(GradientCheckError, match=r"one finite number, got shape \(5, 2\)"):
        check_network(Toy(), x, y, lambda p, t: (p, p))


def test_a_loss_that_changes_from_call_to_call(rng):
    noise = np.random.default_rng(0)

    def loss(p, t):
        return float(np.sum(p)) * 0 + noise.random(), 0 * p

    with pytest.raises(GradientCheckError):
        check_network(Toy(), rng.standard_normal((5, 3)), None, loss)

    steps = iter([1.0])

    def late(p, t):
        return float(np.mean(p)) + next(steps, 0.0), np.full(p.shape, 1 / p.size)

    with pytest.raises(GradientCheckError, match="the loss is not deterministic"):
        check_network(Toy(), rng.standard_normal((5, 3)), None, late)


# -- losses
