"""Node and weight perturbation and forward gradients: their formulas, and where their mean goes."""

from __future__ import annotations

import numpy as np
import pytest
from routers.cases import blocks, copied, residual

import elunet as eln
from elunet import layers as L
from elunet import routers as R
from elunet.routers.random_router import generator

LOSS = eln.losses.SoftmaxCrossEntropy()
X = np.random.default_rng(0).normal(size=(6, 5))
Y = np.array([0, 2, 1, 1, 2, 0])


def mlp():
    return eln.Sequential([L.Linear(5, 7), L.Tanh(), L.Linear(7, 3)], seed=0)


def step(router, net, x=X, y=Y, loss=LOSS, weights=None):
    router.loss = loss
    _, dy = loss(router.forward(net, x, y), y, weights)
    router.backward(net, dy, y)
    return copied(net.gradients())


def draw(seed, name, shape, passes=1, number=0):
    return generator(seed, name, passes, number).standard_normal(shape)


def by_hand(params, noise1=0.0, noise2=0.0):
    """Return each example's cross entropy and the hidden activity."""
    W1, b1, W2, b2 = params
    h = np.tanh(X @ W1 + b1 + noise1)
    z = h @ W2 + b2 + noise2
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(6), Y], h


def params(net):
    return [w.astype(float) for w in net.parameters().values()]


def assert_close(got, expected, rtol=1e-9):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=1e-12)


def test_node_perturbation_by_hand():
    net, sigma = mlp(), 0.1
    got = step(R.NodePerturbation(sigma, seed=3, draws=2), net)
    W = params(net)
    clean, h = by_hand(W)
    delta1, delta2 = np.zeros((6, 7)), np.zeros((6, 3))
    for number in range(2):
        u1, u2 = (draw(3, f"linear{k}", (6, n), 1, number) for k, n in ((1, 7), (2, 3)))
        change = (by_hand(W, sigma * u1, sigma * u2)[0] - clean)[:, None] / sigma / 6
        delta1 += change * u1 / 2
        delta2 += change * u2 / 2
    assert_close(got["linear1.W"], X.T @ delta1)
    assert_close(got["linear1.b"], delta1.sum(axis=0))
    assert_close(got["linear2.W"], h.T @ delta2)


def test_weight_perturbation_by_hand():
    net, sigma = mlp(), 0.1
    got = step(R.WeightPerturbation(sigma, seed=3, draws=2), net)
    W, names = params(net), list(net.parameters())
    expected = [np.zeros_like(w) for w in W]
    for number in range(2):
        v = [draw(3, name, w.shape, 1, number) for name, w in zip(names, W, strict=True)]
        moved = [w + sigma * its for w, its in zip(W, v, strict=True)]
        slope = (by_hand(moved)[0] - by_hand(W)[0]).mean() / sigma
        expected = [total + slope * its / 2 for total, its in zip(expected, v, strict=True)]
    for name, value in zip(names, expected, strict=True):
        assert_close(got[name], value)


@pytest.mark.parametrize("perturb", ["weights", "activities"])
def test_forward_gradient_by_hand(perturb):
    net, router = mlp(), R.ForwardGradient(perturb, seed=3)
    signals = {}
    y = net.forward(X, train=True)
    R.Backprop().backward(net, LOSS(y, Y)[1], tap=lambda k, d: signals.update({k: d.copy()}))
    exact = copied(net.gradients())
    h = np.tanh(X @ net["linear1"].params["W"].astype(float))
    for passes in (1, 2):
        got = step(router, net)
        if perturb == "weights":
            v = {name: draw(3, name, g.shape, passes) for name, g in exact.items()}
            slope = sum((exact[name] * v[name]).sum() for name in v)
            expected = {name: slope * v[name] for name in v}
        else:
            u = {name: draw(3, name, net.shapes[name], passes) for name in ("linear1", "linear2")}
            slopes = sum((signals[name] * u[name]).sum(axis=1, keepdims=True) for name in u)
            expected = {
                "linear1.W": X.T @ (slopes * u["linear1"]),
                "linear2.W": h.T @ (slopes * u["linear2"]),
            }
        for name, value in expected.items():
            assert_close(got[name], value)


@pytest.mark.parametrize(
    ("small", "exact"),
    [
        (R.NodePerturbation(1e-6, seed=4), R.ForwardGradient("activities", seed=4)),
        (R.WeightPerturbation(1e-6, seed=4), R.ForwardGradient("weights", seed=4)),
    ],
)
@pytest.mark.parametrize("loss", [LOSS, eln.losses.SoftmaxCrossEntropy(reduction="sum")])
@pytest.mark.parametrize("weights", [None, np.arange(6.0)])
def test_differences_become_slopes(small, exact, loss, weights):
    """With the same directions, and whatever an example counts in the loss."""
    small, exact = small.redrawn(5), exact.redrawn(5)
    net = mlp()
    got, expected = (step(rule, net, loss=loss, weights=weights) for rule in (small, exact))
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-3, atol=1e-4 * np.abs(value).max())


@pytest.mark.parametrize(
    "make",
    [
        lambda draws: R.NodePerturbation(seed=1, draws=draws),
        lambda draws: R.WeightPerturbation(seed=1, draws=draws),
        lambda draws: R.ForwardGradient("weights", seed=1, draws=draws),
        lambda draws: R.ForwardGradient("activities", seed=1, draws=draws),
    ],
)
def test_the_mean_over_many_draws_is_the_gradient(make):
    """The error of a mean of k draws falls as 1 / sqrt(k): from k to 16 k to about a quarter."""
    net = mlp()
    exact = step(R.Backprop(), net)

    def error(draws):
        got = step(make(draws), net)
        off = sum(((got[name] - exact[name]) ** 2).sum() for name in exact)
        return float(np.sqrt(off / sum((g**2).sum() for g in exact.values())))

    few, many = error(40), error(640)
    assert many < 0.5 * few
    assert many < 0.4


def test_activities_vary_less_than_weights():
    """Ren et al.: the variance grows with how many numbers are perturbed."""
    rng = np.random.default_rng(1)
    net = eln.Sequential([L.Linear(100, 10), L.Tanh(), L.Linear(10, 3)], seed=0)
    x = rng.normal(size=(6, 100))
    exact = step(R.Backprop(), net, x)["linear1.W"]
    errors = {}
    for perturb in ("weights", "activities"):
        router = R.ForwardGradient(perturb, seed=0)
        errors[perturb] = np.mean(
            [((step(router, net, x)["linear1.W"] - exact) ** 2).sum() for _ in range(50)]
        )
    assert errors["activities"] < 0.2 * errors["weights"]


RULES = pytest.mark.parametrize(
    "make",
    [
        R.NodePerturbation,
        R.WeightPerturbation,
        R.ForwardGradient,
        lambda: R.ForwardGradient("activities"),
    ],
)


@RULES
@pytest.mark.parametrize("build", [residual, blocks])
def test_on_any_graph(make, build):
    net = build()
    x = np.random.default_rng(0).normal(size=(6, 32, 32, 3)).astype(np.float32)
    for grads in (step(make(), net, x), step(make(), net, x)):
        assert grads.keys() == net.parameters().keys()
        assert all(np.isfinite(g).all() and g.any() for g in grads.values())


def test_shared_weights_move_together():
    """A network of one W in two places has the slope of one that is written out."""
    layer = L.Linear(5, 5)
    net = eln.Sequential([layer, L.Tanh(), layer, L.Linear(5, 3)], seed=0)
    small, exact = (step(make(seed=1), net) for make in (R.WeightPerturbation, R.ForwardGradient))
    for name, value in exact.items():
        np.testing.assert_allclose(small[name], value, rtol=0.05, atol=0.02 * np.abs(value).max())


@pytest.mark.parametrize(
    ("small", "exact"),
    [
        (R.NodePerturbation(1e-6), R.ForwardGradient("activities")),
        (R.WeightPerturbation(1e-6), R.ForwardGradient("weights")),
    ],
)
def test_masks_are_those_of_the_clean_pass(small, exact):
    """So nothing but the noise changes the loss."""

    def drop():
        return eln.Sequential([L.Linear(5, 7), L.Tanh(), L.Dropout(0.5), L.Linear(7, 3)], seed=0)

    got, expected = step(small, drop()), step(exact, drop())
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-3, atol=1e-4 * np.abs(value).max())


# Errors -------------------------------------------------------------------------------------------


class Whole(eln.losses.Loss):
    """A loss without terms."""

    def formula(self, prediction, target):
        return float((prediction**2).sum()), 2 * prediction

    def read_target(self, target, shape):
        return np.zeros(shape)


@pytest.mark.parametrize("make", [R.NodePerturbation, R.WeightPerturbation])
def test_what_differences_need(make):
    net, router = mlp(), make()
    dy = LOSS(router.forward(net, X, Y), Y)[1]
    with pytest.raises(ValueError, match=r"Perturbation\(.*\): expected a loss, .* got None"):
        router.backward(net, dy, Y)
    router.loss = LOSS
    with pytest.raises(ValueError, match="expected a target"):
        router.backward(net, dy)
    with pytest.raises(TypeError, match="expected a loss with terms for each example, got Whole"):
        step(make(), net, loss=Whole())
    net.forward(X, train=True)
    with pytest.raises(RuntimeError, match="a last forward pass by its forward"):
        router.backward(net, dy, Y)
    net.outputs = ["linear1", "linear2"]
    dys = tuple(map(np.ones_like, router.forward(net, X, Y)))
    with pytest.raises(ValueError, match="expected a network with one output"):
        router.backward(net, dys, Y)


@pytest.mark.parametrize(
    "make",
    [
        lambda: R.NodePerturbation(sigma=0),
        lambda: R.WeightPerturbation(sigma=-1),
        lambda: R.NodePerturbation(draws=0),
        lambda: R.WeightPerturbation(seed=-1),
        lambda: R.ForwardGradient("units"),
        lambda: R.ForwardGradient(draws=0),
    ],
)
def test_arguments_out_of_range(make):
    with pytest.raises(ValueError, match=r"(Perturbation|ForwardGradient): expected \w+"):
        make()
