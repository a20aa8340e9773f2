"""Sizes and values at the edge: thousands of layers, huge windows, means far from 0."""

from __future__ import annotations

import copy
import gc
import os
import time

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L
from elunet import routers as R

FULL = os.environ.get("ELUNET_HOSTILE") == "full"


class TestManyLayers:
    """Ten times as many layers take about ten times as long."""

    def seconds(self, many):
        """Return how long each thing takes that one does with a network."""
        taken = {}

        def note(name, call):
            begin = time.perf_counter()
            result = call()
            taken[name] = time.perf_counter() - begin
            return result

        layers = [L.Linear(2, 2, seed=0) if k % 2 else L.ELU() for k in range(many)]
        net = note("made", lambda: eln.Sequential(layers, seed=0))
        x = np.ones((3, 2), np.float32)
        y = note("forward", lambda: net.forward(x, train=True))
        note("backward", lambda: R.Backprop().backward(net, y))
        note("feedback", lambda: R.FeedbackAlignment().backward(net, y))
        note("step", lambda: eln.optim.SGD(0.0).step(net))
        note("inference", lambda: net(x))
        note("summary", lambda: net.summary((2,)))
        note("repr", lambda: repr(net))
        note("paths", lambda: R.DirectFeedbackAlignment().paths(net))
        return taken

    def test_nothing_is_quadratic(self):
        many = 10_000 if FULL else 3_000
        gc.disable()  # it looks through all that other tests have left
        try:
            few, all_ = self.seconds(many // 10), self.seconds(many)
        finally:
            gc.enable()
        for name, seconds in all_.items():
            assert seconds < 35 * few[name] + 0.2, name

    def test_names_and_places_are_as_with_few(self):
        net = eln.Network()
        for number in range(5):
            assert net.add(L.ELU()) == f"elu{number + 1}"
        assert net.add(L.ELU(), name="elu7") == "elu7"
        assert net.add(L.ELU()) == "elu8"
        assert net.add(L.ReLU()) == "relu1"
        for other in (copy.copy(net), copy.deepcopy(net), net):
            assert other.add(other["elu3"]) == "elu9"  # and the others get none
            assert [node.home for node in other.nodes[-2:]] == ["relu1", "elu3"]
        other = eln.Sequential([L.ELU()])
        assert other.add(net["elu3"]) == "elu2"
        assert [node.home for node in other.nodes] == ["elu1", "elu2"]  # shared within, only


class TestRouters:
    @pytest.mark.parametrize("make", [R.NormMatched, R.GradientNoise])
    def test_one_wrapped_in_itself(self, make):
        inner = make(R.Backprop())
        outer = make(make(inner))
        inner.held["router"] = outer
        net = eln.Sequential([L.Linear(2, 2)], seed=0)
        y = net.forward(np.ones((3, 2)), train=True)
        message = f"{make.__name__}: expected a router that does not hold itself"
        for call in (
            lambda: outer.backward(net, y),
            lambda: repr(outer),
            lambda: outer.state(),
            lambda: outer.parameters(),
            lambda: outer.redrawn(1),
            lambda: outer.is_random,
            lambda: outer.paths(net),
        ):
            with pytest.raises(ValueError, match=message):
                call()

    def test_one_made_again_around_itself(self):
        router = R.NormMatched(R.Backprop())
        router.__init__(router)
        with pytest.raises(ValueError, match="NormMatched: expected a router that does not hold"):
            repr(router)

    def test_one_mixed_with_itself(self):
        router = R.Mixed({"*": R.Backprop()})
        router.rules["*2"] = router
        net = eln.Sequential([L.Linear(2, 2)], seed=0)
        y = net.forward(np.ones((3, 2)), train=True)
        with pytest.raises(ValueError, match="Mixed: expected a router that does not hold itself"):
            router.backward(net, y)

    def test_one_in_two_places_is_no_loop(self):
        inner = R.FeedbackAlignment()
        net = eln.Sequential([L.Linear(2, 2), L.Linear(2, 2)], seed=0)
        y = net.forward(np.ones((3, 2)), train=True)
        R.NormMatched(R.GradientNoise(R.Mixed({"*1": inner, "*": inner}))).backward(net, y)

    @pytest.mark.parametrize("pattern", [1, None, b"*", ("*",)])
    def test_patterns_that_are_no_text(self, pattern):
        message = r"Mixed: expected patterns as strings, got .* for Backprop\(\)"
        with pytest.raises(TypeError, match=message):
            R.Mixed({pattern: R.Backprop()})

    @pytest.mark.parametrize("rules", [None, [], "*", R.Backprop(), [("*", R.Backprop())]])
    def test_rules_that_are_no_dict(self, rules):
        with pytest.raises(TypeError, match=r"Mixed: expected rules as \{pattern: router\}, got"):
            R.Mixed(rules)


class TestRounding:
    @pytest.mark.parametrize("size", [3, 7, 64, 500, 2000])
    @pytest.mark.parametrize("mean", [0.0, 1.0, -300.0])
    def test_mean_pooling(self, size, mean):
        """Each mean is right to the last bits, however many numbers it is of."""
        rng = np.random.default_rng(size)
        x = (rng.normal(size=(1, size, size, 2)) + mean).astype(np.float32)
        y = L.MeanPool2D(size).forward(x)
        exact = x.mean(axis=(1, 2), dtype=np.float64)
        largest = np.abs(x).mean()
        np.testing.assert_allclose(y[0, 0, 0], exact[0], rtol=0, atol=1.5e-7 * largest)

    @pytest.mark.parametrize("size", [3, 50, 300])
    def test_mean_pooling_back(self, size):
        """Where windows overlap, a pixel's gradient is a sum of many."""
        layer, rng = L.MeanPool2D(size, 1), np.random.default_rng(0)
        x = np.ones((1, size + 20, size + 20, 1), np.float32)
        y = layer.forward(x)
        dy = rng.normal(size=y.shape).astype(np.float32)
        dx = layer.backward(dy)
        exact = L.MeanPool2D(size, 1)
        exact.forward(x.astype(np.float64))
        expected = exact.backward(dy.astype(np.float64))
        np.testing.assert_allclose(dx, expected, rtol=0, atol=2e-6 * np.abs(expected).max())

    @pytest.mark.parametrize("mean", [0.0, 1e2, 1e4, 1e6, -1e4])
    @pytest.mark.parametrize("train", [True, False])
    def test_batch_norm_far_from_0(self, mean, train):
        """x is what float32 can hold; from there on nothing is lost."""
        rng = np.random.default_rng(0)
        x = (rng.normal(size=(4000, 3)) + mean).astype(np.float32)
        layer = L.BatchNorm(3, momentum=1.0)
        y = layer.forward(x, train=True)
        if not train:
            y = layer.forward(x)
        exact = x.astype(np.float64)
        variance = exact.var(axis=0, ddof=0 if train else 1)
        expected = (exact - exact.mean(axis=0)) / np.sqrt(variance + 1e-5)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)
        dy = rng.normal(size=x.shape).astype(np.float32)
        dx = layer.backward(dy)
        twin = L.BatchNorm(3, momentum=1.0)
        twin.forward(exact, train=True)
        if not train:
            twin.forward(exact)
        np.testing.assert_allclose(dx, twin.backward(dy.astype(np.float64)), rtol=0, atol=3e-6)
