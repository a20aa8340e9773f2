"""Formulas in plain NumPy, and a pass of a rule seen at every layer."""

from __future__ import annotations

import numpy as np

import elunet as eln

LABELS = np.array([0, 2, 1, 1, 2, 0])


def forward(net, dtype=np.float64, loss=None):
    shape = (6, 5) if "linear2" in net else (6, 4, 4, 3)
    x = np.random.default_rng(1).normal(size=shape).astype(dtype)
    loss = eln.losses.SoftmaxCrossEntropy() if loss is None else loss
    return x, loss(net.forward(x, train=True), LABELS)[1]


def run(router, net, dy):
    """Return copies of all gradients, and of the signal at every layer's output."""
    seen = {}
    router.backward(net, dy, LABELS, tap=lambda name, delta: seen.setdefault(name, delta.copy()))
    return {name: g.copy() for name, g in net.gradients().items()}, seen


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for name, value in got.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def assert_close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-13)


def weights(net):
    return {node.name: node.layer.params["W"] for node in net.nodes if node.layer.weighted}


def elu_slope(z):
    return np.where(z > 0, 1, np.exp(np.minimum(z, 0)))


def one_hot(labels, classes=3):
    return np.eye(classes)[labels]


def mean_pool_down(dy):
    return dy.repeat(2, axis=1).repeat(2, axis=2) / 4


def batch_norm_down(z, dy):
    axes = (0, 1, 2)
    rstd = 1 / np.sqrt(z.var(axis=axes) + 1e-5)
    x_hat = (z - z.mean(axis=axes)) * rstd
    return rstd * (dy - dy.mean(axis=axes) - x_hat * (dy * x_hat).mean(axis=axes)), x_hat
