from __future__ import annotations

import copy

import numpy as np
import pytest

from elunet.optim import SGD, Adam, PerLayer
from elunet.schedules import InverseTime, PiecewiseConstant

W = {"conv1.W": (3, 2), "conv1.b": (2,), "conv2.W": (2, 2), "conv10.W": (2, 3)}


def test_each_parameter_gets_its_own_rule(make_net):
    net, alone = make_net(W), make_net(W)
    optimizer = PerLayer({"conv1.*": SGD(0.1, momentum=0.9), "*": Adam(0.01, l2=0.1)})
    sgd, adam = SGD(0.1, momentum=0.9), Adam(0.01, l2=0.1)
    first, rest = copy.deepcopy(alone), copy.deepcopy(alone)
    for part, names in [(first, ("conv1.W", "conv1.b")), (rest, ("conv2.W", "conv10.W"))]:
        part.w = {name: part.w[name] for name in names}
    for _ in range(4):
        net.draw()
        first.g = rest.g = net.g
        optimizer.step(net)
        sgd.step(first)
        adam.step(rest)
    for name, w in net.w.items():
        np.testing.assert_array_equal(w, {**first.w, **rest.w}[name])
    assert optimizer.steps == 4
    assert optimizer.buffers.keys() == W.keys()
    assert optimizer.penalty(net) == pytest.approx(adam.penalty(rest))


def test_assign_takes_the_first_match_and_whole_names():
    optimizer = PerLayer({"conv1.*": SGD(0.1), "*.W": SGD(0.2), "*.b": SGD(0.3)})
    assert optimizer.assign(dict.fromkeys([*W, "conv10.b", "conv1.B", "conv10.B"])) == {
        "conv1.W": "conv1.*",
        "conv1.b": "conv1.*",
        "conv2.W": "*.W",
        "conv10.W": "*.W",
        "conv10.b": "*.b",
        "conv1.B": "conv1.*",
        "conv10.B": "*.W",  # a router's B goes with W, not with the bias, on every system
    }


def test_one_optimizer_under_several_patterns_clips_over_all_of_its_parameters(make_net):
    net = make_net(W)
    sgd = SGD(1.0, clip_norm=0.1)
    before = copy.deepcopy(net.w)
    PerLayer({"conv1.*": sgd, "conv2.*": SGD(1.0), "conv10.*": sgd}).step(net)
    mine = [net.g[name] for name in ("conv1.W", "conv1.b", "conv10.W")]
    scale = 0.1 / np.sqrt(sum(np.sum(g**2) for g in mine))
    for name, w in net.w.items():
        factor = 1.0 if name == "conv2.W" else scale
        np.testing.assert_allclose(w, before[name] - factor * net.g[name], rtol=1e-12)


def test_schedules_see_its_counters(make_net):
    net = make_net(W)
    optimizer = PerLayer(
        {
            "conv1.*": SGD(PiecewiseConstant({0: 0.5, 1: 0.25})),
            "*": SGD(InverseTime(1.0, 1.0, per="epoch")),
        }
    )
    assert optimizer.learning_rate() == 0.5
    for optimizer.epoch, rates in [(0, (0.5, 1.0)), (1, (0.25, 0.5)), (3, (0.25, 0.25))]:
        before = copy.deepcopy(net.w)
        optimizer.step(net)
        for name, lr in zip(("conv1.W", "conv2.W"), rates, strict=True):
            np.testing.assert_allclose(net.w[name], before[name] - lr * net.g[name], rtol=1e-12)
    assert optimizer.learning_rate() == 0.25


def test_nested(make_net):
    net = make_net(W)
    before = copy.deepcopy(net.w)
    inner = PerLayer({"*.W": SGD(0.5), "*.b": SGD(0.0)})
    optimizer = PerLayer({"conv1.*": inner, "*": SGD(1.0)})
    optimizer.step(net)
    for name, lr in [("conv1.W", 0.5), ("conv1.b", 0.0), ("conv2.W", 1.0)]:
        np.testing.assert_allclose(net.w[name], before[name] - lr * net.g[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["conv1.*", "conv2.*"], "expected a pattern for 'conv10.W', got"),
        (["*", "conv3.*"], r"pattern 'conv3.\*' to match a parameter, but it matches no names"),
        (["*", "conv1.*"], r"pattern 'conv1.\*' .* but earlier patterns match all of its names"),
        (["*", "CONV1.*"], r"pattern 'CONV1.\*' .* but it matches no names"),
    ],
)
def test_unmatched(make_net, patterns, message):
    net = make_net(W)
    before = copy.deepcopy(net.w)
    optimizer = PerLayer({pattern: SGD(0.1) for pattern in patterns})
    with pytest.raises(ValueError, match="PerLayer: .*" + message):
        optimizer.step(net)
    with pytest.raises(ValueError, match="PerLayer: .*" + message):
        optimizer.penalty(net)
    assert optimizer.steps == 0
    for name, w in net.w.items():
        np.testing.assert_array_equal(w, before[name])


@pytest.mark.parametrize(
    ("optimizers", "error", "message"),
    [
        ({}, ValueError, r"as \{pattern: optimizer\}, got \{\}"),
        (SGD(0.1), ValueError, r"as \{pattern: optimizer\}, got SGD"),
        ({"*": 0.1}, TypeError, r"a pattern with an Optimizer, got '\*': 0.1"),
        ({1: SGD(0.1)}, TypeError, "a pattern with an Optimizer, got 1: SGD"),
    ],
)
def test_bad_arguments(optimizers, error, message):
    with pytest.raises(error, match=f"PerLayer: expected .*{message}"):
        PerLayer(optimizers)


def test_it_has_no_rule_of_its_own():
    with pytest.raises(NotImplementedError, match="PerLayer"):
        PerLayer({"*": SGD(0.1)}).update(np.ones(2), np.ones(2), {}, 0.1)


def test_a_pattern_for_b_alone():
    own, rest, all_b = SGD(0.1), SGD(0.2), SGD(0.3)
    optimizer = PerLayer({"conv2.B": own, "*.B": all_b, "*": rest})
    assert optimizer.assign(dict.fromkeys(["conv1.W", "conv2.W", "conv1.B", "conv2.B"])) == {
        "conv1.W": "*",
        "conv2.W": "*",
        "conv1.B": "*.B",
        "conv2.B": "conv2.B",
    }
