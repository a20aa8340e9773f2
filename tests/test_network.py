"""Networks: names, graphs, the walk back, seeds, and who owns which memory."""

from __future__ import annotations

import copy
import pickle
import re
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elunet as eln
from elunet import layers as L
from elunet.engine import threads as parallel
from elunet.engine.memory import Workspace
from elunet.network import multiply_adds
from elunet.testing import check_network


def batch(n=4, side=6, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=(n, side, side, 3)).astype(dtype)


def chain(seed=0):
    """Return a small chain for (N, 6, 6, 3)."""
    layers = [
        L.Conv2D(3, 4, 3),
        L.ELU(),
        L.MaxPool2D(),
        L.Dropout(0.3),
        L.Conv2D(4, 5, 2),
        L.BatchNorm(5),
        L.ELU(),
        L.Flatten(),
        L.Linear(45, 3),
    ]
    return eln.Sequential(layers, seed=seed)


def residual(seed=0):
    """Return a graph in which a path splits three ways, meets again, and splits the input too."""
    net = eln.Network(seed=seed)
    net.add(L.Conv2D(3, 4, 3), "stem")
    net.add(L.ELU(), "act")
    net.add(L.Conv2D(4, 4, 3), "left")
    net.add(L.Tanh(), "left_act")
    net.add(L.Conv2D(4, 4, 1), "right", inputs="act")
    net.add(L.Conv2D(3, 4, 1), "short", inputs="input")
    net.add(L.Add(), "sum", inputs=["left_act", "right", "act", "short"])
    net.add(L.GlobalMeanPool2D(), "pool")
    net.add(L.Linear(4, 3), "out")
    return net


class TestNames:
    def test_kind_and_count(self):
        net = chain()
        assert net.names == [
            *("conv1", "elu1", "maxpool1", "dropout1", "conv2"),
            *("batchnorm1", "elu2", "flatten1", "linear1"),
        ]
        assert len(net) == 9
        assert net["conv2"] is net.layers[4]
        assert list(net.parameters()) == [
            *("conv1.W", "conv1.b", "conv2.W", "conv2.b"),
            *("batchnorm1.gamma", "batchnorm1.beta", "linear1.W", "linear1.b"),
        ]

    def test_a_default_name_steps_around_given_ones(self):
        net = eln.Network()
        assert net.add(L.ELU(), name="elu2") == "elu2"
        assert net.add(L.ELU()) == "elu3"
        assert net.add(L.ReLU(), name="elu4") == "elu4"
        assert net.add(L.ELU()) == "elu5"

    @pytest.mark.parametrize("name", ["", "conv1.W", "a*", "a?", "[a]", "input", 3])
    def test_names_that_cannot_be(self, name):
        with pytest.raises(
            ValueError, match=r"Network.add: expected name .* got " + re.escape(repr(name))
        ):
            eln.Network().add(L.ELU(), name=name)

    def test_a_layer_without_train(self):
        class Half(L.Layer):
            def forward(self, x):
                return x / 2

            def backward_input(self, dy):
                return dy / 2

        expected = r"expected Half with forward\(self, x, train=False\), got forward\(self, x\)$"
        with pytest.raises(TypeError, match=expected):
            eln.Network().add(Half())

    def test_a_taken_name(self):
        net = eln.Network()
        net.add(L.ELU(), "a")
        with pytest.raises(
            ValueError, match="Network.add: expected a new name, got 'a', which is t"
        ):
            net.add(L.ELU(), "a")
        assert net.names == ["a"]

    def test_an_unknown_name(self):
        with pytest.raises(KeyError, match=r"expected one of \['conv1', .*, got 'conv9'"):
            chain()["conv9"]

    def test_iteration_and_membership(self):
        net = chain()
        assert list(net) == net.layers
        assert "conv2" in net
        assert net["conv2"] in net
        assert "conv9" not in net
        assert L.ELU() not in net

    def test_repr_shows_the_graph(self):
        text = repr(residual())
        assert text.startswith("Network(\n  stem: Conv2D(3->4, 3x3) of input\n")
        assert "  sum: Add() of left_act, right, act, short\n" in text


class TestGraph:
    def test_what_is_no_layer(self):
        with pytest.raises(TypeError, match=r"expected layer as a Layer, got .*subclasses elunet"):
            eln.Network().add(lambda x: x)

    def test_a_layer_that_was_not_made_ready(self):
        class Hasty(L.Layer):
            def __init__(self):
                self.size = 3

        message = r"got a Hasty without; its __init__ has to call super\(\).__init__\(\) first"
        with pytest.raises(TypeError, match=message):
            eln.Network().add(Hasty())

    @pytest.mark.parametrize("layers", [L.Linear(3, 2), None, 3])
    def test_what_is_no_list_of_layers(self, layers):
        message = f"Sequential: expected layers as a list of layers, got {layers!r}"
        with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
            eln.Sequential(layers)

    def test_an_unknown_input(self):
        net = eln.Network()
        net.add(L.ELU())
        message = "Network.add: expected inputs of add1 among ['input', 'elu1'], got 'elu2'"
        with pytest.raises(ValueError, match=re.escape(message)):
            net.add(L.Add(), inputs=["elu1", "elu2"])

    def test_no_input(self):
        with pytest.raises(ValueError, match="expected at least one input of add1, got none"):
            eln.Network().add(L.Add(), inputs=[])

    def test_a_layer_that_nothing_takes(self):
        net = eln.Network()
        net.add(L.ELU(), "a")
        net.add(L.ELU(), "b", inputs="a")
        net.add(L.ELU(), "c", inputs="a")
        with pytest.raises(
            ValueError,
            match="except the last to be the input of another layer, got b, whose output",
        ):
            net.forward(np.ones((2, 3)))

    def test_no_layers(self):
        with pytest.raises(RuntimeError, match="expected at least one layer, got none"):
            eln.Network().forward(np.ones((2, 3)))
        with pytest.raises(RuntimeError, match="before backward, got none"):
            eln.Network().backward(np.ones((2, 3)))

    def test_a_graph_computes_what_it_says(self):
        net, x = residual(), batch(dtype=np.float64)
        stem = net["act"].forward(net["stem"].forward(x))
        left = net["left_act"].forward(net["left"].forward(stem))
        total = left + net["right"].forward(stem) + stem + net["short"].forward(x)
        expected = net["out"].forward(total.mean(axis=(1, 2)))
        np.testing.assert_allclose(net.forward(x), expected, rtol=1e-12)

    def test_the_same_input_twice(self):
        net = eln.Network()
        net.add(L.Linear(3, 3, seed=0), "a")
        net.add(L.Add(), inputs=["a", "a"])
        x = np.random.default_rng(0).normal(size=(2, 3))
        np.testing.assert_allclose(net.forward(x, train=True), 2 * net["a"].forward(x))
        net.forward(x, train=True)
        dx = net.backward(np.ones((2, 3)))
        np.testing.assert_allclose(dx, 2 * np.ones((2, 3)) @ net["a"].params["W"].T)

    @pytest.mark.parametrize("make", [chain, residual])
    def test_gradients_where_paths_split_are_summed(self, make):
        x = batch(3, dtype=np.float64)
        target = np.array([0, 2, 1])
        check_network(make(), x, target, eln.losses.SoftmaxCrossEntropy())

    def test_a_layer_may_be_last_that_has_no_parameters(self):
        net = eln.Sequential([L.Flatten(), L.Tanh()])
        x = batch()
        y = net.forward(x, train=True)
        np.testing.assert_allclose(net.backward(np.ones_like(y)), 1 - np.tanh(x) ** 2, rtol=1e-5)
        assert net.parameters() == net.gradients() == {}


class TestPasses:
    def test_call_is_forward_without_training(self):
        net, x = chain(), batch()
        np.testing.assert_array_equal(net(x), net.forward(x))
        np.testing.assert_array_equal(net(x), net.forward(x, train=False))

    @pytest.mark.parametrize("size", [1, 3, 4, 100])
    def test_predict_in_batches(self, size):
        net, x = chain(), batch(7)
        y = net.predict(x, batch_size=size)
        np.testing.assert_allclose(y, net.forward(x), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(
        ("size", "kind"), [(0, ValueError), (2.5, TypeError), (True, TypeError)]
    )
    def test_bad_batch_sizes(self, size, kind):
        with pytest.raises(kind, match=r"Network.predict: expected batch_size .*, got"):
            chain().predict(batch(), batch_size=size)

    def test_an_empty_batch(self):
        net = residual()
        x = batch(0)
        assert net.predict(x).shape == (0, 3)
        y = net.forward(x, train=True)
        assert net.backward(np.ones_like(y)).shape == x.shape
        for value in net.gradients().values():
            np.testing.assert_array_equal(value, 0)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_dtype_of_x_rules(self, dtype):
        net = chain()
        before = net.parameters()
        y = net.forward(batch(dtype=dtype), train=True)
        dx = net.backward(np.ones(y.shape, np.float64))
        assert y.dtype == dx.dtype == dtype
        assert all(value.dtype == dtype for value in net.gradients().values())
        for name, value in net.parameters().items():
            assert value is before[name]
            assert value.dtype == np.float32

    def test_training_keeps_what_inference_does_not(self):
        net, x = chain(), batch()
        net.forward(x, train=True)
        assert all(layer._kept is not None for layer in net.layers)
        y = net.forward(x)
        assert all(layer._kept is None for layer in net.layers)
        with pytest.raises(
            RuntimeError, match=r"Network: expected forward.*train=True.* before backward, got none"
        ):
            net.backward(y)
        with pytest.raises(RuntimeError, match=r"train=False keeps nothing"):
            eln.routers.Backprop().backward(net, y)

    def test_a_pass_that_failed_is_none(self):
        net = chain()
        y = net.forward(batch(), train=True)
        with pytest.raises(ValueError, match="expected x"):
            net.forward(batch(side=6)[..., :2], train=True)
        with pytest.raises(RuntimeError, match="before backward, got none"):
            net.backward(y)

    def test_a_layer_added_since_has_seen_nothing(self):
        net = chain()
        y = net.forward(batch(), train=True)
        net.add(L.ELU())
        with pytest.raises(RuntimeError, match="before backward, got none"):
            net.backward(y)

    def test_gradients_are_overwritten(self):
        net, x = residual(), batch()
        y = net.forward(x, train=True)
        net.backward(y)
        first = {name: value.copy() for name, value in net.gradients().items()}
        net.backward(y)
        for name, value in net.gradients().items():
            np.testing.assert_array_equal(value, first[name])

    def test_parameters_are_live(self):
        net, x = chain(), batch()
        y = net.forward(x)
        net.parameters()["linear1.b"] += 1
        np.testing.assert_allclose(net.forward(x), y + 1, rtol=1e-5)
        net.forward(x, train=True)
        net.backward(y)
        assert net.gradients()["conv1.W"] is net["conv1"].grads["W"]

    def test_shape_errors_name_the_layer_and_its_place(self):
        net = chain()
        message = (
            "linear1 (layer 9 of 9, after flatten1): Linear(45->3): expected x of shape (N, 45),"
            " got (2, 80)"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            net.forward(batch(2, side=8))

    @pytest.mark.parametrize("make", [chain, residual])
    def test_jvp_is_the_gradient_from_the_other_side(self, make):
        net, rng = make(), np.random.default_rng(3)
        y = net.forward(batch(dtype=np.float64), train=True)
        dy = rng.standard_normal(y.shape)
        dx = net.backward(dy)
        moves = {name: rng.standard_normal(p.shape) for name, p in net.parameters().items()}
        expected = sum(np.vdot(net.gradients()[name], move) for name, move in moves.items())
        np.testing.assert_allclose(np.vdot(dy, net.jvp(moves)), expected, rtol=1e-9)
        move = rng.standard_normal(dx.shape)
        np.testing.assert_allclose(
            np.vdot(dy, net.jvp({"input": move})), np.vdot(dx, move), rtol=1e-9
        )
        seen = {}
        net.walk(dy, tap=lambda name, delta: seen.update({name: delta.copy()}))
        for name, delta in seen.items():
            move = rng.standard_normal(delta.shape)
            got = np.vdot(dy, net.jvp({name: move}))
            np.testing.assert_allclose(got, np.vdot(delta, move), rtol=1e-9)
        np.testing.assert_array_equal(net.jvp({}), np.zeros_like(y))

    def test_jvp_of_shared_weights_moves_every_place(self):
        net = eln.Network(seed=0)
        layer = eln.layers.Linear(3, 3)
        for name in ("one", "elu", "two"):
            net.add(eln.layers.ELU() if name == "elu" else layer, name=name)
        rng = np.random.default_rng(0)
        y = net.forward(rng.standard_normal((4, 3)), train=True)
        net.backward(dy := rng.standard_normal(y.shape))
        move = rng.standard_normal((3, 3))
        got = np.vdot(dy, net.jvp({"one.W": move}))
        np.testing.assert_allclose(got, np.vdot(net.gradients()["one.W"], move), rtol=1e-9)

    def test_jvp_names_what_does_not_fit(self):
        net = chain()
        with pytest.raises(RuntimeError, match="train=True.* before jvp, got none"):
            net.jvp({})
        net.forward(batch(), train=True)
        with pytest.raises(ValueError, match=r"expected names in tangents among .*\['conv9.W'\]"):
            net.jvp({"conv9.W": np.zeros(3)})
        with pytest.raises(
            ValueError, match=r'expected tangents\["input"\] of shape .* got \(3,\)'
        ):
            net.jvp({"input": np.zeros(3)})

        class Plain(eln.layers.Layer):
            def forward(self, x, train=False):
                return x + 0.0

            def backward_input(self, dy):
                return dy

        net = eln.Sequential([eln.layers.Linear(2, 2), Plain()])
        net.forward(np.ones((1, 2)), train=True)
        with pytest.raises(NotImplementedError, match=r"plain1.*Plain\(\): .* define tangent"):
            net.jvp({"input": np.ones((1, 2))})

    def test_errors_on_the_way_back_name_the_layer_and_its_place(self):
        net = chain()
        y = net.forward(batch(), train=True)
        net["flatten1"].backward_input = lambda dy: dy[:, :1]
        message = (
            "flatten1 (layer 8 of 9, after elu2): Flatten(): expected backward_input to return an"
            " array of the layer's input shape, (4, "
        )
        for back in (net.backward, lambda dy: eln.routers.Backprop().backward(net, dy)):
            with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
                back(y)

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (UnicodeDecodeError("utf-8", b"", 0, 1, "why"), ValueError),
            (np.exceptions.DTypePromotionError("why"), TypeError),
            (np.linalg.LinAlgError("why"), np.linalg.LinAlgError),
        ],
    )
    def test_errors_of_any_class_are_named(self, error, kind):
        def fail(x, train):
            raise error

        net = eln.Sequential([L.ELU()])
        net["elu1"].forward = fail
        with pytest.raises(kind, match="^elu1 .*why") as caught:
            net(np.ones((2, 3)))
        assert caught.value.__cause__ is error

    def test_type_errors_are_type_errors(self):
        with pytest.raises(
            TypeError, match=r"^Network: expected x of dtype float32 or .* got uint8"
        ):
            chain().forward(np.ones((2, 6, 6, 3), np.uint8))
        with pytest.raises(TypeError, match=r"got uint8; images go through eln.data.standardize"):
            chain().forward(np.ones((2, 6, 6, 3), np.uint8))
        with pytest.raises(TypeError, match=r"^Network: expected x as a NumPy array, got list"):
            chain().forward([1.0])
        net = eln.Network()
        net.add(L.ELU())
        net.add(L.Add())
        with pytest.raises(
            TypeError, match=r"^add1 \(layer 2 of 2, after elu1\): Add\(\): expected x"
        ):
            net.forward(np.ones((2, 3)))

    def test_a_gradient_of_the_wrong_shape_or_kind(self):
        net = chain()
        net.forward(batch(), train=True)
        message = "Network: expected dy of the output's shape (4, 3), got (4, 1)"
        with pytest.raises(ValueError, match=re.escape(message)):
            net.backward(np.ones((4, 1)))
        with pytest.raises(
            TypeError, match="Network: expected dy of dtype float32 or float64, got i"
        ):
            net.backward(np.ones((4, 3), int))

    def test_nothing_given_is_written(self):
        net, x = residual(), batch()
        x.flags.writeable = False
        y = net.forward(x, train=True)
        dy = np.ones_like(y)
        dy.flags.writeable = False
        net.backward(dy)

    def test_a_copy_is_independent(self):
        net, x = chain(), batch()
        other = copy.deepcopy(net)
        y = other.forward(x)
        net.parameters()["linear1.b"] += 1
        np.testing.assert_array_equal(other.forward(x), y)
        net.forward(x, train=True)
        y = copy.deepcopy(net).backward(np.ones((4, 3), np.float32))
        assert y.shape == x.shape


class Waiting(L.Tanh):
    """Tells that a pass is inside, and waits until it may continue."""

    def __init__(self):
        super().__init__()
        self.inside, self.go_on = threading.Event(), threading.Event()

    def wait(self):
        self.inside.set()
        assert self.go_on.wait(60)

    def forward(self, x, train=False):
        self.wait()
        return super().forward(x, train)

    def backward_input(self, dy):
        self.wait()
        return super().backward_input(dy)


class TestThreads:
    @pytest.mark.parametrize("passes", ["forward", "backward"])
    def test_one_at_a_time(self, passes):
        net, other = eln.Sequential([Waiting()]), eln.Sequential([L.Tanh()])
        gate, x = net["waiting1"], np.linspace(-1, 1, 6).reshape(2, 3)
        gate.go_on.set()
        net.forward(x, train=True)
        expected = net.backward(x)
        gate.inside.clear()
        gate.go_on.clear()
        got = []
        work = {"forward": lambda: net.forward(x, train=True), "backward": lambda: net.backward(x)}
        thread = threading.Thread(target=lambda: got.append(work[passes]()))
        thread.start()
        assert gate.inside.wait(60)
        try:
            for again in (lambda: net(x), lambda: net.backward(x), lambda: net.predict(x)):
                with pytest.raises(RuntimeError, match="Sequential: a network runs in one thread"):
                    again()
            np.testing.assert_allclose(other(x), np.tanh(x))  # another network is free to run
        finally:
            gate.go_on.set()
            thread.join()
        np.testing.assert_allclose(got[0], np.tanh(x) if passes == "forward" else expected)
        if passes == "forward":  # of which this thread would take the gradient
            with pytest.raises(RuntimeError, match="another thread has run a forward pass since"):
                net.backward(x)
        else:
            np.testing.assert_allclose(net.backward(x), expected)  # nobody disturbed the pass

    def test_a_failed_pass_lets_others_in(self):
        net = eln.Sequential([L.Linear(3, 2)])
        with pytest.raises(ValueError, match="linear1"):
            net(np.ones((2, 4)))
        got = []
        thread = threading.Thread(target=lambda: got.append(net(np.ones((2, 3)))))
        thread.start()
        thread.join()
        assert got[0].shape == (2, 2)

    def test_within_a_pass_its_own_thread_may_run_it(self):
        net, x = chain(), batch()
        expected = net(x)
        net.forward(x, tap=lambda name, y: np.testing.assert_array_equal(net(x), expected))

    def test_copies_and_pickles(self):
        net, x = chain(), batch()
        for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            np.testing.assert_array_equal(other(x), net(x))


class TestWalk:
    def walk(self, net, dy, **more):
        seen = []
        down = net.walk(
            dy,
            arrive=lambda layer, dy: dy,
            send=lambda layer, dy: layer.backward_input(dy),
            tap=lambda name, dy: seen.append((name, dy)),
            **more,
        )
        return down, seen

    def test_tap_sees_every_signal_from_the_end_to_the_start(self):
        net, x = residual(), batch(dtype=np.float64)
        dy = np.random.default_rng(1).normal(size=(4, 3))
        net.forward(x, train=True)
        down, seen = self.walk(net, dy, to_input=True)
        assert [name for name, _ in seen] == net.names[::-1]
        signals = dict(seen)
        np.testing.assert_array_equal(signals["out"], dy)
        act = (
            net["left"].backward_input(signals["left"])
            + net["right"].backward_input(signals["right"])
            + signals["sum"]
        )
        np.testing.assert_allclose(signals["act"], act, rtol=1e-12)
        np.testing.assert_allclose(
            down,
            net["stem"].backward_input(signals["stem"])
            + net["short"].backward_input(signals["sum"]),
            rtol=1e-12,
        )

    def test_forward_tap_sees_every_output_in_order(self):
        net, x = residual(), batch()
        seen = []
        y = net.forward(x, tap=lambda name, y: seen.append((name, y)))
        assert [name for name, _ in seen] == net.names
        assert seen[-1][1] is y

    def test_the_input_gradient_is_skipped(self, monkeypatch):
        """Nor is anything sent through earlier layers which nothing learns."""
        net = eln.Sequential([L.Tanh(), L.Conv2D(3, 2, 3), L.ELU(), L.Flatten()], seed=0)
        y = net.forward(batch(), train=True)
        expected = net.backward(y)
        expected_grads = {name: value.copy() for name, value in net.gradients().items()}
        for name in ("tanh1", "conv1"):
            monkeypatch.setattr(net[name], "backward_input", None)
        down, seen = self.walk(net, y)
        assert down is None
        assert [name for name, _ in seen] == ["flatten1", "elu1", "conv1"]
        for name, value in net.gradients().items():
            np.testing.assert_array_equal(value, expected_grads[name])
        assert expected.shape == (4, 6, 6, 3)

    @pytest.mark.parametrize("order", [["conv", "input"], ["input", "conv"], ["input", "input"]])
    def test_where_the_input_is_added_its_gradient_is_whole_or_none(self, order):
        net = eln.Network(seed=0)
        net.add(L.Conv2D(3, 3, 3), "conv", inputs="input")
        net.add(L.Add(), "sum", inputs=order)
        net.add(L.Conv2D(3, 2, 1), "top")
        if "conv" not in order:
            net.add(L.Conv2D(3, 2, 1), "left", inputs="conv")
            net.add(L.Add(), "end", inputs=["top", "left"])
        y = net.forward(batch(dtype=np.float64), train=True)
        assert self.walk(net, y)[0] is None
        down, seen = self.walk(net, y, to_input=True)
        signals = dict(seen)
        expected = signals["sum"] * order.count("input")
        expected = expected + net["conv"].backward_input(signals["conv"])
        np.testing.assert_allclose(down, expected, rtol=1e-12)

    def test_only_weighted_layers_send(self):
        net = chain()
        y = net.forward(batch(), train=True)
        sent, arrived = [], []

        def arrive(layer, dy):
            arrived.append(layer)
            return dy

        def send(layer, dy):
            sent.append(layer)
            return layer.backward_input(dy)

        net.walk(y, arrive, send)
        assert sent == [net["linear1"], net["conv2"]]  # and not conv1, below which nothing learns
        assert arrived == net.layers[::-1]


class TestSeeds:
    def test_each_layer_has_one_of_its_own(self):
        layers = [L.Linear(3, 3), L.Linear(3, 3), L.Linear(3, 3, seed=5), L.Dropout(0.5)]
        net = eln.Sequential(layers, seed=0)
        W = [layer.params["W"] for layer in net.layers[:3]]
        assert (W[0] != W[1]).any()
        np.testing.assert_array_equal(W[2], L.Linear(3, 3, seed=5).params["W"])

    @pytest.mark.parametrize("make", [chain, residual])
    @pytest.mark.parametrize("seed", [0, 7])
    def test_they_are_reproducible(self, make, seed):
        nets = [make(seed), make(seed), make(np.random.SeedSequence(seed))]
        x = batch()
        outputs = [[net.forward(x, train=True) for _ in range(2)] for net in nets]  # masks, too
        for other in outputs[1:]:
            np.testing.assert_array_equal(outputs[0], other)
        assert (make(seed + 1).forward(x) != nets[0].forward(x)).any()

    def test_a_seed_depends_on_the_place_alone(self):
        short = eln.Sequential([L.Linear(3, 3), L.Linear(3, 3)], seed=0)
        long = eln.Sequential([L.Linear(3, 3), L.Linear(3, 3), L.Linear(3, 3)], seed=0)
        np.testing.assert_array_equal(short["linear2"].params["W"], long["linear2"].params["W"])

    def test_a_seed_sequence_keeps_its_place_in_a_family(self):
        first, second = np.random.SeedSequence(0).spawn(2)
        nets = [eln.Sequential([L.Linear(3, 3)], seed=seed) for seed in (first, second, 0)]
        W = [net["linear1"].params["W"] for net in nets]
        assert (W[0] != W[1]).any()
        assert (W[0] != W[2]).any()
        assert first.n_children_spawned == 0

    def test_a_generator(self):
        nets = [
            eln.Sequential([L.Linear(3, 3), L.Linear(3, 3)], seed=np.random.default_rng(0))
            for _ in range(2)
        ]
        W = [[layer.params["W"] for layer in net.layers] for net in nets]
        np.testing.assert_array_equal(W[0], W[1])
        assert (W[0][0] != W[0][1]).any()

    @pytest.mark.parametrize("first", [None, 0])
    def test_what_was_learned_stays_in_the_next_network(self, first):
        trained = eln.Sequential([L.Linear(3, 3), L.Dropout(0.5)], seed=first)
        W = trained["linear1"].params["W"]
        W += 1
        learned = W.copy()
        longer = eln.Sequential([*trained.layers, L.Linear(3, 2)], seed=1)
        assert longer["linear1"].params["W"] is W
        np.testing.assert_array_equal(W, learned)
        new = eln.Sequential([L.ELU(), L.ELU(), L.Linear(3, 2)], seed=1)
        np.testing.assert_array_equal(longer["linear2"].params["W"], new["linear1"].params["W"])

    def test_weights_assigned_by_hand(self):
        """They stay without a network's seed, or with one of the layer's own."""
        W = np.ones((3, 3), np.float32)
        for own, seed, stays in [(None, None, True), (5, 1, True), (None, 1, False)]:
            layer = L.Linear(3, 3, seed=own)
            layer.params["W"] = W
            eln.Sequential([layer], seed=seed)
            assert (layer.params["W"] is W) == stays

    def test_without_one_every_network_differs(self):
        nets = [eln.Sequential([L.Linear(3, 3)]) for _ in range(2)]
        assert (nets[0]["linear1"].params["W"] != nets[1]["linear1"].params["W"]).any()


class TestSummary:
    def test_table(self):
        net = chain()
        lines = net.summary((6, 6, 3)).splitlines()
        assert lines[0].split() == [
            *("layer", "kind", "takes", "output", "shape", "parameters", "multiply-adds")
        ]
        assert set(lines[1]) == set(lines[-2]) == {"-"}
        assert len(lines) == len(net) + 4
        conv = lines[2].split()
        assert conv[0] == "conv1"
        assert conv[-2:] == ["112", f"{36 * 27 * 4:,}"]
        assert "(6, 6, 4)" in lines[2]
        total = sum(value.size for value in net.parameters().values())
        adds = 36 * 27 * 4 + 9 * 16 * 5 + 45 * 3
        assert lines[-1].split() == ["total", str(total), f"{adds:,}"]
        assert len({len(line) for line in lines[:1] + lines[2:-2] + lines[-1:]}) == 1

    def test_multiply_adds_of_single_layers(self):
        assert multiply_adds(L.Linear(4, 3), (7, 3)) == 12
        assert multiply_adds(L.Conv2D(2, 3, 3), (7, 5, 4, 3)) == 20 * 54
        grouped = L.Conv2D(4, 6, 3, groups=2, dilation=2)
        assert multiply_adds(grouped, (7, 5, 4, 6)) == 20 * 9 * 2 * 6
        assert multiply_adds(L.Conv2D(4, 4, 3, groups=4), (7, 5, 4, 4)) == 20 * 9 * 4
        local = L.LocallyConnected2D((7, 6), 2, 3, 3)
        assert multiply_adds(local, (7, 5, 4, 3)) == 20 * 54 == local.params["W"].size
        assert multiply_adds(L.BatchNorm(3), (7, 3)) == 0

    def test_a_pending_backward_pass_is_left_alone(self):
        nets, x = [chain(), chain()], batch(dtype=np.float64)
        gradients = []
        for net in nets:
            y = net.forward(x, train=True)
            if net is nets[0]:
                net.summary((6, 6, 3))
            gradients.append([net.backward(y), *net.gradients().values()])
        for got, expected in zip(*gradients, strict=True):
            np.testing.assert_array_equal(got, expected)

    def test_shapes_that_do_not_fit(self):
        with pytest.raises(ValueError, match="conv1 .layer 1 of 9, after input.: Conv2D"):
            chain().summary((3, 6, 6))


class Memory:
    """A network run in any order, whose every result is held and compared at the end."""

    def __init__(self, net):
        self.net = net
        self.held = []

    def hold(self, *results):
        self.held += [(result, result.copy()) for result in results]

    def train(self, n, seed):
        y = self.net.forward(batch(n, 24, seed=seed), train=True, tap=lambda _, y: self.hold(y))
        dy = np.ones_like(y)
        self.hold(y, self.net.backward(dy))
        router = eln.routers.Backprop()
        router.backward(self.net, dy, tap=lambda name, delta: self.hold(delta))

    def infer(self, n, seed):
        self.hold(self.net.forward(batch(n, 24, seed=seed)))

    def predict(self, n, seed):
        self.hold(self.net.predict(batch(2 * n, 24, seed=seed), batch_size=n))

    def check(self):
        for result, then in self.held:
            np.testing.assert_array_equal(result, then)


def images_only(seed=0):
    """Return a network whose output is large enough to lie in the workspace."""
    net = eln.Network(seed=seed)
    net.add(L.Conv2D(3, 8, 3), "stem")
    net.add(L.ELU(), "a")
    net.add(L.Conv2D(8, 8, 1), "b")
    net.add(L.ReLU(), "c")
    net.add(L.Add(), "sum", inputs=["a", "c"])
    net.add(L.MaxPool2D(3, 1), "pool")
    net.add(L.Conv2D(8, 4, 2), "conv")
    net.add(L.Tanh(), "tanh")
    return net


@pytest.mark.jit
class TestMemory:
    @settings(max_examples=12)
    @given(
        steps=st.lists(
            st.tuples(
                st.sampled_from(["train", "infer", "predict"]), st.integers(1, 9), st.integers(0, 9)
            ),
            min_size=2,
            max_size=6,
        )
    )
    def test_what_was_handed_out_never_changes(self, steps):
        memory = Memory(images_only())
        for what, n, seed in steps:
            getattr(memory, what)(n, seed)
        memory.check()

    @pytest.mark.parametrize("held", [0, 3])
    def test_it_does_not_grow(self, held):
        threads = eln.get_num_threads()
        parallel.set_num_threads(1)  # another thread may hold a block for a moment longer
        try:
            net, results, sizes = images_only(), [], []
            for step in range(10):
                for n in (8, 3):  # with a last, smaller batch
                    y = net.forward(batch(n, 24, seed=step), train=True)
                    results.append((y, net.backward(np.ones_like(y))))
                    results.append((net.forward(batch(n, 24)), None))
                    del y
                    del results[: max(len(results) - held, 0)]
                sizes.append(net._workspace.reserved)
        finally:
            parallel.set_num_threads(threads)
        assert 0 < sizes[1] == sizes[-1]

    def test_inference_lends_the_same_blocks_again(self):
        net = eln.Sequential([L.ELU() for _ in range(20)])
        x = batch(8, 24)
        net.forward(x)
        assert net._workspace.reserved < 6 * x.nbytes

    def test_results_are_as_of_layers_by_hand(self):
        """Whatever is in a recycled block, each step computes what fresh memory would give."""
        net, fresh = images_only(), images_only()
        for n in (5, 8, 2, 8):
            x = batch(n, 24, seed=n)
            y = net.forward(x, train=True)
            dx = net.backward(y)
            fresh._workspace = Workspace()
            expected = fresh.forward(x, train=True)
            np.testing.assert_array_equal(y, expected)
            np.testing.assert_array_equal(dx, fresh.backward(expected))
            for name, value in net.gradients().items():
                np.testing.assert_array_equal(value, fresh.gradients()[name])


def test_a_layer_with_too_few_gradients_is_named():
    class Half(eln.layers.Add):
        def backward_input(self, dy):
            return super().backward_input(dy)[:1]

    net = eln.Network(seed=0)
    net.add(eln.layers.Linear(2, 2), name="a")
    net.add(eln.layers.Linear(2, 2), name="b")
    net.add(Half(), name="half", inputs=["a", "b"])
    dy = net.forward(np.ones((1, 2)), train=True)
    with pytest.raises(ValueError, match=r"half \(layer 3 of 3.*expected 2 gradients.*got 1"):
        net.backward(dy)
