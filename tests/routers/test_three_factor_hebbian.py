"""Three-factor Hebbian learning by hand, and where its signs are the gradient's."""

from __future__ import annotations

import numpy as np
import pytest
from routers.by_hand import assert_close, elu_slope, run
from routers.cases import images

import elunet as eln
from elunet import layers as L
from elunet import routers as R

RULE = R.ThreeFactorHebbian


def degrees(a, b):
    a, b = a.ravel(), b.ravel()
    return np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


def deep(outputs=1, positive=True):
    """Return a net whose later weights the first layer are all above 0, if so wanted."""
    parts = [L.Linear(8, 16), L.Tanh(), L.Linear(16, 12), L.ELU(), L.Linear(12, outputs)]
    net = eln.Sequential(parts, seed=0)
    for name in ("linear2", "linear3") if positive else ():
        W = net[name].params["W"]
        np.abs(W, out=W)
    return net


@pytest.mark.parametrize("outputs", [1, 5])
def test_by_hand(outputs):
    net, rng = deep(outputs), np.random.default_rng(0)
    x, e = rng.normal(size=(6, 8)), rng.normal(size=(6, outputs))
    net.forward(x, train=True)
    grads, seen = run(RULE(scale=0.5), net, e)
    W1, W2 = (net[name].params["W"].astype(float) for name in ("linear1", "linear2"))
    h1 = np.tanh(x @ W1)
    z2 = h1 @ W2
    h2 = np.where(z2 > 0, z2, np.expm1(np.minimum(z2, 0)))
    m1 = np.stack([e[:, i % outputs] for i in range(16)], axis=1) * 0.5 * np.sqrt(outputs / 16)
    m2 = np.stack([e[:, i % outputs] for i in range(12)], axis=1) * 0.5 * np.sqrt(outputs / 12)
    assert_close(seen["tanh1"], m1)
    assert_close(seen["elu1"], m2)
    assert_close(grads["linear1.W"], x.T @ (m1 * (1 - h1**2)))
    assert_close(grads["linear2.W"], h1.T @ (m2 * elu_slope(z2)))
    assert_close(grads["linear3.W"], h2.T @ e)
    assert_close(grads["linear2.b"], (m2 * elu_slope(z2)).sum(axis=0))


@pytest.mark.parametrize("before", [False, True])
def test_a_channel_hears_one_error_everywhere(before):
    net, rng = images(), np.random.default_rng(0)
    e = rng.normal(size=net.forward(rng.normal(size=(4, 4, 4, 1)), train=True).shape)
    _, seen = run(RULE(before_pooling=before), net, e)
    m = seen["elu1" if before else "dropout1"]
    factor = np.sqrt(3 / m[0].size)
    for c in range(3):
        by_hand = np.broadcast_to(factor * e[:, None, None, c], m.shape[:-1])
        assert_close(m[..., c], by_hand)


def test_signs_are_the_gradients_where_weights_above_are_positive():
    """Example by example; with weights of both signs, many units go the wrong way."""
    x = np.random.default_rng(0).normal(size=(20, 8))
    for positive in (True, False):
        net, agree = deep(positive=positive), []
        for n in range(20):
            e = net.forward(x[n : n + 1], train=True) - n % 2
            found = []
            for rule in (RULE(), R.Backprop()):
                rule.backward(net, e)
                found.append(np.sign(net["linear1"].grads["W"]))
            agree.append(np.mean(found[0] == found[1]))
        assert min(agree) == 1 if positive else np.mean(agree) < 0.8


def test_it_learns_where_weights_above_are_positive():
    """The hidden layers' part of the gradient is a descent direction, and the loss falls by it."""
    net, rule = deep(), RULE()
    x = np.random.default_rng(1).normal(size=(200, 8))
    y = np.tanh(x[:, :1] * 2) + np.abs(x[:, 1:2])
    loss, losses = eln.losses.MeanSquaredError(), []
    for _ in range(200):
        value, dy = loss(net.forward(x, train=True), y)
        losses.append(value)
        rule.backward(net, dy)
        mine = {name: net[name].grads["W"].copy() for name in ("linear1", "linear2")}
        R.Backprop().backward(net, dy)
        angles = [degrees(g, net[name].grads["W"]) for name, g in mine.items()]
        assert max(angles) < 60
        for name, g in mine.items():  # the output layer stays as it is
            net[name].params["W"] -= (0.1 * g).astype(np.float32)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("scale", [0, -1, np.inf, "much"])
def test_bad_scales(scale):
    with pytest.raises((TypeError, ValueError), match="ThreeFactorHebbian: expected scale"):
        RULE(scale=scale)


def test_repr():
    assert repr(RULE(2, True)) == "ThreeFactorHebbian(scale=2, before_pooling=True)"
