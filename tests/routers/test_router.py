"""What all routers share: the walk and its hooks, shown on a network with a skip."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L
from elunet import routers as R
from elunet.routers import Backprop, Router

ROUTERS = pytest.mark.parametrize("make", [Router, Backprop])


def residual():
    net = eln.Network(seed=0)
    net.add(L.Conv2D(3, 4, 3), "stem")
    net.add(L.ELU(), "act")
    net.add(L.Conv2D(4, 4, 3), "inner")
    net.add(L.BatchNorm(4), "norm")
    net.add(L.Add(), "sum", inputs=["norm", "act"])
    net.add(L.Flatten(), "flat")
    net.add(L.Linear(64, 3), "out")
    return net


def forward(net, seed=0):
    x = np.random.default_rng(seed).normal(size=(5, 4, 4, 3))
    y = net.forward(x, train=True)
    return np.random.default_rng(seed + 1).normal(size=y.shape)


def copied(net):
    return {name: value.copy() for name, value in net.gradients().items()}


@ROUTERS
def test_gradients_are_those_of_net_backward(make):
    net = residual()
    dy = forward(net)
    net.backward(dy)
    expected = copied(net)
    for value in net.gradients().values():
        value[...] = np.nan
    make().backward(net, dy)
    assert net.gradients().keys() == expected.keys()
    for name, value in net.gradients().items():
        np.testing.assert_array_equal(value, expected[name])


@ROUTERS
def test_a_router_before_a_forward_pass(make):
    with pytest.raises(RuntimeError, match=r"train=True.* before backward, got none"):
        make().backward(residual(), np.ones((5, 3)))


@ROUTERS
def test_plain_rules_learn_and_keep_nothing(make):
    router = make()
    assert router.epoch == 0
    assert router.parameters() == router.gradients() == {}
    router.epoch = 3
    assert router.state() == {"rule": make.__name__, "epoch": 3}
    assert repr(router) == f"{make.__name__}()"


@ROUTERS
def test_tap_sees_what_arrives(make):
    net, seen = residual(), {}
    dy = forward(net)
    make().backward(net, dy, tap=lambda name, delta: seen.setdefault(name, delta.copy()))
    assert list(seen) == net.names[::-1]
    np.testing.assert_array_equal(seen["out"], dy)
    np.testing.assert_array_equal(
        seen["act"], net["inner"].backward_input(seen["inner"]) + seen["sum"]
    )


class Scaled(Router):
    """Sends twice the gradient, and adds the layer's name's length to what arrives at ELUs."""

    def __init__(self):
        super().__init__()
        self.sent, self.arrived, self.given = [], [], None

    def begin(self, net, dy, target):
        self.given = net, dy, target

    def send(self, layer, dy):
        self.sent.append(self.name_of(layer))
        return 2 * layer.backward_input(dy)

    def arrive(self, layer, dy):
        self.arrived.append(self.name_of(layer))
        return dy + 1 if isinstance(layer, L.ELU) else dy


def test_the_two_hooks():
    net, router, seen = residual(), Scaled(), {}
    dy, target = forward(net), np.arange(5)
    router.backward(net, dy, target, tap=lambda name, delta: seen.setdefault(name, delta.copy()))
    assert router.given == (net, dy, target)
    assert router.sent == ["out", "inner"]  # not the stem: only the input is below it
    assert router.arrived == net.names[::-1]

    above = 2 * dy @ net["out"].params["W"].T
    np.testing.assert_allclose(seen["sum"], above.reshape(5, 4, 4, 4), rtol=1e-6)
    np.testing.assert_array_equal(seen["norm"], seen["sum"])
    inner = net["norm"].backward_input(seen["norm"])
    np.testing.assert_allclose(seen["inner"], inner)
    act = 2 * net["inner"].backward_input(seen["inner"]) + seen["sum"] + 1
    np.testing.assert_allclose(seen["act"], act)
    np.testing.assert_allclose(seen["stem"], net["act"].backward_input(act))

    got = copied(net)
    net["stem"].backward_params(seen["stem"])  # exact, given the signal that arrived
    np.testing.assert_allclose(got["stem.W"], net["stem"].grads["W"])


def test_one_router_serves_several_networks():
    router, nets = Scaled(), [residual(), eln.Sequential([L.Flatten(), L.Linear(48, 2)], seed=0)]
    for net in nets:
        router.backward(net, forward(net))
    assert router.arrived[-1] == "linear1"


class Doubled(Router):
    """Sends through 2 W, below the output layer through W."""

    def weight(self, layer):
        return None if self.name_of(layer) == "out" else 2 * layer.params["W"]


@pytest.mark.parametrize("base", [Doubled, lambda: R.Mixed({"*": Doubled()})])
def test_a_rule_that_only_chooses_a_matrix(base):
    net, router, seen = residual(), base(), {}
    dy = forward(net)
    assert router.feedback_weight(net, "inner") is None  # nothing has been sent yet
    router.backward(net, dy, tap=lambda name, delta: seen.setdefault(name, delta.copy()))
    W = net["inner"].params["W"]
    expected = net["inner"].backward_input(seen["inner"], weight=2 * W) + seen["sum"]
    np.testing.assert_array_equal(seen["act"], expected)
    np.testing.assert_array_equal(seen["flat"], net["out"].backward_input(dy))
    np.testing.assert_array_equal(router.feedback_weight(net, "inner"), 2 * W)
    for name in ("out", "stem", "act", "other"):  # its own W, nothing below, no W, no layer
        assert router.feedback_weight(net, name) is None
    assert router.feedback_weight(residual(), "inner") is None  # another network's
    kinds = {path.source: path.kind for path in router.paths(net)}
    assert (kinds["inner"], kinds["norm"]) == ("feedback", "exact")


@pytest.mark.parametrize(
    ("sent", "error", "message"),
    [
        (lambda dy: dy, ValueError, r"the layer's input shape, \(5, 64\), got .* \(5, 3\)"),
        (lambda dy: None, TypeError, r"got None; is a `return` missing\?"),
    ],
)
def test_a_send_that_returns_something_else(sent, error, message):
    class Wrong(Router):
        def send(self, layer, dy):
            return sent(dy)

    net = residual()
    with pytest.raises(error, match=rf"^out .*expected the rule's send to return .*{message}"):
        Wrong().backward(net, forward(net))


def test_send_asks_for_the_weight():
    class Both(Doubled):
        def send(self, layer, dy):
            return -super().send(layer, dy)

    found = []
    for router, sign in ((Doubled(), 1), (Both(), -1)):
        net, seen = residual(), {}
        router.backward(net, forward(net), tap=lambda name, d, s=seen: s.update({name: d.copy()}))
        found.append(sign * seen["flat"])
    np.testing.assert_array_equal(*found)


@pytest.fixture
def asked(monkeypatch):
    """Return what each walk is given, by name."""
    found, walk = [], eln.Network.walk

    def spy(self, dy, arrive=None, send=None, weight=None, *rest, **named):
        hooks = {"arrive": arrive, "send": send, "weight": weight}
        found.append({name for name, hook in hooks.items() if hook is not None})
        return walk(self, dy, arrive, send, weight, *rest, **named)

    monkeypatch.setattr(eln.Network, "walk", spy)
    return found


@pytest.mark.parametrize(
    ("router", "hooks"),
    [
        (Backprop(), set()),
        (R.FeedbackAlignment(), {"weight"}),
        (R.KolenPollack(), {"weight"}),
        (R.SignSymmetry("batchwise"), {"weight"}),
        (R.DirectFeedbackAlignment(), {"arrive", "send"}),
        (R.DilatedBackprop(), {"arrive"}),
        (R.Mixed({}), set()),
        (R.Mixed({"out": R.SignSymmetry(), "*": R.FeedbackAlignment()}), {"weight"}),
        (R.Mixed({"out": R.DirectFeedbackAlignment()}), {"arrive", "send"}),
    ],
)
def test_the_walk_asks_only_what_a_rule_decides(router, hooks, asked):
    net = residual()
    router.backward(net, forward(net))
    assert asked == [hooks]


HOOKS = pytest.mark.parametrize("hook", ["weight", "send", "arrive"])


@HOOKS
@pytest.mark.parametrize("kind", [Router, Backprop, R.Mixed])
@pytest.mark.parametrize("how", ["instance", "class", "base class"])
def test_a_hook_put_in_place_of_another_is_called(hook, kind, how, monkeypatch):
    router, net, calls = kind({"*": Backprop()}) if kind is R.Mixed else kind(), residual(), []
    place = {"instance": router, "class": kind, "base class": Router}[how]
    old = getattr(place, hook)
    monkeypatch.setattr(place, hook, lambda *given: (calls.append(given), old(*given))[1])
    router.backward(net, forward(net))
    assert len(calls) >= (len(net) if hook == "arrive" else 2)


# Networks that change, copies ---------------------------------------------------------------------


def chain():
    return eln.Sequential([L.Linear(4, 4), L.ELU(), L.Linear(4, 4), L.ELU(), L.Linear(4, 4)], 0)


CHANGING = {
    "FA": lambda: R.FeedbackAlignment(seed=1),
    "uSF": R.SignSymmetry,
    "DFA": lambda: R.DirectFeedbackAlignment(seed=1, before_pooling=True),
    "dilated": R.DilatedBackprop,
    "mixed": lambda: R.Mixed({"*2": R.DilatedBackprop(), "linear*": R.FeedbackAlignment()}),
}


@pytest.mark.parametrize("rule", CHANGING)
def test_a_layer_that_was_added_between_two_walks(rule):
    net, router = chain(), CHANGING[rule]()
    for layer in (L.ELU(), L.Linear(4, 4), None):
        y = net.forward(np.random.default_rng(0).normal(size=(5, 4)), train=True)
        found = []
        for each in (router, CHANGING[rule]()):
            each.backward(net, y)
            found.append((copied(net), each.paths(net)))
        (got, ways), (expected, its_ways) = found
        assert ways == its_ways
        for name, value in expected.items():
            np.testing.assert_array_equal(got[name], value, err_msg=name)
        if layer is not None:
            net.add(layer)


@pytest.mark.parametrize("rule", CHANGING)
@pytest.mark.parametrize("copied_by", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_knows_its_own_network(rule, copied_by):
    net, router = chain(), CHANGING[rule]()
    y = net.forward(np.random.default_rng(0).normal(size=(5, 4)), train=True)
    router.backward(net, y)
    other, twin = copied_by((net, router))
    twin.backward(other, y)
    assert [twin.name_of(layer) for layer in other] == net.names
    for name, value in net.gradients().items():
        np.testing.assert_array_equal(value, other.gradients()[name])


# Signals that are kept ----------------------------------------------------------------------------


def test_a_signal_is_kept_until_its_shortcut_ends():
    net, router, kept = chain(), R.DilatedBackprop(), {}
    y = net.forward(np.ones((5, 4)), train=True)
    router.backward(net, y, tap=lambda name, delta: kept.update({name: set(router.signals)}))
    assert kept == {
        "linear3": {"linear3"},
        "elu2": {"elu2"},  # linear3's was added here, and this one goes to elu1
        "linear2": {"elu2"},
        "elu1": set(),
        "linear1": set(),
    }


@pytest.mark.parametrize("rule", CHANGING)
def test_nothing_is_kept_after_an_error(rule):
    def fail(name, delta):
        if name == "elu1":
            raise KeyboardInterrupt

    net, router = chain(), CHANGING[rule]()
    y = net.forward(np.ones((5, 4)), train=True)
    with pytest.raises(KeyboardInterrupt):
        router.backward(net, y, tap=fail)
    rules = [router, *getattr(router, "held", {}).values()]
    assert all(rule.signals == {} for rule in rules)


def test_two_rules_whose_shortcuts_begin_at_one_layer():
    net, seen = chain(), {}
    y = net.forward(np.random.default_rng(0).normal(size=(5, 4)), train=True)
    direct = R.DirectFeedbackAlignment(seed=1)
    router = R.Mixed({"linear3": direct, "linear1": R.DilatedBackprop(dilation=2)})
    router.backward(net, y, tap=lambda name, delta: seen.update({name: delta.copy()}))
    np.testing.assert_allclose(seen["elu2"], y @ direct.B["linear3"])
    expected = net["linear2"].backward_input(seen["linear2"]) + y
    np.testing.assert_allclose(seen["elu1"], expected)


class Echo(Router):
    """Adds to what arrives at the first layer what arrived at the last."""

    def shortcuts(self, net):
        return {net.names[0]: R.Path(net.names[-1], net.names[0], "dilated")}

    def arrive(self, layer, dy):
        way = self.shortcut_at(layer)
        return dy if way is None else dy + self.signals[way.source]


def test_a_users_rule_with_a_shortcut():
    net, router, exact, seen = chain(), Echo(), {}, {}
    y = net.forward(np.random.default_rng(0).normal(size=(5, 4)), train=True)
    Backprop().backward(net, y, tap=lambda name, delta: exact.update({name: delta.copy()}))
    router.backward(net, y, tap=lambda name, delta: seen.update({name: delta.copy()}))
    np.testing.assert_array_equal(seen["linear1"], exact["linear1"] + y)
    assert ("linear3", "linear1", "dilated") in router.paths(net)


def test_backprop_is_the_plain_router():
    assert not {"arrive", "begin"} & vars(Backprop).keys()
    assert Backprop.send is Router.send
