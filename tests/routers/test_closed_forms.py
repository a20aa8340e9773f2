"""Each rule against its formula: exact identities, NumPy by hand, and what statistics expects."""

from __future__ import annotations

import numpy as np
import pytest
from routers.by_hand import (
    LABELS,
    assert_close,
    assert_same,
    batch_norm_down,
    elu_slope,
    forward,
    mean_pool_down,
    one_hot,
    run,
    weights,
)

import elunet as eln
from elunet import layers as L
from elunet import routers as R

UNIFORM, NORMAL = eln.init.Uniform(-0.5, 0.5), eln.init.Normal(std=0.1)


def mlp():
    return eln.Sequential([L.Linear(5, 7), L.ELU(), L.Linear(7, 6), L.Tanh(), L.Linear(6, 3)], 0)


def cnn():
    parts = [L.Conv2D(3, 4, 3), L.BatchNorm(4), L.ELU(), L.MeanPool2D(2)]
    parts += [L.Conv2D(4, 4, 1), L.ELU(), L.Conv2D(4, 5, 2), L.LeakyReLU(), L.MaxPool2D(2)]
    return eln.Sequential([*parts, L.Conv2D(5, 3, 1), L.GlobalMeanPool2D()], seed=0)


def residual():
    net = eln.Network(seed=0)
    net.add(L.Conv2D(3, 4, 3), "stem")
    net.add(L.ELU(), "act")
    net.add(L.Conv2D(4, 4, 3), "inner1")
    net.add(L.BatchNorm(4), "norm")
    net.add(L.ELU(), "mid")
    net.add(L.Conv2D(4, 4, 2), "inner2")
    net.add(L.Add(), "sum", inputs=["inner2", "act"])
    net.add(L.ELU(), "top")
    net.add(L.MeanPool2D(2), "pool")
    net.add(L.Flatten(), "flat")
    net.add(L.Linear(16, 3), "out")
    return net


NETS = pytest.mark.parametrize("build", [mlp, cnn, residual])
HIDDEN = {mlp: "linear1.W", cnn: "conv1.W", residual: "stem.W"}


# Identities, bit for bit ----------------------------------------------------------------------


@NETS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "make",
    [
        lambda net: R.FeedbackAlignment(B=weights(net)),
        lambda net: R.KolenPollack(B=weights(net)),
        lambda net: R.DilatedBackprop(proportion=0),
        lambda net: R.DilatedBackprop(dilation=50, proportion=3),  # nobody is so far above
        lambda net: R.Mixed({}),
        lambda net: R.Mixed({"*": R.FeedbackAlignment(B=weights(net))}),
        lambda net: R.GradientNoise(R.Backprop(), eta=0),
    ],
)
def test_rules_that_are_backprop(build, dtype, make):
    net = build()
    _, dy = forward(net, dtype)
    exact, exact_signals = run(R.Backprop(), net, dy)
    got, signals = run(make(net), net, dy)
    assert_same(got, exact)
    assert_same(signals, exact_signals)


ALL = {
    "FA": lambda: R.FeedbackAlignment(seed=1),
    "FA article": lambda: R.FeedbackAlignment(seed=1, distribution=UNIFORM),
    "DFA": lambda: R.DirectFeedbackAlignment(seed=1),
    "DFA shared": lambda: R.DirectFeedbackAlignment(seed=1, shared=True),
    "DRTP": lambda: R.DirectRandomTargetProjection(seed=1),
    "DRTP shared": lambda: R.DirectRandomTargetProjection(seed=1, shared=True),
    "uSF": lambda: R.SignSymmetry(),
    "brSF": lambda: R.SignSymmetry("batchwise", seed=1),
    "frSF": lambda: R.SignSymmetry("fixed", seed=1),
    "KP": lambda: R.KolenPollack(seed=1),
    "dilated": lambda: R.DilatedBackprop(proportion=0.7),
    "mixed": lambda: R.Mixed({"*1": R.DirectFeedbackAlignment(), "*": R.SignSymmetry()}),
    "matched": lambda: R.NormMatched(R.DirectFeedbackAlignment(seed=1)),
}


@NETS
@pytest.mark.parametrize("rule", ALL)
def test_the_output_layer_learns_exactly(build, rule):
    net = build()
    _, dy = forward(net)
    exact, exact_signals = run(R.Backprop(), net, dy)
    got, signals = run(ALL[rule](), net, dy)
    name = list(weights(net))[-1]
    np.testing.assert_array_equal(signals[name], exact_signals[name])
    compare = assert_close if rule == "matched" else np.testing.assert_array_equal
    for key in (f"{name}.W", f"{name}.b"):
        compare(got[key], exact[key])
    if rule != "dilated" or build is residual:  # the others' units differ in shape
        assert not np.allclose(got[HIDDEN[build]], exact[HIDDEN[build]])


# NumPy by hand ------------------------------------------------------------------------------------


def mlp_by_hand(net, x, dy, down2, down1):
    """Return the gradients when layer 3 sends `down2` and layer 2 `down1(its signal)`."""
    W1, W2, _ = (W.astype(np.float64) for W in weights(net).values())
    z1 = x @ W1
    h1 = np.where(z1 > 0, z1, np.expm1(np.minimum(z1, 0)))
    h2 = np.tanh(h1 @ W2)
    delta2 = down2 * (1 - h2**2)
    delta1 = down1(delta2) * elu_slope(z1)
    grads = {}
    for k, (below, delta) in enumerate(((x, delta1), (h1, delta2), (h2, dy)), start=1):
        grads |= {f"linear{k}.W": below.T @ delta, f"linear{k}.b": delta.sum(axis=0)}
    return grads


def test_feedback_alignment_by_hand():
    net, router = mlp(), R.FeedbackAlignment(seed=3)
    x, dy = forward(net)
    got, _ = run(router, net, dy)
    B2, B3 = router.B["linear2"].astype(float), router.B["linear3"].astype(float)
    assert set(router.B) == {"linear2", "linear3"}
    expected = mlp_by_hand(net, x, dy, dy @ B3.T, lambda delta: delta @ B2.T)
    for name, value in expected.items():
        assert_close(got[name], value)


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("kind", [R.DirectFeedbackAlignment, R.DirectRandomTargetProjection])
@pytest.mark.parametrize("shared", [False, True])
def test_direct_rules_by_hand(kind, softmax, shared):
    net, router = mlp(), kind(seed=3, shared=shared)
    loss = None
    if softmax:
        net.add(L.Softmax())
        loss = eln.losses.CrossEntropy()
    x, dy = forward(net, loss=loss)
    got, seen = run(router, net, dy)
    p = np.exp(net.forward(x) if not softmax else np.log(net.forward(x)))
    e = (p / p.sum(axis=1, keepdims=True) - one_hot(LABELS)) / 6
    assert_close(seen["linear3"], e)  # dL/dlogits, also where Softmax follows
    message = e if kind is R.DirectFeedbackAlignment else one_hot(LABELS) / 6
    B2, B3 = router.B["linear2"].astype(float), router.B["linear3"].astype(float)
    assert (B2.shape, B3.shape) == ((3, 7), (3, 6))
    expected = mlp_by_hand(net, x, e, message @ B3, lambda delta: message @ B2)
    for name, value in expected.items():
        assert_close(got[name], value)


def one_by_one():
    """Return a network of 1x1 convolutions: each is a matrix product over the channels."""
    net = eln.Network(seed=0)
    net.add(L.Conv2D(3, 4, 1), "stem")
    net.add(L.BatchNorm(4), "norm")
    net.add(L.ELU(), "act")
    net.add(L.MeanPool2D(2), "pool")
    net.add(L.Conv2D(4, 4, 1), "inner")
    net.add(L.Add(), "sum", inputs=["inner", "pool"])
    net.add(L.Conv2D(4, 3, 1), "out")
    net.add(L.GlobalMeanPool2D(), "mean")
    return net


@pytest.mark.parametrize("rule", ["FA", "DFA", "DFA shared", "DRTP", "DRTP shared", "dilated"])
def test_pooling_norm_and_add_by_hand(rule):
    net, router = one_by_one(), ALL[rule]()
    x, e = forward(net)
    got, seen = run(router, net, e)
    W = {name: value[0, 0].astype(float) for name, value in weights(net).items()}
    z = x @ W["stem"]
    out = np.broadcast_to((e / 4)[:, None, None, :], (6, 2, 2, 3))  # mean over 2 x 2
    if rule in ("FA", "dilated"):
        B = W if rule == "dilated" else {k: v[0, 0].astype(float) for k, v in router.B.items()}
        total = out @ B["out"].T
        at_pool = total @ B["inner"].T + total
    else:
        message = e if rule.startswith("DFA") else one_hot(LABELS) / 6

        def project(name):
            B = router.B[name].astype(float)
            assert B.shape == ((3, 4) if "shared" in rule else (3, 2 * 2 * 4))
            if "shared" in rule:
                return np.broadcast_to((message @ B)[:, None, None, :], (6, 2, 2, 4))
            return (message @ B).reshape(6, 2, 2, 4)

        total = project("out")
        at_pool = project("inner") + total  # two paths meet: conv and skip
    axes = (0, 1, 2)
    at_norm, x_hat = mean_pool_down(at_pool), batch_norm_down(z, 0 * z)[1]
    at_norm = at_norm * elu_slope(x_hat)
    delta, _ = batch_norm_down(z, at_norm)
    assert_close(seen["out"], out)
    assert_close(seen["sum"], total)
    assert_close(seen["pool"], at_pool)
    assert_close(got["norm.gamma"], (at_norm * x_hat).sum(axis=axes))
    assert_close(got["norm.beta"], at_norm.sum(axis=axes))
    assert_close(got["stem.W"][0, 0], np.einsum("nijc,nijd->cd", x, delta))
    assert_close(got["inner.b"], total.sum(axis=axes))


def test_direct_feedback_sums_over_the_positions_of_a_last_convolution():
    net, router = one_by_one(), R.DirectFeedbackAlignment()
    _, e = forward(net)
    _, seen = run(router, net, e)
    assert seen["out"].shape == (6, 2, 2, 3)
    assert_close(seen["sum"], (e @ router.B["out"].astype(float)).reshape(6, 2, 2, 4))


# What the backward weights are --------------------------------------------------------------------


def angle(a, b):
    a, b = a.ravel().astype(float), b.ravel().astype(float)
    return np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)))


@pytest.mark.parametrize(
    ("rule", "init", "degrees"),
    [
        ("FA", UNIFORM, 90),
        ("uniform", UNIFORM, 30),
        ("batchwise", UNIFORM, 41.4),
        ("fixed", UNIFORM, 41.4),
        ("FA", NORMAL, 90),
        ("uniform", NORMAL, 37.1),
        ("batchwise", NORMAL, 50.5),
        ("fixed", NORMAL, 50.5),
    ],
)
def test_initial_angles(rule, init, degrees):
    net = eln.Sequential([L.Linear(2, 400), L.Linear(400, 400, init=init)], seed=0)
    dy = np.ones_like(net.forward(np.ones((3, 2), np.float32), train=True))
    W = net["linear2"].params["W"]
    if rule == "FA":
        router = R.FeedbackAlignment(distribution=init)
        router.backward(net, dy)
        B = router.B["linear2"]
    else:
        router = R.SignSymmetry(rule, distribution=init)
        router.backward(net, dy)
        B = router.feedback_weight(net, "linear2")
    assert angle(B, W) == pytest.approx(degrees, abs=0.5)  # 400 numbers a row: 0.14 of error


def sent(router, net, dy):
    """Return the matrix through which a linear network's last layer sends, seen from outside."""
    _, seen = run(router, net, dy)
    return seen["linear1"].T  # dy is the identity: dx = B^T


def linear_pair():
    net = eln.Sequential([L.Linear(2, 4), L.Linear(4, 3)], seed=0)
    net.forward(np.ones((3, 2)), train=True)
    return net, np.eye(3)


def test_uniform_sign_symmetry_follows_the_signs():
    net, dy = linear_pair()
    router = R.SignSymmetry()
    W = net["linear2"].params["W"]
    scale = float(W.std())
    np.testing.assert_allclose(sent(router, net, dy), scale * np.sign(W), rtol=1e-6)
    W *= np.random.default_rng(0).choice([-3.0, 2.0], W.shape).astype(np.float32)
    W[0, 0] = 0
    net.forward(np.ones((3, 2)), train=True)
    np.testing.assert_allclose(sent(router, net, dy), scale * np.sign(W), rtol=1e-6)
    assert sent(router, net, dy)[0, 0] == 0


@pytest.mark.parametrize("magnitudes", ["batchwise", "fixed"])
def test_random_sign_symmetry(magnitudes):
    net, dy = linear_pair()
    router = R.SignSymmetry(magnitudes, seed=2)
    W = net["linear2"].params["W"]
    first, second = sent(router, net, dy), sent(router, net, dy)
    assert np.array_equal(first, second) == (magnitudes == "fixed")
    W *= -1
    net.forward(np.ones((3, 2)), train=True)
    third = sent(router, net, dy)
    for B, sign in ((first, -1), (second, -1), (third, 1)):
        np.testing.assert_array_equal(np.sign(B), sign * np.sign(W))
    if magnitudes == "fixed":
        np.testing.assert_array_equal(third, -first)


def test_sign_symmetry_with_half_precision_weights():
    net, dy = linear_pair()
    net["linear2"].params["W"] = net["linear2"].params["W"].astype(np.float16)
    net.forward(np.ones((3, 2)), train=True)
    B = sent(R.SignSymmetry("fixed"), net, dy)
    np.testing.assert_array_equal(np.sign(B), np.sign(net["linear2"].params["W"]))


# Kolen-Pollack ------------------------------------------------------------------------------------


def difference(net, router):
    W = weights(net)
    return {name: W[name].astype(float) - B for name, B in router.B.items()}


def train(net, router, optimizer, steps):
    for _ in range(steps):
        _, dy = forward(net, np.float32)
        router.backward(net, dy, LABELS)
        optimizer.step(net, router)


PER_LAYER = eln.optim.PerLayer


@pytest.mark.parametrize(
    "make",
    [
        lambda l2: eln.optim.SGD(0.1, l2=l2),
        lambda l2: PER_LAYER({"*2.W": eln.optim.SGD(0.1, l2=l2), "*": eln.optim.SGD(0.1, l2=l2)}),
    ],
)
@pytest.mark.parametrize("wrap", [lambda r: r, lambda r: R.Mixed({"*": r}), R.NormMatched])
def test_kolen_pollack_converges_under_decay(make, wrap):
    net, inner = mlp(), R.KolenPollack(seed=1)
    router, optimizer = wrap(inner), make(0.1)
    train(net, router, optimizer, 1)
    before = difference(net, inner)
    assert set(router.parameters()) == {"linear2.B", "linear3.B"} == set(router.gradients())
    train(net, router, optimizer, 100)
    for name, value in difference(net, inner).items():
        np.testing.assert_allclose(value, before[name] * (1 - 0.1 * 0.1) ** 100, atol=1e-5)
    train(net, router, optimizer, 1400)
    for name, value in difference(net, inner).items():
        assert np.abs(value).max() < 1e-5, name


@pytest.mark.parametrize("make", [eln.optim.SGD, lambda lr: eln.optim.SGD(lr, momentum=0.9)])
def test_kolen_pollack_without_decay_keeps_the_difference(make):
    net, router = mlp(), R.KolenPollack(seed=1)
    optimizer = make(0.05)
    _, dy = forward(net, np.float32)
    router.backward(net, dy)
    before = difference(net, router)
    start = {name: B.copy() for name, B in router.B.items()}
    train(net, router, optimizer, 50)
    for name, value in difference(net, router).items():
        np.testing.assert_allclose(value, before[name], atol=1e-5)
        assert not np.allclose(router.B[name], start[name])


# Noise and norms ----------------------------------------------------------------------------------


def test_variance_of_the_noise():
    net = eln.Sequential([L.Linear(100, 200)], seed=0)
    dy = np.zeros_like(net.forward(np.ones((2, 100)), train=True))
    router = R.GradientNoise(R.Backprop(), eta=0.3, gamma=0.55)
    for t in range(12):
        router.backward(net, dy)
        noise = net.gradients()["linear1.W"]
        assert noise.var() == pytest.approx(0.3 / (1 + t) ** 0.55, rel=0.05)  # 1 % of error
        assert abs(noise.mean()) < 0.02
    assert router.passes == 12


@NETS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matched_norms(build, dtype):
    net = build()
    _, dy = forward(net, dtype)
    exact, _ = run(R.Backprop(), net, dy)
    plain, _ = run(R.DirectFeedbackAlignment(), net, dy)
    got, _ = run(R.NormMatched(R.DirectFeedbackAlignment()), net, dy)
    for name, value in got.items():
        norm = np.linalg.norm(exact[name])
        assert np.linalg.norm(value) == pytest.approx(norm, rel=1e-4, abs=1e-12)
        if norm > 1e-6:
            assert angle(value, plain[name]) < 0.1


def test_matched_norms_of_tiny_and_of_no_gradients():
    net = mlp()
    _, dy = forward(net, np.float32)
    exact, _ = run(R.Backprop(), net, dy)
    tiny = {name: 1e-15 * W for name, W in weights(net).items()}  # squares vanish in float32
    got, _ = run(R.NormMatched(R.FeedbackAlignment(B=tiny)), net, dy)
    for name, value in got.items():
        assert np.linalg.norm(value) == pytest.approx(np.linalg.norm(exact[name]), rel=1e-3)
    none = {name: 0 * W for name, W in weights(net).items()}
    got, _ = run(R.NormMatched(R.FeedbackAlignment(B=none)), net, dy)
    assert not got["linear1.W"].any()
