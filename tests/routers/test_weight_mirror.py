"""Weight mirrors: B by hand, and that it comes to W."""

from __future__ import annotations

import numpy as np
import pytest
from routers.by_hand import assert_close, elu_slope, run
from routers.cases import forward, images

import elunet as eln
from elunet import layers as L
from elunet import routers as R
from elunet.routers.random_router import generator


def degrees(a, b):
    a, b = a.ravel(), b.ravel()
    return np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


def chain():
    return eln.Sequential([L.Linear(5, 4), L.ELU(), L.Linear(4, 6), L.ELU(), L.Linear(6, 3)])


def mirrored(B, W, rate, decay, x):
    """Take one step by hand, W as a matrix."""
    return (1 - decay) * B + rate * (x.T @ (x @ W)) / len(x)


def test_two_steps_by_hand():
    net, rule = chain(), R.WeightMirror(seed=3, rate=0.3, decay=0.2, rows=7)
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(6, 5)), rng.normal(size=(6, 3))
    W = {name: net[name].params["W"].astype(float) for name in ("linear2", "linear3")}
    start = R.FeedbackAlignment(seed=3)
    net.forward(x, train=True)
    start.backward(net, dy)
    B = {name: start.B[name].astype(float) for name in W}
    for step in (1, 2):
        net.forward(x, train=True)
        sent = {name: value.astype(float) for name, value in rule.B.items()}
        grads, seen = run(rule, net, dy)
        for name in W:
            noise = generator(3, name, step).standard_normal((7, len(W[name])), dtype=np.float32)
            B[name] = mirrored(B[name], W[name], 0.3, 0.2, noise.astype(float))
            np.testing.assert_allclose(rule.B[name], B[name], rtol=1e-5, atol=1e-6)
    B = sent  # the mirror turns after the walk
    z1 = x @ net["linear1"].params["W"].astype(float)
    h1 = np.where(z1 > 0, z1, np.expm1(np.minimum(z1, 0)))
    z2 = h1 @ W["linear2"]
    d2 = dy @ B["linear3"].T * elu_slope(z2)
    d1 = d2 @ B["linear2"].T * elu_slope(z1)
    assert_close(seen["linear2"], d2)
    assert_close(grads["linear2.W"], h1.T @ d2)
    assert_close(grads["linear1.W"], x.T @ d1)
    assert_close(grads["linear1.b"], d1.sum(axis=0))


def test_a_convolution_mirrors_window_by_window():
    net, rule = images(), R.WeightMirror(seed=1, rate=1, decay=1, rows=5)
    rule.backward(net, *forward(net, (6, 4, 4, 1), 3))
    W = net["conv2"].params["W"]
    x = generator(1, "conv2", 1).standard_normal((5, W[..., 0].size), dtype=np.float32)
    by_hand = mirrored(0, W.reshape(-1, 3), 1, 1, x).reshape(W.shape)
    np.testing.assert_allclose(rule.B["conv2"], by_hand, rtol=1e-5, atol=1e-6)


def test_biases_do_not_matter():
    found = []
    for bias in (0, 5):
        net, rule = images(), R.WeightMirror(seed=1)
        for name in ("conv2", "conv3", "linear1"):
            net[name].params["b"] += bias
        rule.backward(net, *forward(net, (6, 4, 4, 1), 3))
        found.append(rule.state())
    np.testing.assert_equal(found[0], found[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_b_comes_to_w(dtype):
    """The angle between B and W, at first near 90 degrees, falls below 20, and lengths agree."""
    parts = [L.Conv2D(3, 8, 3), L.ELU(), L.Conv2D(8, 16, 3, padding="valid"), L.ELU()]
    net = eln.Sequential([*parts, L.Flatten(), L.Linear(64, 10)], seed=0)
    dy = net.forward(np.zeros((1, 4, 4, 3), dtype), train=True)
    rule, found = R.WeightMirror(seed=1), []
    for _ in range(100):
        rule.backward(net, dy)
        weights = {name: net[name].params["W"] for name in ("conv2", "linear1")}
        found.append([degrees(rule.B[name], W) for name, W in weights.items()])
    assert min(found[0]) > 60
    assert max(found[-1]) < 20
    for name, W in weights.items():
        np.testing.assert_allclose(np.linalg.norm(rule.B[name]), np.linalg.norm(W), rtol=0.1)


def test_training_comes_near_backprop_where_feedback_alignment_does_not():
    """With B near W, its gradients lie closer to backprop's than those through a fixed B."""
    x, y = eln.data.make_shapes(60, seed=0)
    x, angles = eln.data.standardize(x), {}
    for rule in (R.WeightMirror(seed=1), R.FeedbackAlignment(seed=1)):
        net, loss = eln.models.small_cnn(seed=0), eln.losses.SoftmaxCrossEntropy()
        optimizer = eln.optim.SGD(0.01)
        for _ in range(60):
            dy = loss(net.forward(x[:20], train=True), y[:20])[1]
            rule.backward(net, dy)
            optimizer.step(net, rule)
        dy = loss(net.forward(x, train=True), y)[1]
        rule.backward(net, dy)
        mine = net.gradients()["conv1.W"].copy()
        R.Backprop().backward(net, dy)
        angles[type(rule).__name__] = degrees(mine, net.gradients()["conv1.W"])
    assert angles["WeightMirror"] < 0.7 * angles["FeedbackAlignment"]


@pytest.mark.parametrize(
    ("argument", "value"),
    [("rate", -1), ("decay", 1.5), ("decay", np.nan), ("rows", 0), ("rows", 2.5), ("seed", -1)],
)
def test_arguments_out_of_range(argument, value):
    with pytest.raises((TypeError, ValueError), match=f"WeightMirror: expected {argument}"):
        R.WeightMirror(**{argument: value})


def test_repr():
    shown = repr(R.WeightMirror(seed=2, rate=0.5, scale=3))
    assert shown == "WeightMirror(seed=2, rate=0.5, decay=0.05, rows=100, scale=3)"
