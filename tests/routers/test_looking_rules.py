"""What holds for every rule that asks for layers' values, made by its own forward pass."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from routers.cases import LOOKING, assert_same, copied, images

import elunet as eln
from elunet import layers as L
from elunet.losses import SoftmaxCrossEntropy

RULES = pytest.mark.parametrize("rule", LOOKING)


def mlp():
    parts = [L.Linear(4, 6), L.BatchNorm(6), L.ELU(), L.Linear(6, 5), L.Tanh(), L.Linear(5, 3)]
    return eln.Sequential(parts, seed=0)


SHAPES = {mlp: (6, 4), images: (6, 4, 4, 1)}
NETS = pytest.mark.parametrize("build", SHAPES)


def one_pass(net, router, seed=0, dtype=np.float32, tap=None):
    rng = np.random.default_rng(seed)
    shape = (6, 4) if len(net) == 6 else (6, 4, 4, 1)
    x, target = rng.normal(size=shape).astype(dtype), rng.integers(0, 3, 6)
    dy = SoftmaxCrossEntropy()(router.forward(net, x, target), target)[1]
    router.backward(net, dy, target, tap)
    return copied(net.gradients()) | copied(router.gradients())


def train(net, router, optimizer, epochs):
    found = []
    for epoch in epochs:
        router.epoch = epoch
        found.append(one_pass(net, router, epoch))
        optimizer.step(net, router)
    return found


@NETS
@RULES
def test_state_goes_on_to_the_bit(rule, build):
    net, router, optimizer = build(), LOOKING[rule](), eln.optim.SGD(0.01, momentum=0.9)
    train(net, router, optimizer, range(3))
    state, twin, its_optimizer = router.state(), copy.deepcopy(net), copy.deepcopy(optimizer)
    first = train(net, router, optimizer, range(3, 6))
    again = LOOKING[rule]()
    again.restore(state)
    for got, expected in zip(train(twin, again, its_optimizer, range(3, 6)), first, strict=True):
        assert_same(got, expected)
    np.testing.assert_equal(again.state(), router.state())


@RULES
def test_a_refused_state_changes_nothing(rule):
    router = LOOKING[rule]()
    one_pass(images(), router)
    before = router.state()
    for bad in (None, {}, {**before, "more": 1}, {**before, "drawn": {"linear1": "text"}}):
        with pytest.raises(ValueError, match="expected"):
            router.restore(bad)
    np.testing.assert_equal(router.state(), before)


@NETS
@RULES
def test_a_pass_leaves_arrays_alone_and_repeats(rule, build):
    net, router = build(), LOOKING[rule]()
    before = copied(net.parameters())
    seen = []

    def tap(name, delta):
        assert delta.shape == net.shapes[name]
        seen.append((delta, delta.copy()))

    one_pass(net, router, tap=tap)  # draws
    assert all(np.array_equal(delta, then) for delta, then in seen)
    assert_same(copied(net.parameters()), before)
    assert router.parameters().keys() == router.gradients().keys() != set()
    for name, value in router.parameters().items():
        assert router.gradients()[name].shape == value.shape
    assert_same(one_pass(build(), LOOKING[rule]()), one_pass(build(), LOOKING[rule]()))


@NETS
@RULES
def test_both_dtypes(rule, build):
    exact = one_pass(build(), LOOKING[rule](), dtype=np.float64)
    for name, value in one_pass(build(), LOOKING[rule]()).items():
        assert (value.dtype, exact[name].dtype) == (np.float32, np.float64), name
        scale = np.abs(exact[name]).max()
        np.testing.assert_allclose(
            value, exact[name], rtol=0, atol=1e-4 * scale + 1e-6, err_msg=name
        )


@RULES
def test_it_wants_its_own_forward_pass(rule):
    net = images()
    y = net.forward(np.ones((6, 4, 4, 1), np.float32), train=True)
    with pytest.raises(RuntimeError, match=r"a last forward pass by its forward\(net, x, target\)"):
        LOOKING[rule]().backward(net, y, np.zeros(6, int))


@RULES
def test_twins(rule):
    net, router = images(), LOOKING[rule]()
    mine, state = one_pass(net, router), router.state()
    assert router.is_random
    twins = [one_pass(images(), router.redrawn(seed)) for seed in (3, 3)]
    assert_same(*twins)
    assert not np.array_equal(twins[0]["conv2.W"], mine["conv2.W"])
    np.testing.assert_equal(router.state(), state)


@RULES
def test_signals_take_its_paths(rule):
    """A signal that is not zero arrives at exactly the layers to which a path leads."""
    net, router, seen = images(), LOOKING[rule](), {}
    one_pass(net, router, tap=lambda name, delta: seen.update({name: np.abs(delta).max()}))
    reached = {path.target for path in router.paths(net)} | {net.names[-1]}
    assert {name for name in net.names if seen.get(name, 0) > 0} == reached
