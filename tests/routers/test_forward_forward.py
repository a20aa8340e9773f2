"""Forward-forward against NumPy, and what goodness comes to tell."""

from __future__ import annotations

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


def mlp():
    layers = [L.Linear(5, 7), L.ReLU(), L.LayerNorm(7, affine=False), L.Linear(7, 6), L.Tanh()]
    return eln.Sequential([*layers, L.Linear(6, 3)], seed=0)


def step(router, net, x=X, y=Y):
    _, dy = LOSS(router.forward(net, x, y), y)
    router.backward(net, dy, y)
    return copied(net.gradients()), dy


def shown(rows, strength):
    return np.concatenate([strength * rows, X[:, 3:]], axis=1)


def up(params, x):
    """Return both hidden units' activities, and what the second one is given."""
    W1, b1, W2, b2, *_ = params
    a1 = np.maximum(x @ W1 + b1, 0)
    centered = a1 - a1.mean(axis=1, keepdims=True)
    taken = centered / np.sqrt((centered**2).mean(axis=1, keepdims=True) + 1e-5)
    return a1, taken, np.tanh(taken @ W2 + b2)


def test_by_hand():
    net, router = mlp(), R.ForwardForward(threshold=0.7, strength=1.5, seed=3)
    params = [w.astype(float) for w in net.parameters().values()]
    for passes in range(2):
        got, dy = step(router, net)
        wrong = (Y + generator(3, ".wrong", passes).integers(1, 3, 6)) % 3
        assert not (wrong == Y).any()
        expected = dict.fromkeys(("W1", "b1", "W2", "b2"), 0.0)
        for labels, sign in ((Y, 1), (wrong, -1)):
            x = shown(np.eye(3)[labels], 1.5)
            a1, taken, a2 = up(params, x)

            def delta(a, slope, sign=sign):
                g = (a**2).mean(axis=1, keepdims=True)
                down = -sign / (1 + np.exp(sign * (g - 0.7)))
                return down * 2 * a / a.shape[1] / 6 * slope

            d1, d2 = delta(a1, a1 > 0), delta(a2, 1 - a2**2)
            for name, value in (("W1", x.T @ d1), ("b1", d1.sum(0))):
                expected[name] = expected[name] + value
            for name, value in (("W2", taken.T @ d2), ("b2", d2.sum(0))):
                expected[name] = expected[name] + value
        for name, value in expected.items():
            key = f"linear{name[1]}.{name[0]}"
            np.testing.assert_allclose(got[key], value, rtol=1e-9, atol=1e-12)
        neutral = up(params, shown(np.full((6, 3), 1 / 3), 1.5))[2]
        np.testing.assert_allclose(got["linear3.W"], neutral.T @ dy, rtol=1e-9, atol=1e-12)


def test_gradients_are_those_of_the_units_own_losses():
    net, router = mlp(), R.ForwardForward(seed=3)
    for layer in net:
        layer.params = {name: w.astype(float) for name, w in layer.params.items()}
    got, _ = step(router, net)
    wrong = (Y + generator(3, ".wrong", 0).integers(1, 3, 6)) % 3
    for unit in (1, 2):

        def loss(_, unit=unit):
            total = 0.0
            for labels, sign in ((Y, 1), (wrong, -1)):
                a1, _, a2 = up(list(net.parameters().values()), shown(np.eye(3)[labels], 1.0))
                g = ((a1 if unit == 1 else a2) ** 2).mean(axis=1)
                total += np.log1p(np.exp(-sign * (g - 1))).mean()
            return total

        W = net[f"linear{unit}"].params["W"]
        numeric = eln.testing.numeric_gradient(loss, W)
        np.testing.assert_allclose(got[f"linear{unit}.W"], numeric, rtol=1e-5, atol=1e-8)


def test_prediction_is_the_goodness_of_each_label():
    net, router = mlp(), R.ForwardForward(strength=1.5)
    params = [w.astype(float) for w in net.parameters().values()]
    got = router.predict(net, X)
    for label in range(3):
        *_, a2 = up(params, shown(np.eye(3)[np.full(6, label)], 1.5))
        np.testing.assert_allclose(got[:, label], (a2**2).mean(axis=1), rtol=1e-9)
    single = eln.Sequential([L.Linear(5, 7), L.ReLU(), L.Linear(7, 3)], seed=0)
    assert router.predict(single, X).any()


def test_goodness_alone_tells_images_apart():
    """Small images of shapes, ten kinds; the readout is not asked in evaluation."""
    x, y = eln.data.make_shapes(2400, seed=0)
    x = eln.data.standardize(x).reshape(-1, 8, 4, 8, 4, 3).mean(axis=(2, 4, 5)).reshape(-1, 64)
    x = np.concatenate([np.zeros((len(x), 10), np.float32), x], axis=1)  # room for the label
    layers = []
    for before, after in ((74, 200), (200, 200)):
        layers += [L.Linear(before, after), L.ReLU(), L.LayerNorm(after, affine=False)]
    net = eln.Sequential([*layers, L.Linear(200, 10)], seed=0)
    router = R.ForwardForward(threshold=2.0)
    train, test = (x[:2000], y[:2000]), (x[2000:], y[2000:])
    trainer = eln.Trainer(net, LOSS, eln.optim.Adam(0.003), router, batch_size=50)
    *_, last = trainer.fit(train, validation=test, epochs=20)
    assert last.validation_accuracy > 0.3  # chance is 0.1


def test_one_hot_targets_are_labels():
    net = mlp()
    expected, dy = step(R.ForwardForward(), net)
    router = R.ForwardForward()
    router.forward(net, X)
    router.backward(net, dy, np.eye(3)[Y])
    for name, value in expected.items():
        np.testing.assert_array_equal(net.gradients()[name], value)


def test_what_it_refuses():
    router = R.ForwardForward()
    with pytest.raises(ValueError, match=r"expected x with room for each of 7 labels.*\(6, 5\)"):
        router.forward(eln.Sequential([L.Linear(5, 7)], seed=0), X)
    with pytest.raises(
        ValueError, match=r"ForwardForward\(.*expected only Linear .* got conv1, Conv2D"
    ):
        router.forward(eln.Sequential([L.Conv2D(3, 7, 1)], seed=0), np.ones((1, 2, 2, 3)))
    net = eln.Sequential([L.Linear(5, 5), L.Linear(5, 3)], seed=0)
    dy = np.ones_like(router.forward(net, X))
    with pytest.raises(ValueError, match="expected an activation after each hidden Linear layer"):
        router.backward(net, dy, Y)
    net = mlp()
    router.forward(net, X)
    for bad, message in (
        (None, r"expected target of shape \(6,\), got \(\)"),
        (Y[:5], r"expected target of shape \(6,\), got \(5,\)"),
        (Y + 1, r"expected labels in 0..2"),
    ):
        with pytest.raises(ValueError, match=message):
            router.backward(net, dy, bad)
    for bad in ({"threshold": 0}, {"strength": -1}, {"seed": -1}):
        with pytest.raises(ValueError, match="ForwardForward: expected"):
            R.ForwardForward(**bad)
