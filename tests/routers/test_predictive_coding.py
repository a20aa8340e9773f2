"""Predictive coding against NumPy; with a large variance of the output it is backprop."""

from __future__ import annotations

import numpy as np
import pytest
from routers.cases import copied

import elunet as eln
from elunet import layers as L
from elunet import routers as R

LOSS = eln.losses.SoftmaxCrossEntropy()
X = np.random.default_rng(0).normal(size=(6, 5))
Y = np.array([0, 2, 1, 1, 2, 0])


def mlp():
    layers = [L.Linear(5, 7), L.Tanh(), L.Linear(7, 6), L.Tanh(), L.Linear(6, 3)]
    return eln.Sequential(layers, seed=0)


def step(router, net, x=X, y=Y, loss=LOSS):
    _, dy = loss(router.forward(net, x, y), y)
    router.backward(net, dy, y)
    return copied(net.gradients()), dy


def settled(net, dy, steps, rate, variance):
    """Return the values, their errors and the energy after each step, in plain NumPy."""
    W1, b1, W2, b2, W3, b3 = (w.astype(float) for w in net.parameters().values())
    v1 = X @ W1 + b1
    v2 = np.tanh(v1) @ W2 + b2
    v3 = np.tanh(v2) @ W3 + b3 - 6 * dy
    energies = []
    for number in range(steps + 1):
        e1 = v1 - (X @ W1 + b1)
        e2 = v2 - (np.tanh(v1) @ W2 + b2)
        e3 = (v3 - (np.tanh(v2) @ W3 + b3)) / variance
        energies.append((e1**2).sum() + (e2**2).sum() + variance * (e3**2).sum())
        if number < steps:
            v1 = v1 + rate * ((e2 @ W2.T) * (1 - np.tanh(v1) ** 2) - e1)
            v2 = v2 + rate * ((e3 @ W3.T) * (1 - np.tanh(v2) ** 2) - e2)
    return (v1, v2), (e1, e2, e3), energies


@pytest.mark.parametrize("variance", [1.0, 3.0])
def test_by_hand(variance):
    net = mlp()
    got, dy = step(R.PredictiveCoding(steps=12, rate=0.2, variance=variance), net)
    (v1, v2), errors, energies = settled(net, dy, 12, 0.2, variance)
    assert all(np.diff(energies) < 0)
    d1, d2, d3 = (-e / 6 * variance for e in errors)
    expected = {"linear1.W": X.T @ d1, "linear2.W": np.tanh(v1).T @ d2}
    expected |= {"linear3.W": np.tanh(v2).T @ d3, "linear3.b": d3.sum(axis=0)}
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-9, atol=1e-12)


def convolutions():
    layers = [L.Conv2D(2, 4, 3), L.ELU(), L.MeanPool2D(2), L.Conv2D(4, 3, 1), L.Tanh()]
    return eln.Sequential([*layers, L.Flatten(), L.Linear(12, 3)], seed=0)


@pytest.mark.parametrize(("build", "shape"), [(mlp, (6, 5)), (convolutions, (6, 4, 4, 2))])
def test_a_large_variance_gives_backprops_gradient(build, shape):
    """And the difference falls in proportion."""
    x, net = np.random.default_rng(1).normal(size=shape), build()
    exact, _ = step(R.Backprop(), net, x)

    def error(variance):
        got, _ = step(R.PredictiveCoding(400, 0.2, variance), net, x)
        return max(np.abs(got[name] - exact[name]).max() for name in exact)

    size = max(np.abs(g).max() for g in exact.values())
    assert error(1.0) > 0.02 * size
    assert error(1e3) < 2e-2 * size
    assert error(1e4) < 0.2 * error(1e3)


def test_a_squared_error_holds_the_output_at_its_target():
    """The paper's case: e = N dL/dz of |z - t|^2 / (2 N) moves z to t."""
    net = mlp()
    target = np.random.default_rng(2).normal(size=(6, 3))
    rule = R.PredictiveCoding(steps=300, rate=0.2)
    z = rule.forward(net, X)
    seen = {}
    rule.backward(net, (z - target) / 6, target, lambda name, d: seen.update({name: d.copy()}))
    (_, v2), errors, _ = settled(net, (z - target) / 6, 300, 0.2, 1.0)
    W3, b3 = (net["linear3"].params[name].astype(float) for name in "Wb")
    np.testing.assert_allclose(-6 * seen["linear3"], errors[2], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.tanh(v2) @ W3 + b3 + errors[2], target, rtol=1e-9)


def test_too_few_steps_leave_lower_layers_without_a_signal():
    net = mlp()
    for steps, reached in ((1, (False, True, True)), (2, (True, True, True))):
        got, _ = step(R.PredictiveCoding(steps), net)
        assert tuple(bool(got[f"linear{k}.W"].any()) for k in (1, 2, 3)) == reached


def test_paths_are_those_of_the_graph():
    net = mlp()
    step(R.PredictiveCoding(), net)
    assert R.PredictiveCoding().paths(net) == R.Backprop().paths(net)


def test_what_it_refuses():
    for layers, message in (
        ([L.Linear(5, 3), L.Softplus()], r"PredictiveCoding\(.*expected a weighted layer at the"),
        ([L.Linear(5, 4), L.Dropout(0.5), L.Linear(4, 3)], "expected no layer that draws"),
        ([L.Linear(5, 4), L.BatchNorm(4), L.Linear(4, 3)], "expected only weighted"),
    ):
        with pytest.raises(ValueError, match=message):
            step(R.PredictiveCoding(), eln.Sequential(layers, seed=0))
    for bad in ({"steps": 0}, {"rate": 1.5}, {"variance": 0}):
        with pytest.raises(ValueError, match="PredictiveCoding: expected"):
            R.PredictiveCoding(**bad)
