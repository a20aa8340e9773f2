"""Direct Kolen-Pollack: its matrices' gradients by hand, and what they come to."""

from __future__ import annotations

import numpy as np
import pytest
from routers.cases import images

import elunet as eln
from elunet import layers as L
from elunet import routers as R


def mlp():
    parts = [L.Linear(5, 4), L.Tanh(), L.Linear(4, 6), L.Tanh(), L.Linear(6, 3)]
    return eln.Sequential(parts, seed=0)


def degrees(a, b):
    a, b = a.ravel(), b.ravel()
    return np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


def test_a_step_by_hand():
    net, rule = mlp(), R.DirectKolenPollack(seed=1)
    rng = np.random.default_rng(0)
    x, e = rng.normal(size=(8, 5)), rng.normal(size=(8, 3))
    rule.forward(net, x)
    rule.backward(net, e)
    W1, W2 = (net[name].params["W"].astype(float) for name in ("linear1", "linear2"))
    h1 = np.tanh(x @ W1)
    h2 = np.tanh(h1 @ W2)
    B2, B3 = (rule.B[name].astype(float) for name in ("linear2", "linear3"))
    expected = {"linear2.B": e.T @ h1, "linear3.B": e.T @ h2}
    assert rule.gradients().keys() == rule.parameters().keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(rule.gradients()[name], value, rtol=1e-9)
    d1, d2 = e @ B2 * (1 - h1**2), e @ B3 * (1 - h2**2)
    np.testing.assert_allclose(net["linear1"].grads["W"], x.T @ d1, rtol=1e-9)
    np.testing.assert_allclose(net["linear2"].grads["W"], h1.T @ d2, rtol=1e-9)
    np.testing.assert_allclose(net["linear3"].grads["W"], h2.T @ e, rtol=1e-9)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_the_gradient_is_that_of_a_weight_from_there_to_the_output(shared, before):
    """It is the numeric gradient of e's product with what ``h_k B_k^T`` would add to the logits."""
    net, rule = images(), R.DirectKolenPollack(seed=1, shared=shared, before_pooling=before)
    rng, seen = np.random.default_rng(0), {}
    x = rng.normal(size=(3, 4, 4, 1))
    y = rule.forward(net, x, tap=lambda name, y: seen.update({name: y.copy()}))
    e = rng.normal(size=y.shape)
    rule.backward(net, e)
    ends = ("elu1", "elu2") if before else ("dropout1", "flatten1")
    for name, end in zip(("conv2", "linear1"), ends, strict=True):
        h, B = seen[end].reshape(3, -1), rule.B[name].astype(float)
        everywhere = h.shape[1] // B.shape[1]  # positions that share B

        def added(B, h=h, times=everywhere):
            return float((e * (h @ np.tile(B, times).T)).sum())

        expected = eln.testing.numeric_gradient(added, B)
        np.testing.assert_allclose(rule.gradients()[f"{name}.B"], expected, rtol=1e-6, atol=1e-8)


def test_the_output_layers_matrix_converges_to_w_transposed():
    """Both get the same gradient, so an L2 penalty shrinks what they differ in at each step."""
    net, rule = mlp(), R.DirectKolenPollack(seed=1)
    optimizer, loss = eln.optim.SGD(0.1, l2=0.5), eln.losses.SoftmaxCrossEntropy()
    rng, gaps = np.random.default_rng(0), []
    for _ in range(40):
        x, y = rng.normal(size=(20, 5)), rng.integers(0, 3, 20)
        rule.backward(net, loss(rule.forward(net, x, y), y)[1])
        gaps.append(net["linear3"].params["W"] - rule.B["linear3"].T)
        optimizer.step(net, rule)
    np.testing.assert_allclose(gaps[-1], gaps[0] * 0.95**39, rtol=1e-3, atol=1e-5)


def test_learned_matrices_point_closer_to_backprop():
    """After training, hidden gradients are closer to backprop's than with fixed B_k."""
    rng, loss = np.random.default_rng(0), eln.losses.SoftmaxCrossEntropy()
    x, angles = rng.normal(size=(2000, 20)).astype(np.float32), {}
    y = (x @ rng.normal(size=(20, 4))).argmax(axis=1)
    for kind in (R.DirectKolenPollack, R.DirectFeedbackAlignment):
        parts = [L.Linear(20, 30), L.Tanh(), L.Linear(30, 30), L.Tanh(), L.Linear(30, 4)]
        net, rule, optimizer = (
            eln.Sequential(parts, seed=0),
            kind(seed=1),
            eln.optim.SGD(0.1, l2=0.01),
        )
        for step in range(300):
            rows = (np.arange(50) + 50 * step) % len(x)
            rule.backward(net, loss(rule.forward(net, x[rows], y[rows]), y[rows])[1])
            optimizer.step(net, rule)
        dy = loss(rule.forward(net, x, y), y)[1]
        rule.backward(net, dy)
        mine = {name: net[name].grads["W"].copy() for name in ("linear1", "linear2")}
        R.Backprop().backward(net, dy)
        angles[kind] = [degrees(g, net[name].grads["W"]) for name, g in mine.items()]
    assert max(angles[R.DirectKolenPollack]) < 40
    assert min(angles[R.DirectFeedbackAlignment]) > 45
