"""Dilated backprop against NumPy: where it adds a term, and which, with and without projection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from routers.by_hand import (
    assert_close,
    batch_norm_down,
    elu_slope,
    forward,
    mean_pool_down,
    run,
    weights,
)

import elunet as eln
from elunet import layers as L
from elunet import routers as R
from elunet.routers.dilated_backprop import nearest, resize


class Watched(R.DilatedBackprop):
    """Notes what it adds, by the name of the layer where it does."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.added = {}

    def arrive(self, layer, dy):
        total = super().arrive(layer, dy)
        if total is not dy:
            self.added[self.name_of(layer)] = (total - dy).copy()
        return total


# What, on chains --------------------------------------------------------------------------------


def test_dilated_by_hand():
    net = eln.Sequential(
        [L.Linear(4, 4), L.ELU(), L.Linear(4, 4), L.BatchNorm(4), L.ELU(), L.Linear(4, 4)], 0
    )
    x = np.random.default_rng(0).normal(size=(6, 4))
    router = R.DilatedBackprop(proportion=0.5, decay=2)
    router.epoch = 3
    assert router.rate == pytest.approx(0.5 / 7)
    dy = np.random.default_rng(1).normal(size=net.forward(x, train=True).shape)
    got, seen = run(router, net, dy)
    W1, W2, W3 = (W.astype(float) for W in weights(net).values())
    z1 = x @ W1
    h1 = np.where(z1 > 0, z1, np.expm1(np.minimum(z1, 0)))
    z2 = h1 @ W2
    x_hat = batch_norm_down(z2[:, None, None], z2[:, None, None])[1][:, 0, 0]
    g2 = dy @ W3.T + 0.5 / 7 * dy
    assert_close(seen["elu2"], g2)
    delta2 = batch_norm_down(z2[:, None, None], (g2 * elu_slope(x_hat))[:, None, None])[0][:, 0, 0]
    g1 = delta2 @ W2.T + 0.5 / 7 * g2  # earlier additions included
    assert_close(seen["elu1"], g1)
    assert_close(got["linear1.W"], x.T @ (g1 * elu_slope(z1)))


def test_dilation_of_two_skips_a_unit():
    net = eln.Sequential([L.Linear(4, 4) for _ in range(4)], seed=0)
    x = np.random.default_rng(0).normal(size=(6, 4))
    dy = np.random.default_rng(1).normal(size=net.forward(x, train=True).shape)
    _, seen = run(R.DilatedBackprop(dilation=2, proportion=0.5), net, dy)
    _, W2, W3, W4 = (W.astype(float) for W in weights(net).values())
    g3 = dy @ W4.T
    g2 = g3 @ W3.T + 0.5 * dy
    g1 = g2 @ W2.T + 0.5 * g3
    for k, g in enumerate((g1, g2, g3, dy), start=1):
        assert_close(seen[f"linear{k}"], g)


# Where --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["c", "d", "e"])
def test_where_the_articles_networks_gain_a_term(case):
    net = eln.models.article_case(case)
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    dy = np.ones_like(net.forward(x, train=True))
    router = Watched(proportion=0.25)
    _, seen = run(router, net, dy)
    assert set(router.added) == {"elu2", "elu4", "elu6", "elu8"}
    for k in (2, 4, 6, 8):
        added, above = router.added[f"elu{k}"], 0.25 * seen[f"elu{k + 1}"]
        np.testing.assert_allclose(added, above, rtol=1e-3, atol=1e-5 * np.abs(above).max())
    _, exact = run(R.Backprop(), net, dy)
    same = [name for name in seen if np.array_equal(seen[name], exact[name])]
    assert same == [n for n in net.names[::-1] if net.names.index(n) > net.names.index("elu8")]


def test_with_a_projection_all_hidden_convolutions_gain_a_term():
    net = eln.models.article_case("e")
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    router = Watched(projection="random")
    run(router, net, np.ones_like(net.forward(x, train=True)))
    assert set(router.added) == {f"elu{k}" for k in range(1, 11)}
    widths = eln.models.ARTICLE_WIDTHS["e"]
    shapes = {name: P.shape for name, P in router.drawn.items()}
    assert shapes == {
        f"elu{k}": (above, below)
        for k, (below, above) in enumerate(zip(widths, (*widths[1:], 10), strict=True), start=1)
        if above != below  # where only the positions differ, there is no matrix
    }
    for P in router.drawn.values():
        assert P.var() == pytest.approx(1 / len(P), rel=0.2)


def branching():
    """Return a network with a skip that starts at a unit's end, and another that ends at one."""
    net = eln.Network(seed=0)
    net.add(L.Conv2D(3, 4, 3), "stem")
    net.add(L.ELU(), "act")
    net.add(L.Conv2D(4, 4, 3), "inner1")
    net.add(L.BatchNorm(4), "norm")
    net.add(L.ELU(), "mid")
    net.add(L.Conv2D(4, 4, 2), "inner2")
    net.add(L.Add(), "sum", inputs=["inner2", "act"])
    net.add(L.ELU(), "top")
    net.add(L.MeanPool2D(2), "pool")
    net.add(L.Flatten(), "flat")
    net.add(L.Linear(16, 3), "out")
    return net


@pytest.mark.parametrize("projection", [None, "random"])
def test_nothing_is_added_where_paths_branch(projection):
    """`act` has two takers and `inner2` goes into a sum, whatever lies between is passed."""
    net = branching()
    router = Watched(projection=projection)
    run(router, net, forward(net)[1])
    assert set(router.added) == {"mid"}  # inner1's unit, followed by inner2 alone


# What, with pooling, BatchNorm and Add ------------------------------------------------------------


def ladder():
    """Return 1x1 convolutions with BatchNorm, pooling, a skip and a linear classifier."""
    net = eln.Network(seed=0)
    net.add(L.Conv2D(3, 4, 1), "stem")
    net.add(L.BatchNorm(4), "norm")
    net.add(L.ELU(), "low")
    net.add(L.Conv2D(4, 4, 1), "inner")
    net.add(L.ELU(), "mid")
    net.add(L.MeanPool2D(2), "pool")
    net.add(L.Conv2D(4, 5, 1), "upper")
    net.add(L.ELU(), "high")
    net.add(L.Flatten(), "flat")
    net.add(L.Linear(20, 3), "out")
    net.add(L.Linear(3, 3), "more")
    net.add(L.Add(), "sum", inputs=["more", "out"])
    return net


def ladder_by_hand(net, x, dy, added):
    """Return what reaches each unit's end, `added(name, signals)` included, and W's gradients."""
    W = {name: value.astype(float) for name, value in weights(net).items()}
    W |= {name: W[name][0, 0] for name in ("stem", "inner", "upper")}

    def elu(z):
        return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))

    z1 = x @ W["stem"]
    x_hat = batch_norm_down(z1, z1)[1]
    h1 = elu(x_hat)
    z2 = h1 @ W["inner"]
    pooled = elu(z2).reshape(6, 2, 2, 2, 2, 4).mean(axis=(2, 4))
    z3 = pooled @ W["upper"]
    g = {"more": dy}
    g["out"] = dy @ W["more"].T + dy  # two ways up
    g["high"] = (g["out"] @ W["out"].T).reshape(6, 2, 2, 5) + added("high", g)
    g["pool"] = (g["high"] * elu_slope(z3)) @ W["upper"].T
    g["mid"] = mean_pool_down(g["pool"]) + added("mid", g)
    delta2 = g["mid"] * elu_slope(z2)
    g["low"] = delta2 @ W["inner"].T + added("low", g)
    delta1 = batch_norm_down(z1, g["low"] * elu_slope(x_hat))[0]
    grads = {
        "inner.W": np.einsum("nijc,nijd->cd", h1, delta2)[None, None],
        "stem.W": np.einsum("nijc,nijd->cd", x, delta1)[None, None],
    }
    return g, grads


def test_pooling_norm_and_add_by_hand():
    net, router = ladder(), R.DilatedBackprop(proportion=0.5, decay=2)
    router.epoch = 1
    x, dy = forward(net)
    got, seen = run(router, net, dy)
    terms = {"low": lambda g: 0.5 / 3 * g["mid"]}  # mid's unit is the next, and nothing between
    signals, grads = ladder_by_hand(net, x, dy, lambda name, g: terms.get(name, lambda g: 0)(g))
    for name, value in signals.items():
        assert_close(seen[name], value)
    for name, value in grads.items():
        assert_close(got[name], value)


def test_projections_by_hand():
    net, router = ladder(), R.DilatedBackprop(proportion=0.5, projection="random", seed=3)
    x, dy = forward(net)
    got, seen = run(router, net, dy)
    P = {name: value.astype(float) for name, value in router.drawn.items()}
    assert {name: value.shape for name, value in P.items()} == {"high": (3, 5), "mid": (5, 4)}
    terms = {
        # a linear layer's three numbers, at each of 2 x 2 positions a quarter of their projection
        "high": lambda g: 0.5 * (g["out"] @ P["high"])[:, None, None, :] / 4,
        # each of 2 x 2 positions' five numbers, projected to four, for four positions a quarter
        "mid": lambda g: 0.5 * mean_pool_down(g["high"] @ P["mid"]),
        "low": lambda g: 0.5 * g["mid"],
    }
    signals, grads = ladder_by_hand(net, x, dy, lambda name, g: terms.get(name, lambda g: 0)(g))
    for name, value in signals.items():
        assert_close(seen[name], value)
    for name, value in grads.items():
        assert_close(got[name], value)


def test_projections_two_units_up():
    net = ladder()
    router = R.DilatedBackprop(dilation=2, proportion=0.5, projection="random", seed=3)
    x, dy = forward(net)
    _, seen = run(router, net, dy)
    P = {name: value.astype(float) for name, value in router.drawn.items()}
    assert {name: value.shape for name, value in P.items()} == {"mid": (3, 4), "low": (5, 4)}
    terms = {
        "mid": lambda g: 0.5 * (g["out"] @ P["mid"])[:, None, None, :] / 16,
        "low": lambda g: 0.5 * mean_pool_down(g["high"] @ P["low"]),
    }
    signals, _ = ladder_by_hand(net, x, dy, lambda name, g: terms.get(name, lambda g: 0)(g))
    for name, value in signals.items():
        assert_close(seen[name], value)


def test_projections_are_the_routers_own():
    net = ladder()
    _, dy = forward(net)
    drawn = []
    for seed in (3, 3, 4):
        router = R.DilatedBackprop(projection="random", seed=seed)
        run(router, net, dy)
        drawn.append(router.drawn["mid"])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.isclose(drawn[0], drawn[2]).any()


def test_no_such_projection():
    with pytest.raises(ValueError, match="expected projection as None or \"random\", got 'fixed'"):
        R.DilatedBackprop(projection="fixed")


# Positions ----------------------------------------------------------------------------------------


def test_nearest_positions():
    half = np.eye(2).repeat(2, axis=1) / 2
    np.testing.assert_array_equal(nearest(2, 4), half)
    np.testing.assert_array_equal(nearest(4, 2), half.T * 2)
    np.testing.assert_array_equal(nearest(3, 3), np.eye(3))
    odd = [[1 / 2, 1 / 2, 0, 0, 0], [0, 0, 1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(nearest(2, 5), odd)


@given(st.integers(1, 9), st.integers(1, 9))
def test_each_number_goes_to_the_nearest_positions(above, below):
    shares = nearest(above, below)
    assert shares.shape == (above, below)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares.sum(axis=0) > 0).all()  # no position is left out
    middle = [(np.arange(n) + 0.5) / n for n in (above, below)]
    distance = np.abs(middle[0][:, None] - middle[1])
    least = distance.min(axis=0 if below >= above else 1, keepdims=True)
    assert np.allclose(distance[shares > 0], np.broadcast_to(least, shares.shape)[shares > 0])


@pytest.mark.parametrize("before", [(2, 3, 3, 4), (2, 1, 1, 4), (2, 4), (2, 5, 4), (2, 6, 2, 4)])
@pytest.mark.parametrize("after", [(2, 6, 6, 4), (2, 5, 7, 4), (2, 2, 2, 4), (2, 4), (2, 3, 4)])
def test_the_sum_over_positions_stays(before, after):
    g = np.random.default_rng(0).normal(size=before)
    got = resize(g, after)
    assert got.shape == after
    sums = [each.reshape(2, -1, 4).sum(axis=1) for each in (got, g)]
    np.testing.assert_allclose(*sums)
