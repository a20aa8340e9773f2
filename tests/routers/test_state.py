"""A rule's memory: it resumes exactly from a plain state, and a refused one changes nothing."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from routers.cases import MAKERS, RULES, assert_same, copied, forward, images, small, steps

import elunet as eln
from elunet import routers as R

SHAPES = {small: (6, 4), images: (6, 4, 4, 1)}
NETS = pytest.mark.parametrize("build", SHAPES)


def train(net, router, optimizer, shape, epochs):
    """Take a step in each epoch and return all gradients."""
    found = []
    for epoch in epochs:
        router.epoch = epoch
        router.backward(net, *forward(net, shape, 3, epoch))
        found.append(copied(net.gradients()))
        optimizer.step(net, router)
    return found


def written_and_read(state):
    """Return the state after a way through JSON text, its arrays kept beside it."""
    arrays = []

    def put_away(value):
        assert type(value) is np.ndarray, type(value)  # json itself takes the other plain types
        assert value.dtype.kind == "f"
        arrays.append(value)
        return {"array": len(arrays) - 1}

    def bring_back(found):
        return arrays[found["array"]] if set(found) == {"array"} else found

    return json.loads(json.dumps(state, default=put_away), object_hook=bring_back)


@NETS
@RULES
def test_state_goes_on_to_the_bit(rule, build):
    net, router, optimizer = build(), MAKERS[rule](), eln.optim.SGD(0.01, momentum=0.9)
    train(net, router, optimizer, SHAPES[build], range(3))
    state, twin, its_optimizer = router.state(), copy.deepcopy(net), copy.deepcopy(optimizer)
    kept = copy.deepcopy(state)
    first = train(net, router, optimizer, SHAPES[build], range(3, 6))
    for given in (state, written_and_read(state)):  # a state serves more than once
        again, its_net = MAKERS[rule](), copy.deepcopy(twin)
        again.restore(given)
        assert again.epoch == 2
        np.testing.assert_equal(again.state(), kept)
        got = train(its_net, again, copy.deepcopy(its_optimizer), SHAPES[build], range(3, 6))
        for step, grads in enumerate(got):
            assert_same(grads, first[step])
        assert_same(again.parameters(), router.parameters())
        np.testing.assert_equal(again.state(), router.state())
    np.testing.assert_equal(state, kept)


def spoiled(state, layers=False):
    """Yield copies of a state, each with one thing in it that should not be there, or one less."""
    for key, value in state.items():
        if isinstance(value, dict):
            yield from (
                {**state, key: worse}
                for worse in spoiled(value, layers=key in ("drawn", "deviation"))
            )
            wrong = [None, 1, [value], {**value, "conv99": "text"}, {**value, 3: np.zeros(1)}]
        elif isinstance(value, np.ndarray):
            wrong = [None, 0.5, value.tolist(), value.astype(int), value.astype(object)]
        else:
            wrong = [None, np.random.default_rng(0), "Router9", np.zeros(2), True]
            wrong += [-1, 0.5] if isinstance(value, int) else [float("nan")]
        yield from ({**state, key: worse} for worse in wrong)
        if not layers:  # a layer's matrix may be missing: it may not have been drawn yet
            yield {name: item for name, item in state.items() if name != key}


@RULES
def test_a_refused_state_changes_nothing(rule):
    net, router = images(), MAKERS[rule]()
    train(net, router, eln.optim.SGD(0.01), SHAPES[images], range(2))
    before, fresh = router.state(), MAKERS[rule]().state()
    fresh["epoch"] = 9
    for bad in [None, [1], {}, {**fresh, "more": 1}, *spoiled(before), *spoiled(fresh)]:
        with pytest.raises((TypeError, ValueError), match="expected"):
            router.restore(bad)
    np.testing.assert_equal(router.state(), before)
    router.restore(fresh)
    np.testing.assert_equal(router.state(), fresh)


@RULES
def test_a_state_of_another_kind(rule):
    router = MAKERS[rule]()
    for other in MAKERS.values():
        if type(other()) is not type(router):
            with pytest.raises(ValueError, match="expected a state"):
                router.restore(other().state())


def test_a_state_of_other_rules_inside():
    for one, other in ((R.Backprop(), R.FeedbackAlignment()), (R.SignSymmetry(), R.Backprop())):
        with pytest.raises(ValueError, match="expected a state of"):
            R.NormMatched(one).restore(R.NormMatched(other).state())
    with pytest.raises(
        ValueError, match=r"expected a state with the states of \['\*'\], got \['a\*'\]"
    ):
        R.Mixed({"*": R.Backprop()}).restore(R.Mixed({"a*": R.Backprop()}).state())


def test_a_refused_child_leaves_its_brothers_alone():
    def pair(seed):
        return R.Mixed({"*1": R.FeedbackAlignment(seed), "*": R.FeedbackAlignment(seed)})

    net, router, other = small(), pair(0), pair(1)
    for each in (router, other):
        each.backward(net, *forward(net, (6, 4), 3))
    before, state = router.state(), other.state()
    state["held"]["*"]["drawn"]["linear3"] = "text"  # the last thing that is looked at
    with pytest.raises(ValueError, match="expected drawn of linear3 as a float array, got 'text'"):
        router.restore(state)
    np.testing.assert_equal(router.state(), before)


def test_a_state_shares_nothing_with_its_router():
    net, router = small(), R.KolenPollack(seed=1)
    steps(net, router, eln.optim.SGD(0.1), range(2))
    state = router.state()
    kept = copy.deepcopy(state)
    again = R.KolenPollack(seed=1)
    again.restore(state)
    steps(net, router, eln.optim.SGD(0.1), range(2))
    steps(net, again, eln.optim.SGD(0.1), range(2))
    np.testing.assert_equal(state, kept)


def test_an_epoch_of_numpys_becomes_a_plain_number():
    router = R.DilatedBackprop()
    router.epoch = np.int64(3)
    assert type(router.state()["epoch"]) is int
