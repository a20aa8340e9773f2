"""Equilibrium propagation against NumPy; its theorem: the gradient at the fixed point."""

from __future__ import annotations

import numpy as np
import pytest
from routers.cases import copied

import elunet as eln
from elunet import layers as L
from elunet import routers as R

LOSS = eln.losses.MeanSquaredError()
X = np.random.default_rng(0).uniform(size=(6, 5))
T = np.eye(3)[[0, 2, 1, 1, 2, 0]]
SMALL = eln.init.Normal(0.15)


def mlp(activation=lambda: L.ClippedReLU(1), end=True, dtype=np.float64):
    layers = [L.Linear(5, 7, init=SMALL), activation(), L.Linear(7, 6, init=SMALL), activation()]
    layers += [L.Linear(6, 3, init=SMALL), *([activation()] if end else [])]
    net = eln.Sequential(layers, seed=1)
    for layer in net:
        layer.params = {name: w.astype(dtype) for name, w in layer.params.items()}
        if "b" in layer.params:
            layer.params["b"] += 0.2
    return net


def step(router, net):
    _, dy = LOSS(router.forward(net, X, T), T)
    router.backward(net, dy, T)
    return copied(net.gradients()), dy


def settled(net, s, steps, rate, pull, end):
    W1, b1, W2, b2, W3, b3 = net.parameters().values()
    x, h1, h2, y = s
    for _ in range(steps):
        a1 = np.clip(x @ W1 + b1 + h2 @ W2.T, 0, 1)
        a2 = np.clip(h1 @ W2 + b2 + y @ W3.T, 0, 1)
        a3 = h2 @ W3 + b3 - pull
        a3 = np.clip(a3, 0, 1) if end else a3
        h1, h2, y = h1 + rate * (a1 - h1), h2 + rate * (a2 - h2), y + rate * (a3 - y)
    return x, h1, h2, y


@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("centered", [True, False])
def test_by_hand(end, centered):
    net = mlp(end=end)
    router = R.EquilibriumPropagation(0.4, free=5, nudged=3, rate=0.6, centered=centered)
    got, dy = step(router, net)
    W1, b1, W2, b2, W3, b3 = net.parameters().values()
    h1 = np.clip(X @ W1 + b1, 0, 1)
    h2 = np.clip(h1 @ W2 + b2, 0, 1)
    y = h2 @ W3 + b3
    start = (X, h1, h2, np.clip(y, 0, 1) if end else y)
    free = settled(net, start, 5, 0.6, 0, end)
    np.testing.assert_allclose(LOSS(free[-1], T)[1], dy, rtol=1e-9)
    np.testing.assert_allclose(router.predict(net, X), free[-1], rtol=1e-12)
    high = settled(net, free, 3, 0.6, 0.4 * 6 * dy, end)
    low = settled(net, free, 3, 0.6, -0.4 * 6 * dy, end) if centered else free
    factor = -1 / (6 * 0.4 * (1 + centered))
    for k in (1, 2, 3):
        W = factor * (high[k - 1].T @ high[k] - low[k - 1].T @ low[k])
        np.testing.assert_allclose(got[f"linear{k}.W"], W, rtol=1e-9, atol=1e-12)
        b = factor * (high[k] - low[k]).sum(axis=0)
        np.testing.assert_allclose(got[f"linear{k}.b"], b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("activation", [lambda: L.ClippedReLU(1), L.Sigmoid, L.Tanh])
@pytest.mark.parametrize("end", [True, False])
def test_it_is_the_gradient_at_the_free_fixed_point(activation, end):
    """Theorem 1 of the article, against differences of the loss of the settled output."""
    net = mlp(activation, end)
    router = R.EquilibriumPropagation(1e-4, 50, 50, 0.8, centered=True)
    got, _ = step(router, net)
    for name in ("linear1.b", "linear2.W", "linear3.W"):
        w = net.parameters()[name]
        numeric = eln.testing.numeric_gradient(lambda w: LOSS(router.predict(net, X), T)[0], w)
        limit = 1e-4 * np.abs(numeric).max()
        np.testing.assert_allclose(got[name], numeric, rtol=1e-3, atol=limit, err_msg=name)


def test_the_error_of_a_centered_difference_is_of_higher_order():
    net = mlp(L.Sigmoid)
    exact, _ = step(R.EquilibriumPropagation(1e-4, 60, 60, centered=True), net)

    def error(beta, centered):
        got, _ = step(R.EquilibriumPropagation(beta, 60, 60, centered=centered), net)
        return max(np.abs(got[name] - exact[name]).max() for name in exact)

    ratios = [error(0.4, each) / error(0.1, each) for each in (False, True)]
    assert 3 < ratios[0] < 6  # 4: of order beta
    assert 11 < ratios[1] < 22  # 16: of order beta^2


def test_the_free_phase_settles():
    net = mlp()
    steps = (1, 20, 40, 200)
    outputs = [R.EquilibriumPropagation(free=each).predict(net, X) for each in steps]
    off = [np.abs(y - outputs[-1]).max() for y in outputs[:-1]]
    assert off[0] > 20 * off[1] > 400 * off[2]


def test_it_learns_images():
    """Small images of shapes, ten kinds, with a squared error, all units between 0 and 1."""
    x, y = eln.data.make_shapes(1200, seed=0)
    x = eln.data.standardize(x).reshape(-1, 8, 4, 8, 4, 3).mean(axis=(2, 4, 5))
    layers = [L.Flatten(), L.Linear(64, 100), L.ClippedReLU(1), L.Linear(100, 10)]
    net = eln.Sequential([*layers, L.ClippedReLU(1)], seed=0)
    for layer in (net["linear1"], net["linear2"]):
        layer.params["W"] *= 0.3
        layer.params["b"] += 0.3
    train, test = (x[:1000], np.eye(10)[y[:1000]]), (x[1000:], np.eye(10)[y[1000:]])
    router = R.EquilibriumPropagation()
    trainer = eln.Trainer(net, LOSS, eln.optim.Adam(0.003), router, batch_size=20)
    *_, last = trainer.fit(train, validation=test, epochs=10)
    assert last.validation_accuracy > 0.3  # chance is 0.1


def test_paths_are_those_of_the_graph():
    net = mlp()
    assert R.EquilibriumPropagation().paths(net) == R.Backprop().paths(net)


def test_what_it_refuses():
    for layers, message in (
        ([L.Linear(5, 4), L.Flatten(), L.Linear(4, 3)], r"EquilibriumPropagation\(.*got flatten1"),
        ([L.Linear(5, 4), L.Dropout(0.5), L.Linear(4, 3)], "expected no layer that draws"),
        ([L.Linear(5, 4), L.PReLU(4), L.Linear(4, 3)], "expected only weighted"),
    ):
        net = eln.Sequential(layers, seed=0)
        for run in (R.EquilibriumPropagation().forward, R.EquilibriumPropagation().predict):
            with pytest.raises(ValueError, match=message):
                run(net, X)
    for bad in ({"beta": 0}, {"free": 0}, {"nudged": 0}, {"rate": 0}):
        with pytest.raises(ValueError, match="EquilibriumPropagation: expected"):
            R.EquilibriumPropagation(**bad)
