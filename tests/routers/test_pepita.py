"""PEPITA against NumPy, and what its paper finds: its gradients come to agree with backprop's."""

from __future__ import annotations

import numpy as np
import pytest
from routers.cases import copied, residual

import elunet as eln
from elunet import layers as L
from elunet import routers as R

LOSS = eln.losses.SoftmaxCrossEntropy()
X = np.random.default_rng(0).normal(size=(6, 5))
Y = np.array([0, 2, 1, 1, 2, 0])


def step(router, net, x=X, y=Y):
    _, dy = LOSS(router.forward(net, x, y), y)
    router.backward(net, dy, y)
    return copied(net.gradients()), dy


def test_by_hand():
    layers = [L.Linear(5, 7), L.ReLU(), L.Linear(7, 6), L.Tanh(), L.Linear(6, 3)]
    net, router = eln.Sequential(layers, seed=0), R.PEPITA(seed=2, scale=0.3)
    got, dy = step(router, net)
    W1, b1, W2, b2, *_ = (w.astype(float) for w in net.parameters().values())
    assert router.F.shape == (3, 5)
    assert np.abs(router.F).max() <= 0.3 * np.sqrt(6 / 5)
    e = 6 * dy
    x = X + e @ router.F
    (h1, h2), (m1, m2) = ((h := np.maximum(v @ W1 + b1, 0), np.tanh(h @ W2 + b2)) for v in (X, x))
    expected = {
        "linear1.W": x.T @ (h1 - m1) / 6,
        "linear1.b": (h1 - m1).sum(axis=0) / 6,
        "linear2.W": m1.T @ (h2 - m2) / 6,
        "linear3.W": m2.T @ e / 6,
        "linear3.b": e.sum(axis=0) / 6,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-9, atol=1e-12)


def test_convolutions_by_their_own_gradients():
    """Activities are taken before pooling; dropout's mask is the same in both passes."""
    layers = [L.Conv2D(2, 4, 3), L.ReLU(), L.Dropout(0.5), L.MaxPool2D(2), L.Flatten()]
    net = eln.Sequential([*layers, L.Linear(16, 3), L.Softplus()], seed=0)
    twin = net.aside()
    x, router = np.random.default_rng(1).normal(size=(6, 4, 4, 2)), R.PEPITA(seed=2)
    got, dy = step(router, net, x)
    clean, modulated = {}, {}
    twin.aside().forward(x, True, lambda name, y: clean.update({name: y.copy()}))
    moved = x + (6 * dy @ router.F).reshape(x.shape)
    twin.forward(moved, True, lambda name, y: modulated.update({name: y.copy()}))
    h, m = clean["dropout1"], modulated["dropout1"]
    assert ((h == 0) & (m == 0)).mean() > 0.3
    twin["conv1"].backward_params((h - m) / 6)
    np.testing.assert_allclose(got["conv1.W"], twin["conv1"].grads["W"], rtol=1e-9)
    z = clean["linear1"]
    twin["linear1"].backward_params(dy / (1 + np.exp(-z)))
    np.testing.assert_allclose(got["linear1.W"], twin["linear1"].grads["W"], rtol=1e-6)


def test_it_learns_and_turns_towards_backprop():
    """Small images of shapes, ten kinds; the hidden gradient's angle falls while it learns."""
    x, y = eln.data.make_shapes(1200, seed=0)
    x = eln.data.standardize(x).reshape(-1, 8, 4, 8, 4, 3).mean(axis=(2, 4, 5))
    layers = [L.Flatten(), L.Linear(64, 128), L.ReLU(), L.Linear(128, 10)]
    net, router = eln.Sequential(layers, seed=1), R.PEPITA(seed=1)
    train, test = (x[:1000], y[:1000]), (x[1000:], y[1000:])

    def cosine():
        got, dy = step(router, net, *train)
        R.Backprop().backward(net, dy)
        a, b = got["linear1.W"].ravel(), net.gradients()["linear1.W"].ravel()
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    assert abs(cosine()) < 0.1
    trainer = eln.Trainer(net, LOSS, eln.optim.SGD(0.1, momentum=0.9), router, batch_size=50)
    *_, last = trainer.fit(train, validation=test, epochs=15)
    assert last.validation_accuracy > 0.2  # chance is 0.1
    assert cosine() > 0.2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (residual, r"PEPITA\(seed=0\): expected only weighted .* batchnorm1"),
        (
            lambda: eln.Sequential([L.Conv2D(3, 4, 3)], seed=0),
            r"expected logits of shape \(N, C\), got \(6, 32, 32, 4\)",
        ),
    ],
)
def test_networks_that_do_not_fit(make, message):
    net, router = make(), R.PEPITA()
    dy = np.ones_like(router.forward(net, np.ones((6, 32, 32, 3)), Y))
    with pytest.raises(ValueError, match=message):
        router.backward(net, dy, Y)


def test_chains():
    """What `Chain` refuses, for all rules that ask for one."""
    net = eln.Network(seed=0)
    skip = net.add(L.Linear(5, 5))
    net.add(L.Linear(5, 5))
    net.add(L.Add(), inputs=["linear2", skip])
    layer = L.Linear(5, 5)
    for each, message in (
        (net, "expected a chain of different layers, .* got add1, Add.* of linear2, linear1"),
        (eln.Sequential([layer, layer]), "expected a chain of different layers, .* got linear2"),
        (eln.Sequential([L.Tanh()]), r"expected a chain with weighted layers .* \['tanh1'\]"),
    ):
        router = R.PEPITA()
        dy = np.ones_like(router.forward(each, X, Y))
        with pytest.raises(ValueError, match=message):
            router.backward(each, dy, Y)


def test_scale():
    assert repr(R.PEPITA(seed=2, scale=0.1)) == "PEPITA(seed=2, scale=0.1)"
    with pytest.raises(ValueError, match="expected scale in"):
        R.PEPITA(scale=0)
