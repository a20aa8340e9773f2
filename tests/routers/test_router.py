"""What all routers share: the walk with its two hooks, shown on a network with a skip."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L
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
    with pytest.raises(RuntimeError, match=r"backward before forward: .* train=True"):
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


def test_backprop_is_the_plain_router():
    assert not {"arrive", "begin"} & vars(Backprop).keys()
    assert Backprop.send is Router.send
