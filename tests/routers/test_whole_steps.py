"""What holds for every rule that makes a step of its own: repeatable, resumed, and it learns."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from routers.cases import WHOLE_STEPS, assert_same, copied
from small_runs import Stop, assert_equal_runs

import elunet as eln
from elunet import layers as L
from elunet import routers as R

RULES = pytest.mark.parametrize("rule", WHOLE_STEPS)
LOSS = eln.losses.SoftmaxCrossEntropy()
RANDOM = {"NP", "WP", "FG weights", "FG activities", "PEPITA", "DTP"}
ADAM = {"NP": 0.01, "WP": 0.01, "FG weights": 0.01}  # learning rates; 0.003 for the others


def blobs(count, seed):
    """Return rows of four kinds: chance is a quarter."""
    centers = np.random.default_rng(0).normal(size=(4, 8))
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    return (centers[y] + rng.normal(0, 0.7, (count, 8))).astype(np.float32), y


X, Y = blobs(400, 1)
TEST = blobs(400, 2)


def network(rule, seed=0):
    """Return a chain on which the rule is defined."""
    if rule == "FF":
        norms = [L.LayerNorm(n, affine=False) for n in (32, 32)]
        layers = [L.Linear(8, 32), L.ReLU(), norms[0], L.Linear(32, 32), L.ReLU(), norms[1]]
        return eln.Sequential([*layers, L.Linear(32, 4)], seed)
    if rule == "EP":
        layers = [L.Linear(8, 32), L.ClippedReLU(1), L.Linear(32, 12), L.ClippedReLU(1)]
        return eln.Sequential([*layers, L.Linear(12, 4)], seed)
    layers = [L.Linear(8, 16), L.Tanh(), L.Linear(16, 12), L.Tanh(), L.Linear(12, 4)]
    return eln.Sequential(layers, seed)


def step(net, router, x, y, tap=None, release=False):
    """Run a step up to the gradients, and return copies of them and what the loss's was."""
    router.loss = LOSS
    _, dy = LOSS(router.forward(net, x, y), y)
    dy.flags.writeable = False
    router.backward(net, dy, y, tap, release)
    return copied(net.gradients()), dy


def train(net, router, optimizer, epochs):
    """Take a step in each epoch and return all gradients."""
    found = []
    for epoch in epochs:
        router.epoch = epoch
        found.append(step(net, router, X[epoch::20], Y[epoch::20])[0])
        optimizer.step(net, router)
    return found


@RULES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_is_repeatable_and_leaves_arrays_alone(rule, dtype):
    net, router = network(rule), WHOLE_STEPS[rule]()
    x, y = X[:10].astype(dtype), Y[:10].copy()
    before, seen = copied(net.parameters()), []

    def tap(name, delta):
        assert delta.shape == net.shapes[name]
        seen.append((delta, delta.copy()))

    grads, dy = step(net, router, x, y, tap)
    assert_same(copied(net.parameters()), before)
    np.testing.assert_array_equal(x, X[:10].astype(dtype))
    np.testing.assert_array_equal(y, Y[:10])
    for held, then in seen:
        np.testing.assert_array_equal(held, then)
    assert grads.keys() == before.keys()
    for name, gradient in grads.items():
        assert gradient.shape == before[name].shape
        assert gradient.dtype == dtype
        assert np.isfinite(gradient).all()
        assert gradient.any(), name
    assert_same(step(net, WHOLE_STEPS[rule](), x, y, release=True)[0], grads)
    with pytest.raises(RuntimeError, match="forward"):
        router.backward(net, dy, y)
    assert router.parameters().keys() == router.gradients().keys()
    for name, value in router.parameters().items():
        assert router.gradients()[name].shape == value.shape


@RULES
def test_another_rule_goes_back_through_the_same_pass(rule):
    net, twin = network(rule), network(rule)
    router = WHOLE_STEPS[rule]()
    _, dy = step(net, router, X[:10], Y[:10])
    R.Backprop().backward(net, dy)
    router.forward(twin, X[:10], Y[:10])
    R.Backprop().backward(twin, dy)
    assert_same(copied(net.gradients()), copied(twin.gradients()))


@RULES
def test_state_goes_on_to_the_bit(rule):
    net, router = network(rule), WHOLE_STEPS[rule]()
    optimizer = eln.optim.SGD(0.01, momentum=0.9)
    train(net, router, optimizer, range(3))
    state, twin, its_optimizer = router.state(), copy.deepcopy(net), copy.deepcopy(optimizer)
    first = train(net, router, optimizer, range(3, 6))
    again = WHOLE_STEPS[rule]()
    again.restore(state)
    for got, expected in zip(train(twin, again, its_optimizer, range(3, 6)), first, strict=True):
        assert_same(got, expected)
    np.testing.assert_equal(again.state(), router.state())
    for key in state:
        for bad in ({**state, key: "text"}, {k: v for k, v in state.items() if k != key}):
            with pytest.raises((TypeError, ValueError), match="expected"):
                router.restore(bad)
    np.testing.assert_equal(again.state(), router.state())


@RULES
def test_a_run_that_is_cut_and_resumed(rule, tmp_path):
    def trainer(*callbacks):
        options = {"batch_size": 10, "callbacks": [*callbacks]}
        return eln.Trainer(network(rule), LOSS, eln.optim.Adam(), WHOLE_STEPS[rule](), **options)

    data = (X[:40], Y[:40])
    whole, cut = trainer(), trainer(eln.Checkpoints(tmp_path), Stop(3))
    whole.fit(data, epochs=2)
    with pytest.raises(eln.Interrupted):
        cut.fit(data, epochs=2)
    resumed = trainer()
    resumed.resume(tmp_path)
    resumed.fit(data, epochs=2)
    assert_equal_runs(resumed, whole)


@RULES
def test_it_learns(rule):
    rate = ADAM.get(rule, 0.003)
    router = WHOLE_STEPS[rule]()
    trainer = eln.Trainer(network(rule), LOSS, eln.optim.Adam(rate), router, batch_size=20)
    *_, last = trainer.fit((X, Y), validation=TEST, epochs=15)
    assert last.validation_accuracy > 0.6  # chance is 0.25


@RULES
def test_twins(rule):
    net, router = network(rule), WHOLE_STEPS[rule]()
    mine = step(net, router, X[:10], Y[:10])[0]
    assert router.is_random == (rule in RANDOM)
    state = router.state()
    found = [step(net, router.redrawn(seed), X[:10], Y[:10])[0] for seed in (3, 3, 4)]
    assert_same(found[0], found[1])
    same = all(np.array_equal(found[0][name], found[2][name]) for name in mine)
    assert same == (rule not in RANDOM)
    np.testing.assert_equal(router.state(), state)
    twin = copy.deepcopy(router)
    assert_same(*(step(net, each, X[:10], Y[:10])[0] for each in (twin, router)))


@RULES
def test_what_it_says_of_itself(rule):
    net, router = network(rule), WHOLE_STEPS[rule]()
    step(net, router, X[:10], Y[:10])
    for path in router.paths(net):
        assert {path.source, path.target} <= {*net.names}
        assert path.kind in ("exact", "feedback", "direct")
    again = eval(repr(router), vars(R))
    assert type(again) is type(router)
    for name, value in vars(again).items():
        if isinstance(value, int | float | str) and name != "passes":
            assert getattr(router, name) == value, name
    assert router.feedback_weight(net, "linear2") is None


@RULES
def test_mixed_refuses_it(rule):
    with pytest.raises(TypeError, match="which overrides"):
        R.Mixed({"*": WHOLE_STEPS[rule]()})


@RULES
def test_a_rule_around_it(rule):
    net, router = network(rule), R.GradientNoise(WHOLE_STEPS[rule](), eta=0)
    got = step(net, router, X[:10], Y[:10])[0]
    assert_same(got, step(net, WHOLE_STEPS[rule](), X[:10], Y[:10])[0])


@RULES
def test_norms_can_be_matched(rule):
    net, router = network(rule), R.NormMatched(WHOLE_STEPS[rule]())
    got, dy = step(net, router, X[:10], Y[:10])
    R.Backprop().backward(net, dy)
    for name, exact in net.gradients().items():
        assert np.linalg.norm(got[name]) == pytest.approx(np.linalg.norm(exact), rel=1e-4)


@RULES
def test_angles_are_logged(rule):
    log = eln.experiments.AngleLog(every=1, null=2)
    options = {"batch_size": 20, "callbacks": [log]}
    trainer = eln.Trainer(network(rule), LOSS, eln.optim.SGD(0.01), WHOLE_STEPS[rule](), **options)
    trainer.fit((X[:40], Y[:40]), epochs=1)
    gradients = [row for row in log.rows if row.quantity == "gradient"]
    assert gradients
    assert all(0 <= row.angle <= 180 for row in gradients)


@RULES
def test_what_overflows_raises_no_warning(rule):
    net, router = network(rule), WHOLE_STEPS[rule]()
    with np.errstate(all="raise"):
        step(net, router, 1e30 * X[:10], Y[:10])


@RULES
def test_weights_above(rule):
    """Rules that run the later layers again, or backprop, hear of their weights, as they should."""
    found = eln.testing.weight_transport(WHOLE_STEPS[rule](), network(rule), X[:10], Y[:10])
    assert found.verdict == ("nothing" if rule in ("PEPITA", "FF") else "weights")
