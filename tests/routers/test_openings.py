"""What a rule may ask for besides its hooks: values, the loss, the forward pass, passes beside."""

from __future__ import annotations

import numpy as np
import pytest
from routers.cases import MAKERS, copied, residual

import elunet as eln
from elunet import layers as L
from elunet import routers as R
from elunet.losses import SoftmaxCrossEntropy

X = np.random.default_rng(0).standard_normal((6, 32, 32, 3)).astype(np.float32)
Y = np.arange(6)


class Hebb(R.Router):
    """Learns from what it sees at both ends of a layer."""

    wants = True

    def learn(self, layer, dy):
        if not isinstance(layer, L.Linear):
            return super().learn(layer, dy)
        x, y = self.input_of(layer), self.output_of(layer)
        layer.grads.update(W=x.T @ y, b=y.sum(axis=0))
        return None


def test_values_of_layers():
    net, rule = residual(), Hebb()
    seen = {}
    rule.forward(net, X, Y, lambda name, y: seen.update({name: y.copy()}))
    rule.backward(net, np.ones((6, 10), np.float32))
    layer, source = net["linear1"], net.nodes[-1].inputs[0]
    np.testing.assert_array_equal(layer.grads["W"], seen[source].T @ seen["linear1"])
    assert len(rule.input_of(net["add1"])) == 2
    assert rule.input_of(net["conv1"]) is X
    np.testing.assert_array_equal(rule.output_of(net["elu1"]), seen["elu1"])  # written over by none


@pytest.mark.parametrize("how", ["by hand", "unsaid", "released"])
def test_values_of_another_pass_are_refused(how):
    net, rule = residual(), Hebb()
    rule.forward(net, X)
    dy = np.ones((6, 10), np.float32)
    if how == "unsaid":
        rule.wants = False
        rule.forward(net, X)
    elif how == "by hand":
        net.forward(X, train=True)
    else:
        rule.backward(net, dy, release=True)
        net.forward(X, train=True)
    with pytest.raises(RuntimeError, match="expected wants = True in the rule's class"):
        rule.backward(net, dy)


def test_mixed_shares_the_values_and_the_learning():
    net, rule = residual(), R.Mixed({"linear*": Hebb(), "*": R.FeedbackAlignment(seed=1)})
    assert rule.wants
    y = rule.forward(net, X)
    rule.backward(net, np.ones_like(y))
    np.testing.assert_allclose(net["linear1"].grads["b"], y.sum(axis=0), rtol=1e-5)
    twin = residual()
    alone = R.Mixed({"linear*": R.Router(), "*": R.FeedbackAlignment(seed=1)})
    alone.backward(twin, np.ones_like(twin.forward(X, train=True)))
    np.testing.assert_array_equal(net["conv2"].grads["W"], twin["conv2"].grads["W"])


class Whole(R.Router):
    def predict(self, net, x):
        return -net.forward(x)


def test_mixed_refuses_a_rule_that_is_a_whole_step():
    with pytest.raises(TypeError, match=r"got Whole\(\) for '\*', which overrides predict"):
        R.Mixed({"*": Whole()})


def test_the_trainer_asks_the_rule():
    class Watch(R.Router):
        heard = ()

        def forward(self, net, x, target=None, tap=None):
            Watch.heard += ((x.shape, target.tolist(), self.loss),)
            return super().forward(net, x, target, tap)

        def predict(self, net, x):
            return np.eye(10, dtype=np.float32)[: len(x)] * 9

    loss = SoftmaxCrossEntropy()
    rule = R.GradientNoise(Watch())
    trainer = eln.Trainer(residual(), loss, eln.optim.SGD(0.01), rule, batch_size=6)
    (row,) = trainer.fit((X, Y), validation=(X, Y), epochs=1)
    assert row.validation_accuracy == 1
    ((shape, target, known),) = Watch.heard
    assert (shape, sorted(target), known) == (X.shape, [0, 1, 2, 3, 4, 5], loss)


def drop():
    layers = [L.Linear(4, 5), L.BatchNorm(5), L.Tanh(), L.Dropout(0.5), L.Linear(5, 3)]
    return eln.Sequential(layers, seed=0)


def test_a_pass_aside_leaves_no_trace():
    net, twin = drop(), drop()
    x = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    for one in (net, twin):
        dy = one.forward(x, train=True)
        if one is net:
            beside = net.aside()
            first = beside.forward(2 * x, train=True)
            beside.backward(first)
            again = net.aside().forward(2 * x, train=True)
            np.testing.assert_array_equal(first, again)  # statistics and masks as they were
        one.backward(dy)
    for name, gradient in twin.gradients().items():
        np.testing.assert_array_equal(net.gradients()[name], gradient)
    np.testing.assert_array_equal(net.forward(x, train=True), twin.forward(x, train=True))
    np.testing.assert_array_equal(net(x), twin(x))
    assert net.aside()["linear1"].params is net["linear1"].params


def test_a_custom_layer_aside():
    class Own(L.Layer):
        def __init__(self):
            super().__init__()
            self.cache = {}

        def forward(self, x, train=False):
            self.cache["x"] = x
            return x**2

        def backward_input(self, dy):
            return 2 * self.cache["x"] * dy

    net = eln.Sequential([Own(), L.Linear(2, 2)], seed=0)
    x = np.array([[1.0, 2.0]])
    dy = net.forward(x, train=True)
    net.aside().forward(5 * x, train=True)
    assert "total" in net.summary((2,))  # runs aside, too
    np.testing.assert_allclose(
        net.backward(dy),
        2 * x * (dy @ net["linear1"].params["W"].T),
    )


def test_keeping_in_evaluation():
    """The gradient at the input of the function that evaluation computes."""
    net = drop()
    x = np.random.default_rng(0).standard_normal((8, 4))
    net.forward(x, train=True)
    y = net.forward(x, keep=True)
    np.testing.assert_array_equal(y, net.aside().forward(x))
    net.forward(x, keep=True)
    dx = net.backward(y)
    numeric = eln.testing.numeric_gradient(lambda x: (net.aside().forward(x) ** 2).sum() / 2, x)
    np.testing.assert_allclose(dx, numeric, rtol=1e-5, atol=1e-7)
    net.forward(x, train=True, keep=False)
    with pytest.raises(RuntimeError, match="before backward, got none"):
        net.backward(y)


def test_adding_noise():
    net = eln.Sequential([L.Linear(3, 4), L.ELU(), L.Linear(4, 2)], seed=0)
    x = np.random.default_rng(0).standard_normal((5, 3))
    noise = {
        "linear1": np.random.default_rng(1).standard_normal((5, 4)),
        "linear2": np.ones((5, 2)),
    }
    y = net.forward(x, train=True, add=noise)
    (W, b), (V, c) = (net[name].params.values() for name in ("linear1", "linear2"))
    z = x @ W + b + noise["linear1"]
    h = np.where(z > 0, z, np.expm1(z))
    np.testing.assert_allclose(y, h @ V + c + 1, rtol=1e-6)
    dx = net.backward(np.ones_like(y))
    slope = np.where(z > 0, 1, np.exp(z))
    np.testing.assert_allclose(dx, (np.ones_like(y) @ V.T * slope) @ W.T, rtol=1e-6)
    with pytest.raises(ValueError, match=r"linear1 .*: expected add of shape \(5, 4\)"):
        net.forward(x, add={"linear1": np.ones((5, 3))})
    with pytest.raises(ValueError, match="expected names in add among"):
        net.forward(x, add={"nobody": np.ones((5, 3))})


@pytest.mark.parametrize("make", [eln.models.mlp, eln.models.small_cnn])
@pytest.mark.parametrize("rule", ["FA", "DFA", "DFA before", "KP", "frSF"])
def test_default_matrices_send_signals_of_backpropagations_size(make, rule):
    """Before training, each W's gradient is between a quarter and four times as long."""
    net = make(seed=0)
    _, dy = SoftmaxCrossEntropy()(net.forward(X, train=True), Y)
    eln.routers.Backprop().backward(net, dy, Y)
    exact = copied(net.gradients())
    MAKERS[rule]().backward(net, dy, Y)
    for name in [name for name in exact if name.endswith("W")]:
        gradient = net.gradients()[name]
        ratio = np.linalg.norm(gradient) / np.linalg.norm(exact[name])
        assert 1 / 4 < ratio < 4, (name, ratio)


def test_scale_is_a_factor():
    net = eln.models.mlp(seed=0)
    dy = net.forward(X, train=True)
    for make in (R.FeedbackAlignment, R.DirectFeedbackAlignment, R.KolenPollack):
        one, half = make(seed=3), make(seed=3, scale=0.5)
        for rule in (one, half):
            rule.backward(net, dy, Y)
        for name, B in one.B.items():
            np.testing.assert_allclose(half.B[name], 0.5 * B, rtol=1e-6)
        assert "scale=0.5" in repr(half)
        with pytest.raises(ValueError, match="expected scale in"):
            make(scale=0)


def test_matrices_are_drawn_as_the_layers_weights():
    net = eln.Sequential([L.Linear(4, 4), L.Linear(4, 4, init=eln.init.Uniform(5, 6))], seed=0)
    dy = net.forward(np.ones((2, 4)), train=True)
    rule = R.FeedbackAlignment()
    rule.backward(net, dy)
    assert 5 <= rule.B["linear2"].min() < rule.B["linear2"].max() <= 6


def test_a_rule_that_was_made_with_a_loss_keeps_it(tmp_path):
    class Own(R.Router):
        def __init__(self, loss):
            super().__init__()
            self.loss = loss

    own = eln.losses.SoftmaxCrossEntropy(label_smoothing=0.1)
    for rule in (Own(own), R.Mixed({"*": Own(own)})):
        folder = tmp_path / type(rule).__name__

        def trainer(rule=rule, folder=folder):
            callbacks = [eln.Checkpoints(folder)]
            parts = residual(), SoftmaxCrossEntropy(), eln.optim.SGD(0.01), rule
            return eln.Trainer(*parts, batch_size=6, callbacks=callbacks)

        trainer().fit((X, Y), epochs=1)
        held = rule.rules["*"] if isinstance(rule, R.Mixed) else rule
        assert held.loss is own
        trainer().resume(folder)
    told = R.Router()
    for loss in (own, SoftmaxCrossEntropy()):  # of one trainer, then another
        told.tell(loss)
        assert told.loss is loss


def own_pass(hook, keep):
    """Return a rule that runs the network once more in a hook."""

    def run(self, *arguments):
        net = arguments[0] if isinstance(arguments[0], eln.Network) else self.net
        net.forward(-self.x, train=keep is None, keep=keep)
        return getattr(R.Router, hook)(self, *arguments)

    return type("Own", (R.Router,), {hook: run, "x": X[:, :2, :2, 0].reshape(6, 4)})()


@pytest.mark.parametrize("keep", [None, True, False])  # in training, or in evaluation mode
@pytest.mark.parametrize("hook", ["begin", "end"])
def test_a_pass_in_the_network_itself_is_refused(hook, keep):
    """Whatever looked at the step's pass next would see the rule's own, without a word."""
    net, rule = drop(), own_pass(hook, keep)
    dy = net.forward(rule.x, train=True)
    with pytest.raises(RuntimeError, match="a rule's own forward passes to run in net.aside()"):
        rule.backward(net, dy)


@pytest.mark.parametrize("keep", [None, True])
@pytest.mark.parametrize("hook", ["arrive", "send", "learn"])
def test_a_pass_within_the_walk_is_refused(hook, keep):
    net, rule = drop(), own_pass(hook, keep)
    dy = net.forward(rule.x, train=True)
    with pytest.raises(RuntimeError, match="a network cannot be trained during one of its own"):
        rule.backward(net, dy)


@pytest.mark.parametrize("hook", ["arrive", "send", "learn"])
def test_an_evaluation_within_the_walk_runs_aside(hook):
    net, other, rule = drop(), drop(), own_pass(hook, False)
    rule.backward(net, net.forward(rule.x, train=True))
    R.Router().backward(other, other.forward(rule.x, train=True))
    for name, gradient in other.gradients().items():
        np.testing.assert_array_equal(net.gradients()[name], gradient)


def test_a_whole_rule_that_runs_the_network_itself_is_refused():
    """By those who look at the pass next."""
    net, rule, loss = drop(), own_pass("backward", True), SoftmaxCrossEntropy()
    _, dy = loss(net.forward(rule.x, train=True), Y % 3)
    with pytest.raises(RuntimeError, match="a rule's own forward passes to run in net.aside()"):
        eln.experiments.alignments(net, rule, dy, Y % 3)
    trainer = eln.Trainer(drop(), loss, eln.optim.SGD(0.1), rule, progress=False)
    with pytest.raises(RuntimeError, match="a rule's own forward passes to run in net.aside()"):
        trainer.fit((rule.x, Y % 3))
