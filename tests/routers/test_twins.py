"""Twins with other random matrices, and the matrices through which rules send back."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from routers.cases import MAKERS, RULES, assert_same, copied, forward, images, small, steps

import elunet as eln
from elunet import layers as L
from elunet import routers as R

RANDOM = {
    *("FA", "FA article", "DFA", "DFA before", "DFA shared", "DRTP", "DRTP shared", "DRTP before"),
    *(
        "DFA sparse",
        "brSF",
        "frSF",
        "KP",
        "WM",
        "dilated random",
        "mixed",
        "mixed random",
        "noise",
        "matched",
        "both",
    ),
}
SHAPE = (4, 4, 4, 1)


def gradients(router, net, dy, target):
    router.backward(net, dy, target)
    return copied(net.gradients())


# Twins --------------------------------------------------------------------------------------------


@RULES
def test_whether_anything_is_random(rule):
    net, router = images(), MAKERS[rule]()
    assert router.is_random == (rule in RANDOM)
    dy, target = forward(net, SHAPE, 3)
    mine = gradients(router, net, dy, target)
    other = gradients(MAKERS[rule]().redrawn(99), net, dy, target)
    same = all(np.array_equal(mine[name], other[name]) for name in mine)
    assert same == (rule not in RANDOM)


@RULES
def test_a_twin_changes_nothing_in_its_model(rule):
    """Two equal rules train; one has twins made and run after each step, the other does not."""
    nets, routers = [small(), small()], [MAKERS[rule](), MAKERS[rule]()]
    optimizers = [eln.optim.SGD(0.1), eln.optim.SGD(0.1)]
    for epoch in range(3):
        for net, router, optimizer in zip(nets, routers, optimizers, strict=True):
            steps(net, router, optimizer, [epoch])
        for seed in (5, 6):
            twin, aside = routers[0].redrawn(seed), copy.deepcopy(nets[0])
            assert type(twin) is type(routers[0])
            assert twin.epoch == epoch
            steps(aside, twin, eln.optim.SGD(0.1), [epoch, epoch + 1])
            twin.backward(nets[0], *forward(nets[0], (6, 4), 3, epoch))
            optimizers[0].step(aside, twin)
        np.testing.assert_equal(routers[0].state(), routers[1].state())
    first, second = (
        steps(net, router, optimizer, [3, 4])
        for net, router, optimizer in zip(nets, routers, optimizers, strict=True)
    )
    for got, expected in zip(first, second, strict=True):
        assert_same(got, expected)


@RULES
def test_twins_of_a_seed_are_equal(rule):
    net, router = images(), MAKERS[rule]()
    dy, target = forward(net, SHAPE, 3)
    router.backward(net, dy, target)
    found = [gradients(router.redrawn(seed), net, dy, target) for seed in (3, 3, 4)]
    assert_same(found[1], found[0])
    changed = any(not np.array_equal(found[2][name], found[0][name]) for name in found[0])
    assert changed == (rule in RANDOM)


def test_twins_draw_what_a_rule_of_their_seed_draws():
    net = images()
    dy, target = forward(net, SHAPE, 3)
    kinds = (
        R.FeedbackAlignment,
        R.KolenPollack,
        R.DirectFeedbackAlignment,
        R.DirectRandomTargetProjection,
        lambda seed: R.SignSymmetry("fixed", seed),
        lambda seed: R.SignSymmetry("batchwise", seed),
        lambda seed: R.DilatedBackprop(projection="random", seed=seed),
    )
    for kind in kinds:
        own, router = kind(seed=8), kind(seed=1)
        for each in (router, router, own, own, own):
            each.backward(net, dy, target)
        twin = router.redrawn(8)
        twin.backward(net, dy, target)  # the third pass: where M is drawn in each, it matters
        assert own.drawn.keys() == twin.drawn.keys() != set()
        assert_same(own.drawn, twin.drawn)
        assert twin.seed == 8
        assert not any(np.array_equal(twin.drawn[name], router.drawn[name]) for name in twin.drawn)


def test_given_matrices_are_drawn_as_well():
    net = small()
    dy, target = forward(net, (6, 4), 3)
    given = {"linear3": net["linear3"].params["W"]}
    router = R.FeedbackAlignment(seed=1, B=given)
    router.backward(net, dy, target)
    twin, own = router.redrawn(2), R.FeedbackAlignment(seed=2)
    for each in (twin, own):
        each.backward(net, dy, target)
    assert_same(twin.B, own.B)
    np.testing.assert_array_equal(router.B["linear3"], given["linear3"])


def test_what_was_measured_or_counted_stays():
    net = small()
    dy, target = forward(net, (6, 4), 3)
    uniform, noise = R.SignSymmetry(), R.GradientNoise(R.Backprop(), eta=0.5, seed=1)
    for router in (uniform, noise):
        router.epoch = 4
        router.backward(net, dy, target)
        router.backward(net, dy, target)
    net["linear3"].params["W"] *= 2
    twin = uniform.redrawn(5)
    twin.backward(net, dy, target)
    assert (twin.scale, twin.passes, twin.epoch) == (uniform.scale, 3, 4)
    assert (noise.redrawn(5).passes, noise.passes) == (2, 2)
    assert noise.redrawn(5).epoch == 4


def test_noise_is_drawn_anew_and_counts_on():
    net = eln.Sequential([L.Linear(3, 2)], seed=0)
    dy = np.zeros_like(net.forward(np.ones((2, 3)), train=True))
    router, own = (R.GradientNoise(R.Backprop(), seed=seed) for seed in (1, 2))
    for each in (router, own, own):
        each.backward(net, dy)
    expected = copied(net.gradients())  # of the second pass of seed 2
    assert_same(gradients(router.redrawn(2), net, dy, None), expected)
    assert not np.array_equal(gradients(router, net, dy, None)["linear1.W"], expected["linear1.W"])


def test_rules_inside_get_seeds_of_their_own():
    rules = {f"linear{k}": R.FeedbackAlignment() for k in (1, 2)}
    router = R.NormMatched(R.Mixed(rules))
    found = [
        {rule.seed for rule in router.redrawn(seed).router.rules.values()} for seed in (0, 0, 1)
    ]
    assert found[0] == found[1]
    assert len(found[0] | found[2]) == 4
    assert {rule.seed for rule in rules.values()} == {0}


def family(router):
    """Return a router and all that it holds."""
    inside = getattr(router, "held", {}).values()
    return [router, *(other for rule in inside for other in family(rule))]


@RULES
def test_networks_are_shared_and_routers_are_not(rule):
    net, router = images(), MAKERS[rule]()
    router.backward(net, *forward(net, SHAPE, 3))
    twin = router.redrawn(1)
    for one, other in zip(family(router), family(twin), strict=True):
        assert one is not other
        assert getattr(other, "net", net) is net
        shared = {name for name, value in vars(other).items() if value is vars(one)[name]}
        for name in shared:
            assert isinstance(vars(one)[name], int | float | str | bool | None | eln.Network)


class OwnMatrices(R.Router):
    """A user's rule that draws from a generator and says nothing of it."""

    def __init__(self):
        super().__init__()
        self.rng, self.B, self.myself = np.random.default_rng(0), {}, self

    def send(self, layer, dy):
        noise = self.rng.normal(size=layer.params["W"].shape)
        self.B[self.name_of(layer)] = noise
        return layer.backward_input(dy, weight=noise)


def test_a_users_rule_is_left_alone_too():
    net, router, control = small(), OwnMatrices(), OwnMatrices()
    dy, target = forward(net, (6, 4), 3)
    for each in (router, control):
        each.backward(net, dy, target)
    twin = router.redrawn(1)
    assert twin.myself is twin
    twin.backward(net, dy, target)
    assert_same(router.B, control.B)
    assert_same(gradients(router, net, dy, target), gradients(control, net, dy, target))


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
@RULES
def test_bad_seeds_of_twins(rule, seed):
    with pytest.raises((TypeError, ValueError), match="expected seed"):
        MAKERS[rule]().redrawn(seed)


# Feedback weights ---------------------------------------------------------------------------------

SENDERS = {
    "FA": lambda: R.FeedbackAlignment(seed=1),
    "KP": lambda: R.KolenPollack(seed=1),
    "WM": lambda: R.WeightMirror(seed=1),
    "uSF": R.SignSymmetry,
    "brSF": lambda: R.SignSymmetry("batchwise", seed=1),
    "frSF": lambda: R.SignSymmetry("fixed", seed=1),
}


def chain():
    parts = [L.Linear(4, 5), L.ELU(), L.Linear(5, 6), L.Tanh(), L.Linear(6, 3)]
    return eln.Sequential(parts, seed=0)


@pytest.mark.parametrize(
    "wrap",
    [lambda r: r, R.NormMatched, R.GradientNoise, lambda r: R.Mixed({"*3": r, "*": R.Backprop()})],
)
@pytest.mark.parametrize("rule", SENDERS)
def test_the_matrix_is_the_one_that_was_sent_through(rule, wrap):
    net, router, seen = chain(), wrap(SENDERS[rule]()), {}
    assert router.feedback_weight(net, "linear3") is None
    for seed in range(3):
        dy, target = forward(net, (6, 4), 3, seed, np.float64)
        router.backward(net, dy, target, lambda name, delta: seen.update({name: delta.copy()}))
        B = router.feedback_weight(net, "linear3")
        assert B.shape == net["linear3"].params["W"].shape
        np.testing.assert_allclose(seen["tanh1"], seen["linear3"] @ B.T, rtol=1e-5)
        before = router.state()
        np.testing.assert_array_equal(router.feedback_weight(net, "linear3"), B)
        np.testing.assert_equal(router.state(), before)  # asking draws nothing
    for name in ("linear1", "elu1"):  # nothing learns below the one; the other has no W
        assert router.feedback_weight(net, name) is None


@pytest.mark.parametrize("rule", ["uSF", "brSF", "frSF"])
def test_the_signs_are_those_of_w_now(rule):
    net, router = chain(), SENDERS[rule]()
    router.backward(net, *forward(net, (6, 4), 3))
    B = router.feedback_weight(net, "linear2")
    net["linear2"].params["W"] *= -3
    np.testing.assert_array_equal(router.feedback_weight(net, "linear2"), -B)


def test_a_given_matrix_of_a_layer_that_does_not_send():
    net = chain()
    B = {f"linear{k}": net[f"linear{k}"].params["W"] for k in (1, 2)}
    router = R.FeedbackAlignment(B=B)
    router.backward(net, *forward(net, (6, 4), 3))
    assert router.feedback_weight(net, "linear1") is None
    np.testing.assert_array_equal(router.feedback_weight(net, "linear2"), B["linear2"])


@pytest.mark.parametrize("rule", ["plain", "backprop", "dilated", "dilated random"])
def test_rules_without_such_a_matrix(rule):
    net, router = chain(), MAKERS[rule]()
    router.backward(net, *forward(net, (6, 4), 3))
    assert [router.feedback_weight(net, name) for name in net.names] == [None] * len(net)


def test_mixed_asks_each_layers_rule_for_its_matrix():
    net = chain()
    fa, sign = R.FeedbackAlignment(seed=1), R.SignSymmetry()
    router = R.Mixed({"linear3": fa, "linear2": sign})
    router.backward(net, *forward(net, (6, 4), 3))
    assert router.feedback_weight(net, "linear3") is fa.B["linear3"]
    B = sign.deviation["linear2"] * np.sign(net["linear2"].params["W"])
    np.testing.assert_allclose(router.feedback_weight(net, "linear2"), B, rtol=1e-6)
