"""Direct feedback alignment with sparse matrices: what is 0, and that it still learns."""

from __future__ import annotations

import numpy as np
import pytest
from routers.cases import forward, images

import elunet as eln
from elunet import layers as L
from elunet import routers as R

DFA = R.DirectFeedbackAlignment


@pytest.mark.parametrize("kind", [DFA, R.DirectRandomTargetProjection])
@pytest.mark.parametrize("connections", [1, 2, 3])
@pytest.mark.parametrize("shared", [False, True])
def test_columns_have_so_many_connections(kind, connections, shared):
    net = images()
    dense = kind(seed=1, shared=shared)
    sparse = kind(seed=1, shared=shared, connections=connections)
    for rule in (dense, sparse):
        rule.backward(net, *forward(net, (6, 4, 4, 1), 3))
    for name, B in sparse.B.items():
        taken = B != 0
        assert (taken.sum(axis=0) == connections).all()
        factor = np.sqrt(3 / connections)
        np.testing.assert_allclose(B[taken], factor * dense.B[name][taken], rtol=1e-6)


def test_by_hand():
    """With one connection, each hidden unit hears one output's error, times one number."""
    net = eln.Sequential([L.Linear(6, 8), L.Tanh(), L.Linear(8, 5)], seed=0)
    rule, rng = DFA(seed=3, connections=1), np.random.default_rng(0)
    x, e = rng.normal(size=(7, 6)), rng.normal(size=(7, 5))
    net.forward(x, train=True)
    rule.backward(net, e)
    B, slope = rule.B["linear2"].astype(float), 1 - np.tanh(x @ net["linear1"].params["W"]) ** 2
    dW = np.zeros((6, 8))
    for i in range(8):
        (heard,) = np.flatnonzero(B[:, i])
        dW[:, i] = x.T @ (e[:, heard] * B[heard, i] * slope[:, i])
    np.testing.assert_allclose(net["linear1"].grads["W"], dW, rtol=1e-9)


def test_signals_stay_as_long_and_all_outputs_are_heard():
    net = eln.Sequential([L.Linear(5, 2000), L.Tanh(), L.Linear(2000, 10)], seed=0)
    e = np.random.default_rng(0).normal(size=(4, 10))
    net.forward(np.ones((4, 5)), train=True)
    for connections in (1, 3, None):
        rule, seen = DFA(seed=1, connections=connections), {}
        rule.backward(net, e, tap=lambda name, delta, seen=seen: seen.update({name: delta.copy()}))
        ratio = np.linalg.norm(seen["tanh1"], axis=1) / np.linalg.norm(e, axis=1)
        np.testing.assert_allclose(ratio, 1, rtol=0.15)
        assert (rule.B["linear2"] != 0).any(axis=1).all()


def test_it_still_learns():
    """With one connection it gets about as far as with all, and further than the top alone."""
    rng, loss = np.random.default_rng(0), eln.losses.SoftmaxCrossEntropy()
    x = rng.normal(size=(1000, 10)).astype(np.float32)
    y, found = 2 * (x[:, 0] * x[:, 1] > 0) + (x[:, 2] * x[:, 3] > 0), {}
    for name, rule in {"all": DFA(seed=1), "one": DFA(seed=1, connections=1)}.items():
        parts = [L.Linear(10, 60), L.Tanh(), L.Linear(60, 60), L.Tanh(), L.Linear(60, 4)]
        net, optimizer = eln.Sequential(parts, seed=0), eln.optim.Adam(0.01)
        for number in range(400):
            rows = (np.arange(50) + 50 * number) % 1000
            rule.backward(net, loss(net.forward(x[rows], train=True), y[rows])[1])
            optimizer.step(net, rule)
        found[name] = loss(net.predict(x), y)[0]
    assert found["one"] < 0.5  # guessing gives log 4, 1.39
    assert found["one"] < found["all"] + 0.2


def test_errors():
    for bad in (0, 1.5, True):
        with pytest.raises((TypeError, ValueError), match="expected connections"):
            DFA(connections=bad)
    net, rule = images(), DFA(connections=4)
    for _ in range(2):  # the second time too
        with pytest.raises(ValueError, match="at most as many connections as outputs, 3, got 4"):
            rule.backward(net, *forward(net, (6, 4, 4, 1), 3))


def test_repr():
    shown = "DirectFeedbackAlignment(seed=0, shared=False, connections=2)"
    assert repr(DFA(connections=2)) == shown
