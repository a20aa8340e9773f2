"""Networks of several outputs: tuples up and down, and what each learning rule makes of them."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
from routers.cases import MAKERS, copied

import elunet as eln
from elunet import layers as L
from elunet.losses import MeanSquaredError, SoftmaxCrossEntropy

X = np.random.default_rng(0).normal(size=(4, 6, 6, 2))
LABELS = np.array([0, 2, 1, 1])
POINTS = np.random.default_rng(1).normal(size=(4, 5))
WEIGHTS = 1.0, 0.25  # of the losses


def heads(seed=0):
    """Return a trunk with two heads; one head takes the other's output, too."""
    net = eln.Network(seed=seed)
    net.add(L.Conv2D(2, 3, 3))
    net.add(L.ELU())
    net.add(L.MeanPool2D(2))
    trunk = net.add(L.Flatten())
    net.add(L.Linear(27, 3), name="class")
    net.add(L.Tanh())
    net.add(L.Linear(3, 5), name="linear2")
    net.add(L.Linear(27, 5), name="from_trunk", inputs=trunk)
    net.add(L.Add(), name="box", inputs=["linear2", "from_trunk"])
    net.outputs = ["class", "box"]
    return net


def losses(outputs):
    """Return the weighted sum of two losses, and its gradients."""
    one, d_one = SoftmaxCrossEntropy()(outputs[0], LABELS)
    other, d_other = MeanSquaredError()(outputs[1], POINTS.astype(outputs[1].dtype))
    value = WEIGHTS[0] * one + WEIGHTS[1] * other
    return value, (WEIGHTS[0] * d_one, WEIGHTS[1] * d_other)


def test_forward_gives_a_tuple_in_this_order():
    net = heads()
    logits, box = net.forward(X)
    assert (logits.shape, box.shape) == ((4, 3), (4, 5))
    net.outputs = ["box", "class"]
    np.testing.assert_array_equal(net(X)[0], box)
    np.testing.assert_array_equal(net(X)[1], logits)


def test_gradients_are_those_of_the_sum():
    """By differences in float64, for every parameter and for the input."""
    net = heads()
    for layer in net:
        for name, value in layer.params.items():
            layer.params[name] = value.astype(np.float64)
    _, dys = losses(net.forward(X, train=True))
    dx = net.backward(dys)
    grads = copied(net.gradients())

    def value(x=X):
        return losses(net.forward(x))[0]

    numeric = eln.testing.numeric_gradient(value, X)
    np.testing.assert_allclose(dx, numeric, rtol=1e-5, atol=1e-9)
    for name, array in net.parameters().items():
        numeric = eln.testing.numeric_gradient(lambda w: value(), array)
        np.testing.assert_allclose(grads[name], numeric, rtol=1e-5, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("output", ["elu1", "flatten1", "dropout1", "elu2"])
def test_an_output_that_others_take_stays_what_it_is(output):
    """Nothing writes into it in place, in the same pass or in a later one."""

    def make():
        net = eln.Network(seed=0)
        net.add(L.Linear(6, 6))
        net.add(L.ELU())
        net.add(L.Flatten())
        net.add(L.Dropout(0.5, seed=1))
        net.add(L.ELU())
        net.add(L.ReLU())
        net.add(L.Linear(6, 2))
        return net

    x = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    net, plain = make(), make()
    net.outputs = [output, "linear2"]
    seen = {}
    expected = plain.forward(x, train=True, tap=lambda name, y: seen.update({name: y.copy()}))
    ys = net.forward(x, train=True)
    np.testing.assert_array_equal(ys[0], seen[output])
    np.testing.assert_array_equal(ys[1], expected)
    held = [y.copy() for y in ys]
    dys = tuple(np.ones_like(y) for y in ys)
    dx = net.backward(dys)
    for dy in dys:
        np.testing.assert_array_equal(dy, 1)
    for seed in range(3):
        net.forward(np.random.default_rng(seed).normal(size=(200, 6)).astype(np.float32), True)
    for y, then in zip(ys, held, strict=True):
        np.testing.assert_array_equal(y, then)
    again = make()
    again.outputs = [output, "linear2"]
    again.forward(x, train=True)
    slow = again.walk(dys, tap=lambda name, dy: None, to_input=True)  # nothing in place
    np.testing.assert_array_equal(dx, slow)


@pytest.mark.parametrize(
    "rule", ["plain", "backprop", "FA", "uSF", "brSF", "frSF", "KP", "dilated", "mixed"]
)
def test_rules_send_the_sum_of_both_outputs_signals(rule):
    """A rule that is linear in dy makes of two gradients the sum of what it makes of each."""
    net = heads()
    _, dys = losses(net.forward(X, train=True))
    found = []
    for one, other in [(1, 1), (1, 0), (0, 1)]:
        MAKERS[rule]().backward(net, (one * dys[0], other * dys[1]), LABELS)
        found.append(copied(net.gradients()))
    both, first, second = found
    for name in both:
        np.testing.assert_allclose(both[name], first[name] + second[name], rtol=1e-9, atol=1e-12)
    assert np.abs(second["class.W"]).max() > 0  # box is made from class


@pytest.mark.parametrize("rule", MAKERS)
def test_every_rule_trains_or_refuses(rule):
    net, router = heads(), MAKERS[rule]()
    if re.match("DFA|DRTP|three factors|mixed random", rule):
        _, dys = losses(net.forward(X, train=True))
        message = r"(Direct|ThreeFactor)\w+\(.*expected a network with one output, got class, box"
        with pytest.raises(ValueError, match=message):
            router.backward(net, dys, LABELS)
        with pytest.raises(ValueError, match=message):
            router.paths(net)
        return
    optimizer, values = eln.optim.SGD(0.05), []
    for _ in range(30):
        value, dys = losses(net.forward(X.astype(np.float32), train=True))
        values.append(value)
        router.backward(net, dys, LABELS)
        optimizer.step(net, router)
    assert values[-1] < values[0]
    assert {path.target for path in router.paths(net)} >= {"class", "elu1"}
    exact = copied(net.gradients())
    router = MAKERS[rule]()
    _, dys = losses(net.forward(X, train=True))
    eln.routers.Backprop().backward(net, dys)
    exact = copied(net.gradients())
    router.backward(net, dys, LABELS)
    if rule not in ("noise", "both"):  # the last layers' own gradients are exact
        np.testing.assert_allclose(net.gradients()["from_trunk.W"], exact["from_trunk.W"], 1e-9)


def test_a_unit_ends_at_an_output():
    """Dilated backprop goes past no output: there, the loss comes in."""
    layers = [L.Linear(4, 4), L.ELU(), L.Linear(4, 4), L.ELU(), L.Linear(4, 4)]
    net = eln.Sequential(layers, seed=0)
    router = eln.routers.DilatedBackprop()
    net.forward(np.ones((2, 4)), train=True)
    before = [path for path in router.paths(net) if path.kind == "dilated"]
    ways = [(path.source, path.target) for path in before]
    assert ways == [("linear3", "elu2"), ("elu2", "elu1")]
    net.outputs = ["elu1", "linear3"]
    net.forward(np.ones((2, 4)), train=True)
    after = [path for path in router.paths(net) if path.kind == "dilated"]
    assert [(path.source, path.target) for path in after] == [("linear3", "elu2")]


def test_predict_in_batches():
    net = heads()
    for got, expected in zip(net.predict(X, batch_size=3), net.forward(X), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_copies_and_files(tmp_path):
    net = heads()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin.outputs == ("class", "box")
        np.testing.assert_array_equal(twin(X)[1], net(X)[1])
    eln.save(net, tmp_path / "net.safetensors")
    other = heads(seed=1)
    eln.load(other, tmp_path / "net.safetensors")
    np.testing.assert_array_equal(other(X)[1], net(X)[1])


def test_what_it_looks_like():
    net = heads()
    assert repr(net).endswith("\n  outputs: class, box\n)")
    assert "from_trunk" in net.summary((6, 6, 2))
    net.forward(X, train=True)
    eln.plots.network_graph(net, eln.routers.FeedbackAlignment())


def test_onnx_has_both(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    net = heads()
    eln.exchange.to_onnx(net, (6, 6, 2), tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    assert [output.name for output in session.get_outputs()] == ["class", "box"]
    x = X.astype(np.float32)
    for got, expected in zip(session.run(None, {"input": x}), net(x), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("dy", "kind", "message"),
    [
        (
            np.ones((4, 3)),
            TypeError,
            "a tuple of 2 gradients, at the outputs class, box, got ndarr",
        ),
        ((np.ones((4, 3)),), TypeError, "a tuple of 2 gradients, at the outputs class, box, got 1"),
        ((np.ones((4, 3)), None), TypeError, "expected dy[1] as a NumPy array, got NoneType"),
        (
            (np.ones((4, 5)), np.ones((4, 3))),
            ValueError,
            "dy[0] of class's shape (4, 3), got (4, 5",
        ),
    ],
)
def test_gradients_that_do_not_fit(dy, kind, message):
    net = heads()
    net.forward(X, train=True)
    with pytest.raises(kind, match=re.escape(message)):
        net.backward(dy)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ("class", TypeError),
        (3, TypeError),
        ([], ValueError),
        (["class", "class"], ValueError),
        (["class", "nobody"], ValueError),
        (["input"], ValueError),
    ],
)
def test_outputs_that_are_none(names, kind):
    net = heads()
    with pytest.raises(kind, match="Network: expected outputs as"):
        net.outputs = names
    assert net.outputs == ("class", "box")


def test_every_layer_leads_to_an_output():
    net = heads()
    net.outputs = ["class", "linear2"]
    with pytest.raises(
        ValueError, match="except the outputs class, linear2 to be the input of another"
    ):
        net.forward(X)
    net.outputs = ["box"]
    assert net(X).shape == (4, 5)


def test_setting_outputs_ends_the_pass_before():
    net = heads()
    net.forward(X, train=True)
    net.outputs = ["box"]
    with pytest.raises(RuntimeError, match="before backward, got none"):
        net.backward(np.ones((4, 5)))


def test_who_wants_one_output_says_so():
    net = heads()
    trainer = eln.Trainer(net, SoftmaxCrossEntropy(), eln.optim.SGD(0.1))
    expected = "expected a network with one output, got class, box"
    with pytest.raises(ValueError, match=f"Trainer.fit: {expected}"):
        trainer.fit((X, LABELS), epochs=1)
    with pytest.raises(ValueError, match=f"evaluate: {expected}"):
        eln.evaluate(net, X, LABELS, SoftmaxCrossEntropy())
