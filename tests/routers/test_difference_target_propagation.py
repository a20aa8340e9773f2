"""Difference target propagation against NumPy, and what its inverses learn."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from routers.cases import copied

import elunet as eln
from elunet import layers as L
from elunet import routers as R
from elunet.routers.random_router import generator

LOSS = eln.losses.SoftmaxCrossEntropy()
X = np.random.default_rng(0).normal(size=(6, 5))
Y = np.array([0, 2, 1, 1, 2, 0])


def mlp(widths=(5, 7, 6, 4, 3)):
    layers = []
    for before, after in pairwise(widths):
        layers += [L.Linear(before, after, init=eln.init.Glorot()), L.Tanh()]
    return eln.Sequential(layers[:-1], seed=0)


def step(router, net, x=X, y=Y, tap=None):
    _, dy = LOSS(router.forward(net, x, y), y)
    router.backward(net, dy, y, tap)
    return copied(net.gradients()), dy


def test_by_hand():
    net, router = mlp(), R.DifferenceTargetPropagation(seed=2, step=0.3, noise=0.2)
    for passes in (1, 2):
        got, dy = step(router, net)
        W1, b1, W2, b2, W3, b3, W4, _ = (w.astype(float) for w in net.parameters().values())
        V2, V3 = router.V["linear2"], router.V["linear3"]
        assert (V2.shape, V3.shape) == ((6, 7), (4, 6))
        h1 = np.tanh(X @ W1 + b1)
        h2 = np.tanh(h1 @ W2 + b2)
        h3 = np.tanh(h2 @ W3 + b3)
        t3 = h3 - 0.3 * 6 * dy @ W4.T
        t2 = h2 + np.tanh(t3 @ V3) - np.tanh(h3 @ V3)
        t1 = h1 + np.tanh(t2 @ V2) - np.tanh(h2 @ V2)
        d1, d2, d3 = (2 / 6 * (h - t) * (1 - h**2) for h, t in ((h1, t1), (h2, t2), (h3, t3)))
        expected = {"linear1.W": X.T @ d1, "linear2.W": h1.T @ d2, "linear3.W": h2.T @ d3}
        expected |= {"linear4.W": h3.T @ dy, "linear2.b": d2.sum(axis=0)}
        for name, value in expected.items():
            np.testing.assert_allclose(got[name], value, rtol=1e-9, atol=1e-12)
        for h, (W, b), V, name in ((h1, (W2, b2), V2, "linear2"), (h2, (W3, b3), V3, "linear3")):
            near = h + 0.2 * generator(2, name, passes).standard_normal(h.shape)
            up = np.tanh(near @ W + b)

            def loss(V, up=up, near=near):
                return ((np.tanh(up @ V) - near) ** 2).sum() / 6

            numeric = eln.testing.numeric_gradient(loss, V.astype(float))
            np.testing.assert_allclose(
                router.gradients()[f"{name}.V"], numeric, rtol=1e-5, atol=1e-8
            )
        eln.optim.SGD(0.1).step(net, router)


def test_the_last_hidden_unit_learns_as_in_backpropagation():
    """Its gradient is 2 step times the exact one; with one hidden unit, that is all of it."""
    for widths, hidden in (((5, 7, 6, 3), "linear2.W"), ((5, 7, 3), "linear1.W")):
        net = mlp(widths)
        exact, _ = step(R.Backprop(), net)
        got, _ = step(R.DifferenceTargetPropagation(step=0.25), net)
        np.testing.assert_allclose(got[hidden], 0.5 * exact[hidden], rtol=1e-9, atol=1e-12)


class Inverses:
    """What an optimizer needs to let the inverses alone learn."""

    def __init__(self, router):
        self.parameters, self.gradients = router.parameters, router.gradients


def test_a_target_is_what_gives_the_target_above():
    """Theorem 1 of the paper, once inverses have learned: f(t_1) is nearer to t_2 than h_2 is."""
    rng = np.random.default_rng(1)
    net = mlp((5, 8, 8, 8, 3))
    router = R.DifferenceTargetPropagation(seed=1, step=0.01, noise=0.05)
    x, y = rng.normal(size=(200, 5)), rng.integers(0, 3, 200)
    W1, b1, W2, b2, *_ = (w.astype(float) for w in net.parameters().values())
    h1 = np.tanh(x @ W1 + b1)
    h2 = np.tanh(h1 @ W2 + b2)

    def what_is_left():
        d = {}
        step(router, net, x, y, lambda name, delta: d.update({name: delta.copy()}))
        t1, t2 = h1 - 100 * d["tanh1"], h2 - 100 * d["tanh2"]  # as d = 2 (h - t) / 200
        return np.linalg.norm(t2 - np.tanh(t1 @ W2 + b2)) / np.linalg.norm(t2 - h2)

    before, optimizer = what_is_left(), eln.optim.Adam(0.01)
    for _ in range(400):
        step(router, net, x, y)
        optimizer.step(Inverses(router))
    assert before > 1
    assert what_is_left() < 0.6


def test_paths():
    net = mlp()
    step(R.DifferenceTargetPropagation(), net)
    kinds = {path.source: path.kind for path in R.DifferenceTargetPropagation().paths(net)}
    assert [kinds[f"linear{k}"] for k in (4, 3, 2)] == ["exact", "feedback", "feedback"]
    assert kinds["tanh1"] == "exact"


def test_what_it_refuses():
    net, router = mlp(), R.DifferenceTargetPropagation()
    router.drawn["linear2"] = np.ones((6, 7), np.float32)
    net.backward(net.forward(X, train=True))
    with pytest.raises(RuntimeError, match=r"expected a gradient for 'linear2.V'"):
        eln.optim.SGD(0.1).step(net, router)
    conv = eln.Sequential([L.Conv2D(1, 2, 2), L.Flatten(), L.Linear(8, 3)], seed=0)
    with pytest.raises(ValueError, match=r"DifferenceTargetPropagation\(.*got conv1, Conv2D"):
        step(R.DifferenceTargetPropagation(), conv, np.ones((6, 2, 2, 1)))
    for bad in ({"step": 0}, {"noise": -1}, {"seed": -1}):
        with pytest.raises(ValueError, match="DifferenceTargetPropagation: expected"):
            R.DifferenceTargetPropagation(**bad)
