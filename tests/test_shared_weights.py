"""One layer in several places: its weights are shared, its gradients summed."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from layers.test_contract import CASES, draw
from routers.cases import MAKERS, copied

import elunet as eln
from elunet import layers as L
from elunet import routers as R
from elunet.losses import SoftmaxCrossEntropy

X = np.random.default_rng(0).normal(size=(4, 6, 6, 3))
LABELS = np.array([0, 2, 1, 1])


def shared(seed=0, dtype=np.float32):
    """Return a network in which a unit stands three times: twice in a row and in a branch."""
    conv, norm, act = L.Conv2D(3, 3, 3), L.BatchNorm(3), L.PReLU(3)
    net = eln.Network(seed=seed)
    net.add(conv, "conv")
    net.add(norm, "norm")
    first = net.add(act, "act")
    for layer in (conv, norm, act, conv):
        last = net.add(layer)
    net.add(L.Add(), inputs=[first, last])
    net.add(L.GlobalMeanPool2D())
    net.add(L.Linear(3, 3))
    for layer in net:
        layer.params.update({name: value.astype(dtype) for name, value in layer.params.items()})
    return net


def apart(net):
    """Return the same network with every layer for itself."""
    twin = eln.Network()
    for node in net.nodes:
        layer = copy.deepcopy(node.layer)
        twin.add(layer, node.name, node.inputs)
    return twin


def summed(net, gradients):
    """Return gradients of a network without sharing, added up by the homes of the shared one."""
    home = {node.name: node.home for node in net.nodes}
    total = {}
    for name, value in gradients.items():
        layer, key = name.split(".")
        name = f"{home[layer]}.{key}"
        total[name] = total.get(name, 0) + value
    return total


def step(net, rule=None, x=X):
    value, dy = SoftmaxCrossEntropy()(net.forward(x, train=True), LABELS)
    (rule or R.Backprop()).backward(net, dy, LABELS)
    return value


def test_arrays_are_there_once():
    net = shared()
    assert [node.name for node in net.homes] == [
        "conv",
        "norm",
        "act",
        "add1",
        "globalmeanpool1",
        "linear1",
    ]
    assert list(net.parameters()) == [
        "conv.W", "conv.b", "norm.gamma", "norm.beta", "act.alpha", "linear1.W", "linear1.b",
    ]  # fmt: skip
    step(net)
    assert net.gradients().keys() == net.parameters().keys()
    net["conv"].params["W"] = np.zeros((3, 3, 3, 3), np.float32)
    assert not net["conv3"].params["W"].any()
    net["conv3"].params["b"] += 1
    assert np.all(net["conv"].params["b"] == net["conv2"].params["b"])


def test_gradients_are_right():
    net = shared(dtype=np.float64)
    loss = SoftmaxCrossEntropy()
    _, dy = loss(net.forward(X, train=True), LABELS)
    dx = net.backward(dy)
    grads = copied(net.gradients())

    def value(x=X):
        return loss(net.forward(x, train=True), LABELS)[0]

    np.testing.assert_allclose(dx, eln.testing.numeric_gradient(value, X), rtol=1e-5, atol=1e-9)
    for name, array in net.parameters().items():
        numeric = eln.testing.numeric_gradient(lambda w: value(), array)
        np.testing.assert_allclose(grads[name], numeric, rtol=1e-5, atol=1e-9, err_msg=name)
    eln.testing.check_network(net, X, LABELS, loss)


def test_each_place_has_its_share():
    net = shared(dtype=np.float64)
    twin = apart(net)
    assert step(net) == step(twin)
    alone = twin.gradients()
    assert all(np.array_equal(net["conv2"].grads[key], alone[f"conv2.{key}"]) for key in "Wb")
    for name, expected in summed(net, alone).items():
        np.testing.assert_allclose(net.gradients()[name], expected, rtol=1e-12, atol=1e-15)
    before = copied(net.gradients())
    step(net)  # nothing is left of the last pass
    for name in before:
        np.testing.assert_allclose(net.gradients()[name], before[name], rtol=1e-12, atol=1e-15)


def test_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    inner, outer = torch.nn.Linear(5, 5).double(), torch.nn.Linear(5, 3).double()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 5)))
    hidden = torch.tanh(inner(torch.tanh(inner(torch.tanh(inner(x))))))
    torch.nn.functional.cross_entropy(outer(hidden), torch.from_numpy(LABELS)).backward()

    layer = L.Linear(5, 5)
    net = eln.Sequential([layer, L.Tanh(), layer, L.Tanh(), layer, L.Tanh(), L.Linear(5, 3)])
    state = torch.nn.ModuleDict({"inner": inner, "outer": outer}).state_dict()
    names = eln.exchange.torch_names(net, state)
    assert names == {"linear1": "inner", "linear4": "outer"}
    eln.exchange.from_torch(net, state, names)
    for name, value in net.parameters().items():
        net[name.split(".")[0]].params[name.split(".")[1]] = value.astype(np.float64)
    step(net, x=x.numpy())
    np.testing.assert_allclose(
        net.gradients()["linear1.W"], inner.weight.grad.numpy().T, rtol=1e-5, atol=1e-9
    )
    np.testing.assert_allclose(
        net.gradients()["linear1.b"], inner.bias.grad.numpy(), rtol=1e-5, atol=1e-9
    )
    with pytest.raises(ValueError, match=r"names of layers among \['linear1', .*got \['linear2'\]"):
        eln.exchange.from_torch(net, state, {"linear2": "inner"})


ONCE = {case.text: case for case in CASES}


@pytest.mark.parametrize("text", ONCE)
def test_every_layer_can_be_shared(text):
    """Two places with other inputs do what two layers with the same weights do."""
    case = ONCE[text]
    x = draw(case)
    images = x[0] if isinstance(x, tuple) else x
    sizes = {one.shape for one in x} if isinstance(x, tuple) else {x.shape}
    if len(sizes) > 1:
        pytest.skip("takes several inputs of different shapes")

    def make(first, second):
        net = eln.Network()
        net.add(L.Tanh(), "bent")
        net.add(first, "first", ["input"] * case.inputs)
        net.add(second, "second", ["bent"] * case.inputs)
        net.outputs = ["first", "second"]
        return net

    layer = case.make()
    together, alone = make(layer, layer), make(case.make(), case.make())
    if layer.rng is not None:  # one generator draws for both places, in turn
        alone["second"].rng = alone["first"].rng
    ys, expected = together.forward(images, train=True), alone.forward(images, train=True)
    for y, other in zip(ys, expected, strict=True):
        np.testing.assert_array_equal(y, other)
    dys = tuple(np.random.default_rng(1).normal(size=y.shape) for y in ys)
    dx = together.backward(dys)
    np.testing.assert_array_equal(dx, alone.backward(dys))
    for key, gradient in alone["first"].grads.items():
        np.testing.assert_allclose(
            layer.grads[key], gradient + alone["second"].grads[key], rtol=1e-12, atol=1e-14
        )
    assert together.gradients().keys() == {f"first.{key}" for key in layer.params}


class InDict(L.Layer):
    """Keeps its x in a dict of its own, and its weight under another name, too."""

    def __init__(self):
        super().__init__()
        self.a = self.params["a"] = np.array([1.5, -0.5])
        self.cache, self.calls = {}, [0]

    def forward(self, x, train=False):
        self.cache["x"] = x
        self.calls[0] += 1
        return np.sin(self.a * x)

    def backward_params(self, dy):
        x = self.cache["x"]
        self.grads["a"] = (dy * x * np.cos(self.a * x)).sum(axis=0)

    def backward_input(self, dy):
        return dy * self.a * np.cos(self.a * self.cache["x"])


def test_a_custom_layer_that_keeps_values_its_own_way():
    layer = InDict()
    net = eln.Sequential([layer, layer, layer])
    x = np.random.default_rng(0).normal(size=(3, 2))
    y = net.forward(x, train=True)
    dx = net.backward(y)
    half = lambda _: (net.forward(x) ** 2).sum() / 2  # noqa: E731
    numeric = eln.testing.numeric_gradient(half, net.parameters()["indict1.a"])
    np.testing.assert_allclose(net.gradients()["indict1.a"], numeric, rtol=1e-6)
    half = lambda x: (net.forward(x) ** 2).sum() / 2  # noqa: E731
    np.testing.assert_allclose(dx, eln.testing.numeric_gradient(half, x), rtol=1e-6)
    eln.optim.SGD(0.1).step(net)  # writes in place: both names of the weight follow
    assert all(one.a is one.params["a"] is layer.a for one in net)


def test_a_layer_that_cannot_be_copied():
    layer = InDict()
    layer.lock = threading.Lock()
    net = eln.Sequential([layer])
    with pytest.raises(
        TypeError, match="Network.add: indict2: expected a layer that can be copied.*"
    ):
        net.add(layer)
    assert len(net) == 1


def test_settings_follow():
    drop = L.Dropout(0.5, seed=0)
    net = eln.Sequential([drop, drop])
    x = np.ones((10, 10))
    drop.rate = 0.0
    np.testing.assert_array_equal(net.forward(x, train=True), x)
    drop.rate = 0.5
    y = net.forward(x, train=True)
    assert set(np.unique(y)) == {0, 4}
    assert np.mean(y == 4) < 0.4  # two different masks


@pytest.mark.parametrize("rule", MAKERS)
def test_every_rule_takes_it(rule):
    net, router, optimizer = shared(), MAKERS[rule](), eln.optim.SGD(0.003)
    x = X.astype(np.float32)
    step(net, x=x)
    exact = copied(net.gradients())
    step(net, router, x)
    assert net.gradients().keys() == exact.keys()
    if rule not in ("noise", "both", "matched"):  # the last layer's own gradient is exact
        np.testing.assert_allclose(net.gradients()["linear1.W"], exact["linear1.W"], rtol=1e-6)
    assert all(np.any(gradient) for gradient in net.gradients().values())
    paths = router.paths(net)
    assert {path.target for path in paths} >= {"conv2"}
    for _ in range(3):
        optimizer.step(net, router)
        assert np.isfinite(step(net, router, x))


@pytest.mark.parametrize("rule", ["FA", "frSF", "uSF", "dilated", "DFA", "DRTP", "KP"])
def test_what_a_rule_means(rule):
    """FA, SF and KP have one matrix for one W; direct rules have one for each place."""
    net = shared(dtype=np.float64)
    twin, router, other = apart(net), MAKERS[rule](), MAKERS[rule]()
    step(net, router)
    matrices = getattr(router, "drawn", {})
    if rule in ("FA", "frSF", "KP"):
        assert set(matrices) == {"conv", "linear1"}
        other.drawn = {
            node.name: matrices[node.home] for node in net.nodes if node.home in matrices
        }
    elif rule in ("DFA", "DRTP"):
        assert {"conv2", "conv3", "linear1"} <= set(matrices)
    step(twin, other)
    for name, expected in summed(net, twin.gradients()).items():
        np.testing.assert_allclose(net.gradients()[name], expected, rtol=1e-9, atol=1e-12)
    if rule == "KP":
        assert router.gradients().keys() == {"conv.B", "linear1.B"}
        np.testing.assert_array_equal(router.gradients()["conv.B"], net.gradients()["conv.W"])


def test_b_is_given_for_the_home():
    router = R.FeedbackAlignment(B={"conv2": np.ones((3, 3, 3, 3))})
    with pytest.raises(ValueError, match=r"B for layers among \['conv', 'linear1'\], got 'conv2'"):
        step(shared(), router)


@pytest.mark.parametrize("make", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_share_among_themselves(make):
    net = shared()
    twin = make(net)
    assert repr(twin) == repr(net)
    step(twin, x=X.astype(np.float32))
    eln.optim.SGD(0.5).step(twin)
    assert twin["conv2"].params["W"] is twin["conv"].params["W"]
    assert not np.array_equal(twin["conv"].params["W"], net["conv"].params["W"])
    fresh = shared()
    step(fresh, x=X.astype(np.float32))
    eln.optim.SGD(0.5).step(fresh)
    np.testing.assert_array_equal(fresh(X), twin(X))


def test_files_have_the_arrays_once(tmp_path):
    net, other = shared(), shared(seed=1)
    step(net, x=X.astype(np.float32))
    eln.save(net, tmp_path / "net.safetensors")
    eln.load(other, tmp_path / "net.safetensors")
    np.testing.assert_array_equal(other(X), net(X))
    state = eln.exchange.to_torch(net)
    assert {name.split(".")[0] for name in state} == {"conv", "norm", "act", "linear1"}
    arrays = eln.exchange.to_keras(net)
    assert len(arrays) == len(net.parameters()) + 2  # and BatchNorm's running statistics
    again = shared(seed=2)
    eln.exchange.from_torch(again, state)
    np.testing.assert_array_equal(again(X), net(X))


def test_onnx(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    net = shared()
    eln.exchange.to_onnx(net, (6, 6, 3), tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    x = X.astype(np.float32)
    np.testing.assert_allclose(session.run(None, {"input": x})[0], net(x), rtol=1e-4, atol=1e-5)


def test_a_run_resumes_to_the_bit(tmp_path):
    def trainer(seed, folder):
        parts = shared(seed), SoftmaxCrossEntropy(), eln.optim.Adam(0.01), R.KolenPollack()
        return eln.Trainer(*parts, batch_size=2, callbacks=[eln.Checkpoints(folder)])

    data = X.astype(np.float32), LABELS
    whole, cut = trainer(0, tmp_path / "a"), trainer(0, tmp_path / "b")
    whole.fit(data, epochs=4)
    cut.fit(data, epochs=2)
    resumed = trainer(1, tmp_path / "b")
    resumed.resume(tmp_path / "b")
    resumed.fit(data, epochs=2)
    resumed.fit(data, epochs=2)
    for name, value in whole.net.parameters().items():
        np.testing.assert_array_equal(resumed.net.parameters()[name], value)
    differing = eln.Trainer(apart(shared()), SoftmaxCrossEntropy(), eln.optim.Adam(0.01))
    with pytest.raises(ValueError, match="layer conv2: expected .* shared with conv"):
        differing.resume(tmp_path / "a")


def test_what_it_looks_like():
    net = shared()
    assert "\n  conv3: Conv2D(3->3, 3x3), shared with conv of prelu2\n" in repr(net)
    table = net.summary((6, 6, 3)).splitlines()
    assert [line.split()[-2] for line in table if "shared with conv" in line] == ["0", "0"]
    total = sum(value.size for value in net.parameters().values())
    assert table[-1].split()[1] == str(total)
    assert f"{total} parameters" in net._repr_html_()
    eln.plots.network_graph(net, R.FeedbackAlignment())


def test_a_place_of_a_twin_has_the_same_home():
    net = eln.Sequential([L.Linear(2, 2)], seed=0)
    net.add(net["linear1"])
    net.add(net["linear2"])
    assert [node.home for node in net.nodes] == ["linear1"] * 3
