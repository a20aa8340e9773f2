"""What holds for every rule: shapes, repeatability, saved state, and that arrays are left alone."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from routers.cases import (
    MAKERS,
    RULES,
    assert_same,
    blocks,
    copied,
    forward,
    kernels,
    networks,
    residual,
    rules,
    small,
    steps,
)

import elunet as eln
from elunet import layers as L
from elunet import routers as R
from elunet.routers.random_router import generator


def elu11():
    return eln.models.elu11(widths=(4, 4, 4, 5, 5, 6, 6, 6, 6, 6))


MODELS = {
    "elu11": elu11,
    "case b": lambda: eln.models.article_case("b"),
    "residual": residual,
    "blocks": blocks,
    "kernels": kernels,
}


def kept(net):
    """Return copies of every array that the layers keep from the forward pass."""
    return {
        f"{node.name}.{place}": np.copy(value)
        for node in net.nodes
        for place, value in enumerate(node.layer._kept or ())
        if isinstance(value, np.ndarray)
    }


def check_one_pass(make, net, shape, classes):
    """Run a rule twice from the same start, and see what it leaves alone."""
    dy, target = forward(net, shape, classes)
    dy.flags.writeable = False
    before = dy.copy(), target.copy(), copied(net.parameters()), kept(net)
    router, grads, seen = make(), [], []

    def tap(name, delta):
        assert np.isfinite(delta).all()
        assert delta.shape == net.shapes[name]
        seen.append((name, delta, delta.copy()))

    router.backward(net, dy, target, tap)
    grads.append(copied(net.gradients()))
    np.testing.assert_array_equal(dy, before[0])
    np.testing.assert_array_equal(target, before[1])
    assert_same(copied(net.parameters()), before[2])
    assert_same(kept(net), before[3])
    for name, held, then in seen:
        np.testing.assert_array_equal(held, then, err_msg=name)  # nobody wrote into a signal

    make().backward(net, dy, target)
    grads.append(copied(net.gradients()))
    assert_same(*grads)
    assert_same(kept(net), before[3])  # though without a tap it works in place where it may
    make().backward(net, dy, target, release=True)
    assert_same(grads[0], copied(net.gradients()))
    assert kept(net) == {}
    with pytest.raises(RuntimeError, match=r"before backward, got none .* release=True"):
        make().backward(net, dy, target)
    for name, w in net.parameters().items():
        assert grads[0][name].shape == w.shape
        assert np.isfinite(grads[0][name]).all(), name
    assert router.parameters().keys() == router.gradients().keys()
    for name, B in router.parameters().items():
        assert router.gradients()[name].shape == B.shape


@RULES
@pytest.mark.parametrize("model", MODELS)
def test_two_steps_on_small_models(rule, model):
    net = MODELS[model]()
    check_one_pass(MAKERS[rule], net, (4, 32, 32, 3), 10)
    router, optimizer = MAKERS[rule](), eln.optim.SGD(1e-4)
    for step in range(2):
        dy, target = forward(net, (4, 32, 32, 3), 10, seed=step)
        router.backward(net, dy, target)
        optimizer.step(net, router)
    assert all(np.isfinite(w).all() for w in net.parameters().values())


@settings(max_examples=100)
@given(networks(), rules())
def test_drawn_networks_and_rules(drawn, make):
    check_one_pass(make, *drawn)


# Seeds --------------------------------------------------------------------------------------------


def test_routers_never_draw_what_a_layer_drew():
    shape = (5, 5)
    layers = [L.Linear(5, 5, seed=0).params["W"]]
    layers += [w for w in small().parameters().values() if w.shape == shape]
    net = eln.Sequential([L.Linear(5, 5, seed=0), L.Linear(5, 5, seed=0)])
    dy = np.ones_like(net.forward(np.ones((2, 5), np.float32), train=True))
    router = R.FeedbackAlignment(seed=0)
    router.backward(net, dy)
    B = router.B["linear2"]
    for W in layers:
        assert not np.isclose(np.abs(B), np.abs(W)).any()


def test_matrices_depend_on_seed_and_name_only():
    def matrix(kind, seed, other_layers, last="out"):
        net = eln.Sequential([L.Linear(4, 4) for _ in range(other_layers)], seed=other_layers)
        net.add(L.Linear(4, 3), name=last)
        router = kind(seed=seed)
        router.backward(net, *forward(net, (6, 4), 3))
        return router.B[last]

    kinds = (R.FeedbackAlignment, R.DirectFeedbackAlignment, R.DirectRandomTargetProjection)
    for kind in kinds:
        first = matrix(kind, 0, 1)
        np.testing.assert_array_equal(first, matrix(kind, 0, 3))
        assert not np.isclose(first, matrix(kind, 1, 1)).any()
        assert not np.isclose(first, matrix(kind, 0, 1, "end")).any()
    assert generator(0, "a").random() != generator(0, "b").random()


@pytest.mark.parametrize("seed", [-1, 0.5, "one", True, None])
@pytest.mark.parametrize(
    "kind",
    [
        R.FeedbackAlignment,
        R.KolenPollack,
        R.DirectFeedbackAlignment,
        R.DirectRandomTargetProjection,
        R.SignSymmetry,
        lambda seed: R.GradientNoise(R.Backprop(), seed=seed),
    ],
)
def test_bad_seeds(kind, seed):
    with pytest.raises((TypeError, ValueError), match="expected seed"):
        kind(seed=seed)


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linear1", "linear3"])
@pytest.mark.parametrize("kind", [R.FeedbackAlignment, R.KolenPollack])
def test_a_matrix_of_wrong_shape_names_the_layer(kind, name):
    net = small()
    dy, target = forward(net, (6, 4), 3)
    with pytest.raises(ValueError, match=rf"{name} .*\(\d, \d\), got \(2, 2\)"):
        kind(B={name: np.ones((2, 2))}).backward(net, dy, target)


def test_a_matrix_that_is_none_names_the_layer():
    net = small()
    with pytest.raises(ValueError, match="linear3 .*expected weight as a float array"):
        R.FeedbackAlignment(B={"linear3": np.ones((5, 3), int)}).backward(
            net, *forward(net, (6, 4), 3)
        )


@pytest.mark.parametrize("name", ["tanh1", "linear9"])
def test_a_matrix_for_a_layer_that_is_not_there(name):
    net = small()
    with pytest.raises(ValueError, match=rf"expected B for layers among \['linear1'.*'{name}'"):
        R.FeedbackAlignment(B={name: np.ones((2, 2))}).backward(net, *forward(net, (6, 4), 3))


@pytest.mark.parametrize("kind", [R.FeedbackAlignment, R.KolenPollack])
def test_given_matrices_are_copied(kind):
    net = small()
    B = {"linear3": net["linear3"].params["W"]}
    router = kind(B=B)
    steps(net, router, eln.optim.SGD(0.1), range(2))
    assert not np.shares_memory(router.B["linear3"], net["linear3"].params["W"])
    assert set(B) == {"linear3"}
    same = np.allclose(router.B["linear3"], net["linear3"].params["W"])
    assert same == (kind is R.KolenPollack)


def test_a_step_before_kolen_pollacks_first_pass():
    net = small()
    router = R.KolenPollack(B={"linear3": net["linear3"].params["W"]})
    net.backward(forward(net, (6, 4), 3)[0])
    with pytest.raises(RuntimeError, match=r"expected a gradient for 'linear3.B'"):
        eln.optim.SGD(0.1).step(net, router)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "expected target in backward"),
        (np.zeros(4, int), "expected target of shape"),
        (np.zeros((6, 1), int), "expected target of shape"),
        (np.full(6, 3), "labels in 0..2"),
    ],
)
def test_targets_that_do_not_fit(target, message):
    net = small()
    dy, _ = forward(net, (6, 4), 3)
    with pytest.raises(ValueError, match=message):
        R.DirectRandomTargetProjection().backward(net, dy, target)


def test_one_hot_targets_are_labels():
    net = small()
    dy, labels = forward(net, (6, 4), 3)
    R.DirectRandomTargetProjection().backward(net, dy, labels)
    expected = copied(net.gradients())
    R.DirectRandomTargetProjection().backward(net, dy, np.eye(3)[labels])
    assert_same(copied(net.gradients()), expected)


@pytest.mark.parametrize("kind", [R.DirectFeedbackAlignment, R.DirectRandomTargetProjection])
def test_direct_rules_without_a_weighted_layer(kind):
    net = eln.Sequential([L.BatchNorm(3)])
    with pytest.raises(ValueError, match="expected a network with a weighted layer"):
        kind().backward(net, np.ones_like(net.forward(np.eye(3), train=True)), np.arange(3))


@pytest.mark.parametrize("kind", [R.DirectFeedbackAlignment, R.DirectRandomTargetProjection])
def test_direct_rules_on_an_empty_batch(kind):
    net = small()
    dy = net.forward(np.ones((0, 4)), train=True)
    kind().backward(net, dy, np.zeros(0, int))
    assert not any(g.any() for g in net.gradients().values())


def test_mixed_wants_patterns_that_match():
    net = small()
    router = R.Mixed({"linear*": R.Backprop(), "conv*": R.FeedbackAlignment()})
    with pytest.raises(ValueError, match=r"that matches a layer among \['linear1'.*got 'conv\*'"):
        router.backward(net, *forward(net, (6, 4), 3))


@pytest.mark.parametrize("rule", [None, R.FeedbackAlignment])
def test_no_router(rule):
    with pytest.raises(TypeError, match="expected a Router for"):
        R.Mixed({"*": rule})
    for kind in (R.GradientNoise, R.NormMatched):
        with pytest.raises(TypeError, match="expected router as a Router"):
            kind(rule)


@pytest.mark.parametrize("kind", [R.GradientNoise, R.NormMatched])
def test_mixed_takes_no_rule_of_the_whole_network(kind):
    with pytest.raises(TypeError, match="put it around the Mixed"):
        R.Mixed({"*": kind(R.Backprop())})


@pytest.mark.parametrize(
    "make",
    [
        lambda: R.SignSymmetry("random"),
        lambda: R.DilatedBackprop(dilation=0),
        lambda: R.DilatedBackprop(proportion=np.nan),
        lambda: R.DilatedBackprop(decay=-1),
        lambda: R.GradientNoise(R.Backprop(), eta=-1),
        lambda: R.GradientNoise(R.Backprop(), gamma=-1),
    ],
)
def test_arguments_out_of_range(make):
    with pytest.raises(ValueError, match=r"(Sign|Dilated|Gradient)\w+: expected \w+"):
        make()


@RULES
def test_repr_names_the_class(rule):
    router = MAKERS[rule]()
    assert repr(router).startswith(type(router).__name__ + "(")


@RULES
def test_every_rule_wants_a_forward_pass(rule):
    net, labels = small(), np.zeros(6, int)
    with pytest.raises(RuntimeError, match="forward"):
        MAKERS[rule]().backward(net, np.ones((6, 3), np.float32), labels)
    forward(net, (6, 4), 3)
    net.add(L.Linear(3, 3))
    with pytest.raises(RuntimeError, match="forward"):
        MAKERS[rule]().backward(net, np.ones((6, 3), np.float32), labels)


# Mixed --------------------------------------------------------------------------------------------


def test_mixed_asks_each_layers_own_rule():
    net, fa, sign = small(), R.FeedbackAlignment(), R.SignSymmetry("fixed")
    dy, target = forward(net, (6, 4), 3, dtype=np.float64)
    seen = {}
    router = R.Mixed({"linear3": fa, "linear*": sign})
    router.epoch = 4
    router.backward(net, dy, target, lambda name, delta: seen.setdefault(name, delta.copy()))
    assert (fa.epoch, sign.epoch) == (4, 4)
    assert (set(fa.B), set(sign.drawn)) == ({"linear3"}, {"linear2"})
    np.testing.assert_allclose(seen["add1"], dy @ fa.B["linear3"].T)
    B = np.abs(sign.drawn["linear2"]) * np.sign(net["linear2"].params["W"])
    np.testing.assert_allclose(seen["tanh1"], seen["add1"] @ B.T + seen["add1"])
    assert router.rule_for("tanh1") is not fa


def test_a_rule_hears_what_arrived_and_not_what_it_would_have_sent():
    net = eln.Sequential([L.Linear(4, 4) for _ in range(3)], seed=0)
    dy = np.random.default_rng(0).normal(size=net.forward(np.eye(4), train=True).shape)
    seen = {}
    router = R.Mixed({"linear1": R.DilatedBackprop(proportion=0.5)})
    router.backward(net, dy, tap=lambda name, delta: seen.setdefault(name, delta.copy()))
    W2, W3 = (net[name].params["W"].astype(float) for name in ("linear2", "linear3"))
    np.testing.assert_allclose(seen["linear2"], dy @ W3.T)  # linear2 follows backprop
    np.testing.assert_allclose(seen["linear1"], dy @ W3.T @ W2.T + 0.5 * dy @ W3.T)


def test_mixed_in_mixed():
    net = small()
    dy, target = forward(net, (6, 4), 3)
    rules = {"linear3": R.FeedbackAlignment(), "linear2": R.DirectFeedbackAlignment()}
    R.Mixed(rules).backward(net, dy, target)
    expected = copied(net.gradients())
    R.Mixed({"linear*": R.Mixed(rules)}).backward(net, dy, target)
    assert_same(copied(net.gradients()), expected)


# The example --------------------------------------------------------------------------------------


def test_my_router_example_runs(capsys, monkeypatch, tmp_path):
    file = Path(__file__).parents[2] / "examples" / "my_router.py"
    assert len(file.read_text("utf-8").splitlines()) < 40
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(file), run_name="__main__")
    printed = re.findall(r"epoch (\d): loss (\S+), (\d+) degrees", capsys.readouterr().out)
    losses, angles = [float(row[1]) for row in printed], [int(row[2]) for row in printed]
    assert len(printed) == 6
    assert losses[-1] < 0.7 * losses[0]
    assert all(20 < angle < 85 for angle in angles)


def test_in_a_mixed_network_activations_go_with_their_layer():
    """Though dilated backprop adds at "elu2", it is asked for where only "conv*" is named."""
    net = eln.models.article_case("b")
    x = np.random.default_rng(3).normal(size=(2, 32, 32, 3))
    dy = np.random.default_rng(4).normal(size=net.forward(x, train=True).shape)
    found = []
    for router in (R.DilatedBackprop(), R.Mixed({"conv*": R.DilatedBackprop()}), R.Backprop()):
        router.backward(net, dy)
        found.append(net.gradients()["conv2.W"].copy())
    np.testing.assert_array_equal(found[0], found[1])
    net = eln.models.article_case("c")
    net.forward(x, train=True)
    signals = []
    for router in (R.DilatedBackprop(), R.Mixed({"conv2": R.DilatedBackprop()}), R.Backprop()):
        seen = {}
        router.backward(
            net, dy, tap=lambda name, delta, seen=seen: seen.update({name: delta.copy()})
        )
        signals.append(seen)
    one, mixed, plain = signals
    assert not np.array_equal(mixed["elu2"], plain["elu2"])
    np.testing.assert_array_equal(mixed["elu4"], plain["elu4"])
    assert not np.array_equal(one["elu4"], plain["elu4"])


@pytest.mark.parametrize("rules", [["*", "linear2"], ["linear*", "elu*", "*"]])
def test_mixed_refuses_patterns_without_effect(rules):
    net = eln.Sequential([eln.layers.Linear(3, 3), eln.layers.ELU(), eln.layers.Linear(3, 2)])
    dy = net.forward(np.ones((2, 3)), train=True)
    with pytest.raises(ValueError, match="put specific patterns before general ones"):
        R.Mixed({pattern: R.FeedbackAlignment() for pattern in rules}).backward(net, dy)


@pytest.mark.parametrize(
    "router",
    [R.DirectFeedbackAlignment(), R.DirectRandomTargetProjection(), R.SignSymmetry("fixed")],
)
def test_a_router_of_another_network_is_told(router):
    for width in (4, 5):
        net = eln.Sequential([eln.layers.Linear(3, width), eln.layers.Linear(width, 2)])
        dy = net.forward(np.ones((2, 3)), train=True)
        if width == 4:
            router.backward(net, dy, np.array([0, 1]))
    with pytest.raises(ValueError, match="the matrix of linear2 .*use one router per network"):
        router.backward(net, dy, np.array([0, 1]))


def test_a_layer_that_cannot_send_through_another_weight_is_told():
    class Plain(eln.layers.Linear):
        def backward_input(self, dy):
            return super().backward_input(dy)

    net = eln.Sequential([eln.layers.Linear(3, 3), Plain(3, 2)])
    dy = net.forward(np.ones((2, 3)), train=True)
    R.DirectFeedbackAlignment().backward(net, dy)
    with pytest.raises(TypeError, match=r"plain1 .*expected backward_input\(dy, weight=None\)"):
        R.FeedbackAlignment().backward(net, dy)


def test_dilated_keeps_nothing_after_a_walk():
    net, router = eln.models.article_case("b"), R.DilatedBackprop()
    router.backward(net, net.forward(np.zeros((1, 32, 32, 3), np.float32), train=True))
    assert router.signals == {}
