"""Local losses: each unit's gradient is that of its own loss alone."""

from __future__ import annotations

import numpy as np
import pytest
from routers.cases import images, residual

import elunet as eln
from elunet import layers as L
from elunet import routers as R
from elunet.losses import SoftmaxCrossEntropy

Y = np.array([0, 2, 1, 1, 2, 0, 0, 1])


def chain():
    """Return a net of three convolutions with all that may lie in and between units."""
    parts = [L.Conv2D(2, 5, 3), L.BatchNorm(5), L.Tanh(), L.MaxPool2D(2)]
    parts += [L.Conv2D(5, 6, 2), L.ELU(), L.Conv2D(6, 3, 1), L.Tanh()]
    return eln.Sequential([*parts, L.Flatten(), L.Linear(27, 3)], seed=0)


def batch(dtype=np.float64):
    return np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype(dtype)


def step(net, rule, x, y=Y):
    rule.backward(net, SoftmaxCrossEntropy()(rule.forward(net, x, y), y)[1], y)


def pooled(h):
    """Return means over the quarters of an image; of three rows, the first is the first half."""
    half = h.shape[1] // 2
    parts = [h[:, :half], h[:, half:]]
    rows = [[part[:, :, :half].mean((1, 2)), part[:, :, half:].mean((1, 2))] for part in parts]
    return np.concatenate([*rows[0], *rows[1]], axis=1)


def pred(h, C):
    z = (pooled(h) if h.ndim == 4 else h) @ C
    z = z - z.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(Y)), Y]))


def cosines(a):
    a = a - a.mean(axis=1, keepdims=True)
    a = a / np.sqrt((a**2).sum(axis=1, keepdims=True))
    return a @ a.T


def sim(h):
    few = h.ndim == 2 or h.shape[-1] < 4
    s = h.reshape(len(h), -1) if few else h.std(axis=(1, 2))
    return float(((cosines(s) - cosines(np.eye(3)[Y])) ** 2).mean())


def value(kind, h, C):
    if kind == "pred":
        return pred(h, C)
    return sim(h) if kind == "sim" else 0.3 * pred(h, C) + 0.7 * sim(h)


ENDS = {"tanh1": ("conv1", "batchnorm1"), "elu1": ("conv2",), "tanh2": ("conv3",)}


@pytest.mark.parametrize("kind", ["pred", "sim", "predsim"])
def test_each_units_gradient_is_that_of_its_own_loss(kind):
    """By central differences through the network, up to the unit's end and no further."""
    net, rule, x = chain(), R.LocalLoss(kind, seed=1, beta=0.7), batch()
    for name in net.parameters():  # float64, to be moved by little
        layer, key = name.split(".")
        net[layer].params[key] = net[layer].params[key].astype(float)
    step(net, rule, x)
    gradients = {name: g.copy() for name, g in net.gradients().items()}
    assert set(rule.C) == (set() if kind == "sim" else set(ENDS))
    for end, layers in ENDS.items():
        C = rule.C[end].astype(float) if kind != "sim" else None

        def loss(net=net, end=end, C=C):
            seen = {}
            net.aside().forward(x, train=True, tap=seen.__setitem__)
            return value(kind, seen[end], C)

        for name in layers:
            for key, W in net[name].params.items():
                place = (0,) * W.ndim
                found = []
                for move in (1e-5, -1e-5):
                    W[place] += move
                    found.append(loss())
                    W[place] -= move
                expected = (found[0] - found[1]) / 2e-5
                got = gradients[f"{name}.{key}"][place]
                np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", ["pred", "sim", "predsim"])
def test_signals_by_hand(kind):
    rng = np.random.default_rng(2)
    net = eln.Sequential([L.Linear(5, 4), L.Tanh(), L.Linear(4, 3)], seed=0)
    rule, x, seen = R.LocalLoss(kind, seed=1, beta=0.7), rng.normal(size=(8, 5)), {}
    dy = SoftmaxCrossEntropy()(rule.forward(net, x, Y), Y)[1]
    rule.backward(net, dy, Y, tap=lambda name, delta: seen.update({name: delta.copy()}))
    h = np.tanh(x @ net["linear1"].params["W"].astype(float))
    N, target = len(h), np.eye(3)[Y]
    signal, shares = np.zeros_like(h), {"pred": 0, "sim": 1, "predsim": 0.7}
    if kind != "sim":
        C = rule.C["tanh1"].astype(float)
        p = np.exp(h @ C)
        e = (p / p.sum(axis=1, keepdims=True) - target) / N
        signal += (1 - shares[kind]) * (e @ C.T)
        dC = (1 - shares[kind]) * (h.T @ e)
        np.testing.assert_allclose(rule.gradients()["tanh1.C"], dC, rtol=1e-9)
    if kind != "pred":
        c = h - h.mean(axis=1, keepdims=True)
        lengths = np.sqrt((c**2).sum(axis=1))
        for n in range(N):  # the pairs (n, m) and (m, n), one by one
            for m in range(N):
                cosine = c[n] @ c[m] / lengths[n] / lengths[m]
                error = cosine - cosines(target)[n, m]
                slope = (c[m] / lengths[m] - cosine * c[n] / lengths[n]) / lengths[n]
                signal[n] += shares[kind] * 4 * error / N**2 * (slope - slope.mean())
    np.testing.assert_allclose(seen["tanh1"], signal, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(net["linear1"].grads["W"], x.T @ (signal * (1 - h**2)), rtol=1e-9)
    np.testing.assert_allclose(net["linear2"].grads["W"], h.T @ dy, rtol=1e-9)


def test_what_is_above_does_not_matter():
    """The gradients below are the same bit for bit when all later layers are drawn again."""
    x, found = batch(), []
    for seed in (1, 2):
        net, rule = chain(), R.LocalLoss(seed=1)
        net["linear1"].reset(seed)
        net["conv3"].reset(seed)
        step(net, rule, x)
        found.append(net.gradients())
    for name in ("conv1.W", "conv2.W", "batchnorm1.gamma"):
        np.testing.assert_array_equal(found[0][name], found[1][name])
    assert not np.array_equal(found[0]["conv3.W"], found[1]["conv3.W"])


class OutputLayerOnly(R.Router):
    def learn(self, layer, dy):
        super().learn(layer, dy)
        if layer is not self.net.layers[-1]:
            layer.grads.update({key: np.zeros_like(g) for key, g in layer.grads.items()})


def trained(rule):
    """Return the loss after 15 epochs on classes that no linear layer can tell apart."""
    x = np.random.default_rng(0).normal(size=(1000, 10)).astype(np.float32)
    y = 2 * (x[:, 0] * x[:, 1] > 0) + (x[:, 2] * x[:, 3] > 0)
    parts = [L.Linear(10, 40), L.Tanh(), L.Linear(40, 40), L.Tanh(), L.Linear(40, 4)]
    net, optimizer = eln.Sequential(parts, seed=0), eln.optim.Adam(0.01)
    for number in range(300):
        rows, rule.epoch = (np.arange(50) + 50 * number) % 1000, number // 20
        step(net, rule, x[rows], y[rows])
        optimizer.step(net, rule)
    return SoftmaxCrossEntropy()(net.predict(x), y)[0]


def test_hidden_units_learn_by_their_own_losses():
    """With random hidden units the loss stays near log 4, what guessing gives."""
    assert trained(OutputLayerOnly()) > 1.3
    assert trained(R.LocalLoss("pred", seed=1)) < 0.5
    assert trained(R.LocalLoss("sim", seed=1)) < 1.15
    assert trained(R.LocalLoss("predsim", seed=1)) < 1.0
    assert trained(R.LocalLoss("pred", seed=1, greedy=5)) < 0.9


def test_greedy_trains_one_unit_after_another():
    net, rule, x = chain(), R.LocalLoss("pred", seed=1, greedy=2), batch()
    both = R.LocalLoss("pred", seed=1)
    step(net, both, x)
    exact = {name: g.copy() for name, g in net.gradients().items()}
    order = ["conv1", "conv1", "conv2", "conv2", "conv3", "conv3", "linear1", "linear1", "linear1"]
    for epoch, name in enumerate(order):
        rule.epoch = epoch
        step(net, rule, x)
        for layer in ("conv1", "conv2", "conv3", "linear1"):
            expected = exact[f"{layer}.W"] * (layer == name)
            np.testing.assert_array_equal(net[layer].grads["W"], expected)
        learning = {key for key, g in rule.gradients().items() if g.any()}
        ends = {"conv1": {"tanh1.C"}, "conv2": {"elu1.C"}, "conv3": {"tanh2.C"}, "linear1": set()}
        assert learning == ends[name]


def test_a_run_goes_on_to_the_bit(tmp_path):
    def trainer():
        rule, optimizer = R.LocalLoss(seed=1, greedy=1), eln.optim.Adam(0.001)
        return eln.Trainer(chain(), SoftmaxCrossEntropy(), optimizer, rule, batch_size=4)

    whole, first, second = trainer(), trainer(), trainer()
    whole.fit((batch(), Y), epochs=3)
    first.fit((batch(), Y), epochs=1)
    second.resume(first.save(tmp_path))
    second.fit((batch(), Y), epochs=3)
    for part in ("net", "router"):
        got, expected = (getattr(each, part).parameters() for each in (second, whole))
        assert got.keys() == expected.keys()
        for name, value in got.items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_paths_in_a_mix():
    layers = [L.Linear(8, 6), L.ELU(), L.Linear(6, 5), L.ELU(), L.Linear(5, 3)]
    net = eln.Sequential(layers, seed=0)
    for local, expected in {
        "linear1": ["linear3 elu2", "elu2 linear2", "target elu1", "elu1 linear1"],
        "linear2": ["target elu2", "elu2 linear2"],  # linear2 sends nothing to linear1
    }.items():
        mixed = R.Mixed({local: R.LocalLoss("pred", 1), "*": R.Backprop()})
        found = [f"{path.source} {path.target}" for path in mixed.paths(net)]
        assert found == expected


def test_paths():
    assert [tuple(path) for path in R.LocalLoss().paths(chain())] == [
        ("target", "tanh2", "direct"),
        ("tanh2", "conv3", "exact"),
        ("target", "elu1", "direct"),
        ("elu1", "conv2", "exact"),
        ("target", "tanh1", "direct"),
        ("tanh1", "batchnorm1", "exact"),
        ("batchnorm1", "conv1", "exact"),
    ]


@pytest.mark.parametrize("kind", ["pred", "sim", "predsim"])
def test_units_that_do_not_vary_have_no_gradient(kind):
    net, rule = images(), R.LocalLoss(kind)
    step(net, rule, np.zeros((8, 4, 4, 1), np.float32))
    assert all(np.isfinite(g).all() for g in net.gradients().values())


def test_other_graphs_are_refused():
    net = residual()
    with pytest.raises(ValueError, match=r"LocalLoss\(.*expected a chain of units.*as add1"):
        step(net, R.LocalLoss(), np.zeros((8, 32, 32, 3), np.float32), np.zeros(8, int))
    for apart in (L.BatchNorm(3), L.PReLU()):
        parts = [L.Conv2D(1, 3, 2), L.MaxPool2D(2), apart, L.Conv2D(3, 3, 2), L.GlobalMeanPool2D()]
        with pytest.raises(ValueError, match="no other layer with parameters, got"):
            R.LocalLoss().paths(eln.Sequential(parts, seed=0))
    net = eln.Sequential([L.Linear(5, 4), L.Linear(4, 4), L.Linear(4, 3)], seed=0)
    net.outputs = ["linear2"]
    with pytest.raises(ValueError, match="expected the last layer as the output, got linear2"):
        R.LocalLoss().paths(net)
    net.outputs = ["linear2", "linear3"]
    with pytest.raises(ValueError, match="expected a network with one output"):
        R.LocalLoss().paths(net)


def test_targets():
    net, rule = chain(), R.LocalLoss()
    dy = rule.forward(net, batch(), Y)
    with pytest.raises(ValueError, match="expected target in backward"):
        rule.backward(net, dy)
    with pytest.raises(ValueError, match=r"labels in 0\.\.2"):
        rule.backward(net, dy, Y + 1)
    rule.backward(net, dy, Y)
    expected = net.gradients()["conv1.W"].copy()
    rule.backward(net, dy, np.eye(3)[Y])
    np.testing.assert_array_equal(net.gradients()["conv1.W"], expected)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("kind", "mse"), ("grid", 0), ("beta", 1.1), ("greedy", 0), ("seed", -1)],
)
def test_arguments_out_of_range(argument, value):
    with pytest.raises(ValueError, match=f"LocalLoss: expected {argument}"):
        R.LocalLoss(**{argument: value})


def test_repr():
    assert repr(R.LocalLoss("sim", greedy=3)) == "LocalLoss('sim', seed=0, greedy=3)"
    assert repr(R.LocalLoss(grid=4, beta=0.5)) == "LocalLoss('predsim', seed=0, grid=4, beta=0.5)"
