"""Deferred work: the same numbers, whoever looks at them, and fewer meetings of threads."""

from __future__ import annotations

import functools
import threading
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elunet as eln
from elunet import layers as L
from elunet import routers as R
from elunet.engine import plan, queue
from elunet.engine import threads as workers
from elunet.engine.plan import Backward, Forward, Stage
from elunet.layers.spans import starts


def images(n=5, size=8, channels=3):
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, size, size, channels)).astype(np.float32)


def chain(*between):
    return eln.Sequential(
        [
            L.Conv2D(3, 6, 3),
            L.ELU(),
            *between,
            L.MaxPool2D(),
            L.Dropout(0.3),
            L.Conv2D(6, 4, 2),
            L.ELU(),
            L.MeanPool2D(),
            L.Flatten(),
            L.Linear(16, 3),
        ],
        seed=0,
    )


def by_hand(net, x):
    """Return the output and the gradients that the layers give when they are called one by one."""
    for layer in net:
        x = layer.forward(x, train=True)
    y, dy = x, np.cos(x)
    for layer in reversed(net.layers):
        dy = layer.backward(dy)
    return y, dy, {name: value.copy() for name, value in net.gradients().items()}


def in_network(net, x):
    y = net.forward(x, train=True)
    dx = net.backward(np.cos(y))
    return y, dx, {name: value.copy() for name, value in net.gradients().items()}


def assert_same(one, other):
    for a, b in zip(one[:2], other[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert one[2].keys() == other[2].keys()
    for name, value in one[2].items():
        np.testing.assert_array_equal(value, other[2][name], err_msg=name)


class Squared(L.Layer):
    """A user's layer: it looks at its numbers at once."""

    def forward(self, x, train=False):
        self.keep(x)
        return x**2

    def backward_input(self, dy):
        (x,) = self.recall()
        return 2 * x * dy


class Halved(L.ELU):
    """A user's variant of a layer that may be deferred, which looks at what that gives."""

    def forward(self, x, train=False):
        return 0.5 * super().forward(x, train)

    def backward_input(self, dy):
        return 0.5 * super().backward_input(dy)


class Composed(L.Layer):
    """A user's layer of layers."""

    def __init__(self):
        super().__init__()
        self.inner = L.ELU(2.0)

    def forward(self, x, train=False):
        return self.inner.forward(x, train) + x

    def backward_input(self, dy):
        return self.inner.backward_input(dy) + dy


class Nested(L.Layer):
    """A user's layer with a network in it."""

    def __init__(self):
        super().__init__()
        self.inner = eln.Sequential([L.ELU(), L.MaxPool2D(1), L.ELU()])

    def forward(self, x, train=False):
        return self.inner.forward(x, train) * 3

    def backward_input(self, dy):
        return self.inner.backward(3 * dy)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 7, 64])
@pytest.mark.parametrize(
    "between", [None, L.ReLU, L.Softmax, Squared, Halved, Composed, Nested, lambda: L.BatchNorm(6)]
)
def test_a_network_gives_the_numbers_of_its_layers(threads, count, between):
    eln.set_num_threads(threads)
    one, other = (chain(*([between()] if between else [])) for _ in range(2))
    for _ in range(2):  # the second time in memory that was used before
        assert_same(by_hand(one, images(count)), in_network(other, images(count)))


METHODS = [
    ("backward_params", 0),
    *((m, k) for m in ("forward", "backward_input") for k in range(3)),
]


def large():
    """Return so many images that a second thread is woken, and memory is used again."""
    return images(64, 16)


def wide():
    """Return a network for them, with nothing random and no ties."""
    return eln.Sequential(
        [L.Conv2D(3, 6, 3), L.ELU(), L.MeanPool2D(), L.Conv2D(6, 4, 2), L.Flatten()], seed=0
    )


def watched(monkeypatch, method, place, how):
    """Return a network of whose layer's method arrays are copied, and the copies."""
    net, seen = wide(), []
    layer = net.layers[place]
    old = getattr(type(layer), method)

    def spy(self, array, *rest, **named):
        seen.append(array.copy())
        result = old(self, array, *rest, **named)
        if result is not None:
            seen.append(result.copy())
        return result

    if how == "class":
        monkeypatch.setattr(type(layer), method, spy)
    elif how == "instance":
        monkeypatch.setattr(layer, method, lambda *a, **named: spy(layer, *a, **named))
    else:
        wrapped = functools.wraps(old)(lambda *a, **named: spy(layer, *a, **named))
        monkeypatch.setattr(layer, method, wrapped)
    return net, seen


@pytest.mark.parametrize(("method", "place"), METHODS)
@pytest.mark.parametrize("how", ["class", "instance", "functools.wraps"])
def test_a_method_put_in_place_of_a_layers_sees_finished_numbers(method, place, how, monkeypatch):
    """A spy, or a bug that is put in to be found, reads arrays that the layer only passes on."""
    expected = by_hand(wide(), large())
    with monkeypatch.context() as patch:
        net, true = watched(patch, method, place, how)
        by_hand(net, large())
    net, seen = watched(monkeypatch, method, place, how)
    assert true
    for _ in range(2):  # the second time in memory that was used before
        seen.clear()
        assert_same(in_network(net, large()), expected)
        assert len(seen) == len(true)
        for one, other in zip(seen, true, strict=True):
            np.testing.assert_array_equal(one, other)


class Cast(L.Flatten):
    """A user's layer of which the backward pass is inherited, and turns one dtype into another."""

    def forward(self, x, train=False):
        return super().forward(x, train).astype(np.float64)


class Clipping(L.Linear):
    def check_gradient(self, dy, shape, dtype):
        return np.clip(super().check_gradient(dy, shape, dtype), -0.01, 0.01)


class Centered(L.Linear):
    def check_input(self, x, *rest):
        x = super().check_input(x, *rest)
        return x - x.mean(axis=1, keepdims=True)


class Keeping(L.ELU):
    def keep(self, y):
        self.y = y

    def recall(self):
        return (self.y,)


class Biased(L.ELU):
    """A user's layer that keeps the very signal that it was given as its gradient."""

    def __init__(self):
        super().__init__()
        self.params["b"] = np.zeros((512, 32), np.float32)

    def backward_params(self, dy):
        self.grads["b"] = dy


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [L.Linear(64, 32), Cast(), L.Linear(32, 32), L.ELU(), L.Linear(32, 8)],
        lambda: [Clipping(64, 32), L.ELU(), L.Linear(32, 8)],
        lambda: [L.Linear(64, 32), L.ELU(), Centered(32, 8)],
        lambda: [L.Linear(64, 32), Keeping(), L.Dropout(0.5), L.Linear(32, 8)],
        lambda: [L.Linear(64, 32), Biased(), L.Linear(32, 8)],
    ],
)
def test_what_a_users_layer_overrides_counts(layers):
    x = np.random.default_rng(0).normal(size=(512, 64)).astype(np.float32)
    one, other = eln.Sequential(layers(), seed=0), eln.Sequential(layers(), seed=0)
    for _ in range(2):
        assert_same(by_hand(one, x), in_network(other, x))


class Clipped(R.Router):
    @functools.wraps(R.Router.arrive)
    def arrive(self, layer, dy):
        return np.clip(dy, -0.01, 0.01)


class Counting(R.Router):
    arrived = 0

    def arrive(self, layer, dy):
        self.arrived += 1
        return dy


class Halving(R.FeedbackAlignment):
    def matrix(self, name, shape, *key):
        return 0.5 * super().matrix(name, shape, *key)


def test_a_hook_is_called_whatever_its_marks():
    net = chain()
    dy = np.cos(net.forward(images(), train=True))
    Clipped().backward(net, dy)
    assert 0 < np.abs(net.gradients()["linear1.b"]).max() <= 0.01 * len(dy) + 1e-6
    router = Counting()
    router.backward(net, dy)
    assert router.arrived == len(net)
    router.arrive = mock.Mock(side_effect=lambda layer, dy: dy)
    router.backward(net, dy)
    assert router.arrive.call_count == len(net)
    Halving(seed=1).backward(net, dy)
    half = net.gradients()["conv2.b"].copy()
    R.FeedbackAlignment(seed=1).backward(net, dy)
    np.testing.assert_allclose(2 * half, net.gradients()["conv2.b"], rtol=1e-5)


class Marked(L.ELU, spans=True):
    """A user's variant that says itself that it computes any span of a batch."""

    def apply(self, x):
        super().apply(x)
        x *= 0.5

    def apply_slope(self, dy, y):
        super().apply_slope(dy, 2 * y)
        dy *= 0.5


def test_who_may_be_started_and_who_not(monkeypatch):
    assert starts([L.ELU()]) == (True,)
    assert starts([L.Conv2D(3, 4, 3)]) == (True,)
    assert starts([Marked()]) == (True,)
    for layer in (Halved(), Cast(), Squared(), Composed(), L.BatchNorm(2), L.Add()):
        assert starts([layer]) == (False,)
    elu = L.ELU()
    elu.backward_params = functools.wraps(elu.backward_params)(lambda dy: None)
    assert starts([elu]) == (False,)
    assert starts([L.ELU()]) == (True,)
    monkeypatch.setattr(L.ELU, "forward", mock.Mock())
    assert starts([L.ELU()]) == (False,)
    assert starts([L.ReLU()]) == (True,)
    monkeypatch.setattr(L.spans.SpanLayer, "backward_input", mock.Mock())
    assert starts([L.ReLU()]) == (False,)


def test_a_users_layer_that_says_so_itself():
    expected = by_hand(chain(Marked()), images())
    assert_same(in_network(chain(Marked()), images()), expected)
    for got, similar in zip(in_network(chain(Halved()), images())[:2], expected[:2], strict=True):
        np.testing.assert_allclose(got, similar, rtol=1e-5, atol=1e-6)


class KeepsCopies(L.ELU):
    """A user's variant that looks at what it is to keep."""

    def keep(self, *values):
        super().keep(*(np.array(value) for value in values))


def test_what_a_subclass_overrides_counts_in_every_pass():
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32) + 5
    layer = Centered(4, 3, seed=0)
    expected = L.Linear.forward(L.Linear(4, 3, seed=0), x - x.mean(axis=1, keepdims=True))
    for _ in range(2):
        np.testing.assert_array_equal(layer.forward(x), expected)
    one, other = KeepsCopies(), L.ELU()
    np.testing.assert_array_equal(one.forward(x - 5), other.forward(x - 5))
    np.testing.assert_array_equal(one.backward(np.ones_like(x)), other.backward(np.ones_like(x)))


HELPERS = ["check_input", "check", "check_gradient", "checked", "common", "recall", "parameter"]


@pytest.mark.parametrize("helper", HELPERS)
@pytest.mark.parametrize("how", ["instance", "class"])
def test_a_helper_put_in_place_of_a_layers_sees_numbers(helper, how, monkeypatch):
    """A spy on any of a layer's methods finds the same in a network as by hand."""
    net, seen = wide(), []

    def spied(owner):
        old = getattr(owner, helper)

        def spy(*arguments, **named):
            result = old(*arguments, **named)
            values = [*arguments, *(result if isinstance(result, tuple) else [result])]
            seen.extend(v.copy() for v in values if isinstance(v, np.ndarray))
            return result

        return spy

    owner = net.layers[1] if how == "instance" else type(net.layers[1])
    if helper == "parameter":
        owner = net.layers[3] if how == "instance" else type(net.layers[3])
    monkeypatch.setattr(owner, helper, spied(owner))
    by_hand(net, large())
    expected = list(seen)
    seen.clear()
    in_network(net, large())
    assert len(seen) == len(expected)
    for got, wanted in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_class_that_says_spans_cannot_override_a_pass():
    with pytest.raises(TypeError, match=r"Half: expected forward_span .* got also forward"):

        class Half(L.ELU, spans=True):
            def forward(self, x, train=False):
                return 0.5 * super().forward(x, train)


class Sigmoid(L.Elementwise, spans=True):
    def apply(self, x):
        x[...] = 1 / (1 + np.exp(-x))

    def apply_slope(self, dy, y):
        dy *= y * (1 - y)


def test_what_a_layer_keeps_is_asked_in_every_pass():
    """A slope that changes its sign changes what LeakyReLU keeps."""
    net = eln.Sequential([L.Linear(64, 64), L.LeakyReLU(-0.1), Sigmoid(), L.Linear(64, 3)], seed=0)
    x = np.random.default_rng(0).normal(size=(512, 64)).astype(np.float32)
    in_network(net, x)
    net["leakyrelu1"].slope = 0.1
    assert_same(in_network(net, x), by_hand(net, x))


class Mine(L.Layer):
    def forward(self, x, train=False):
        return x

    def backward_input(self, dy):
        return dy


class Fails(L.ELU, spans=True):
    def apply(self, x):
        raise ValueError("no")


class FailsBack(L.ELU, spans=True):
    def apply_slope(self, dy, y):
        raise ValueError("no")


@pytest.mark.parametrize("after", [[], [Mine]])
def test_an_error_in_work_that_was_put_off_names_its_own_layer(after):
    net = eln.Sequential([L.Conv2D(3, 4, 3), Fails(), *(kind() for kind in after)], seed=0)
    with pytest.raises(ValueError, match=r"fails1 \(layer 2 of \d, after conv1\): no"):
        net.forward(images())
    net = eln.Sequential([L.Conv2D(3, 4, 3), FailsBack(), *(kind() for kind in after)], seed=0)
    y = net.forward(images(), train=True)
    with pytest.raises(ValueError, match=r"failsback1 \(layer 2 of \d, after conv1\): no"):
        net.backward(y)


def stage(name, *inputs, starts=True, learns=True, carries=False):
    return Stage(name, inputs, starts, learns, carries)


def test_the_turns_of_a_forward_pass():
    stages = [
        stage("conv", "input"),
        stage("elu", "conv"),
        stage("mine", "elu", starts=False),
        stage("pool", "mine"),
        stage("skip", "pool"),
        stage("add", "skip", "pool", starts=False),
    ]
    assert plan.forward(stages, looked_at=False, outputs=["add"]) == (
        Forward(0, True, True, ("input",), False),
        Forward(1, True, True, ("conv",), False),
        Forward(2, False, False, ("elu",), False),
        Forward(3, True, False, ("mine",), False),  # two take it
        Forward(4, True, True, (), False),
        Forward(5, False, False, ("pool", "skip"), True),
    )
    assert not any(turn.donates for turn in plan.forward(stages, True, ["add"]))
    with pytest.raises(ValueError, match="got conv, whose output is not used"):
        plan.forward([stages[0], stages[1]._replace(inputs=("input",))], False, ["elu"])


def test_outputs_are_seen_outside_and_stay():
    stages = [stage("a", "input"), stage("b", "a"), stage("c", "b"), stage("d", "b")]
    assert plan.forward(stages, looked_at=False, outputs=("b", "d", "c")) == (
        Forward(0, True, True, ("input",), False),
        Forward(1, True, False, ("a",), True),
        Forward(2, True, False, (), True),
        Forward(3, True, False, (), True),
    )
    with pytest.raises(
        ValueError, match="every layer except the outputs b, d to be .* got c, whose"
    ):
        plan.forward(stages, looked_at=False, outputs=("b", "d"))


def test_the_turns_of_a_backward_pass():
    stages = [
        stage("elu", "input", learns=False),
        stage("conv", "elu"),
        stage("mine", "conv", starts=False),
        stage("last", "mine"),
    ]
    assert plan.backward(stages, to_input=False) == (
        Backward(3, True, True, False),
        Backward(2, False, True, False),
        Backward(1, True, False, False),
    )
    assert plan.backward(stages, to_input=True)[2:] == (
        Backward(1, True, True, False),
        Backward(0, True, True, True),
    )


def test_what_leaves_a_graph():
    """Also through layers that write in place, or hand on what they were given."""
    stages = [
        stage("scale", "input", carries=True),
        stage("conv", "scale"),
        stage("skip", "conv"),
        stage("elu", "skip", carries=True),
        stage("flat", "elu", carries=True),
    ]
    turns = plan.forward(stages, looked_at=False, outputs=["flat"])
    assert [turn.leaves for turn in turns] == [False, False, True, True, True]
    assert all(turn.leaves for turn in plan.forward(stages, True, ["flat"]))
    down = plan.backward(stages, to_input=True)
    assert [turn.leaves for turn in down] == [False, False, False, True, True]
    assert not any(turn.leaves for turn in plan.backward(stages, to_input=False))


def test_an_interrupt_leaves_nothing_behind(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    net, x = wide(), large()
    for name in ("add", "finish"):
        with monkeypatch.context() as patch:
            patch.setattr(queue.Queue, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                net.forward(x)
    np.testing.assert_array_equal(net.forward(x), wide().forward(x))


class Listening(R.Router):
    """A rule whose hooks look at every signal, and change none."""

    def __init__(self, hook):
        super().__init__()
        self.seen, inner = [], getattr(super(), hook)

        def look(layer, dy):
            self.seen.append(float(np.abs(dy).sum()))
            result = inner(layer, dy)
            self.seen.append(0.0 if result is None else float(np.abs(result).sum()))
            return result

        setattr(self, hook, look)


@pytest.mark.parametrize("hook", ["send", "arrive"])
def test_a_rule_that_looks_sees_finished_numbers(hook):
    net, signals = chain(), []
    dy = np.cos(net.forward(images(), train=True))
    R.Backprop().backward(net, dy, tap=lambda name, delta: signals.append(np.abs(delta).sum()))
    expected = {name: value.copy() for name, value in net.gradients().items()}
    router = Listening(hook)
    router.backward(net, dy)
    for name, value in net.gradients().items():
        np.testing.assert_array_equal(value, expected[name])
    assert len(router.seen) >= 4
    taken = np.float32(router.seen[::2])
    assert np.isin(taken, np.float32(signals)).all()


@pytest.mark.parametrize("train", [True, False])
def test_a_tap_sees_finished_numbers_that_stay(train):
    net, seen = chain(), []
    net.forward(images(), train, tap=lambda name, y: seen.append((y, y.copy())))
    net.forward(images(7), train)
    assert len(seen) == len(net)
    for y, then in seen:
        np.testing.assert_array_equal(y, then)


def test_what_a_skip_takes_too_is_not_written_over():
    net = eln.Network(seed=0)
    stem = net.add(L.Conv2D(3, 4, 3))
    first = net.add(L.ELU(), inputs=stem)
    second = net.add(L.ELU(2.0), inputs=stem)
    net.add(L.Add(), inputs=[first, second])
    y, x = net.forward(images(), train=True), images()
    stem_y = net[stem].forward(x)
    expected = L.ELU().forward(stem_y) + L.ELU(2.0).forward(stem_y)
    np.testing.assert_array_equal(y, expected)


@given(
    works=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=9),
    count=st.integers(0, 20),
    threads=st.integers(1, 3),
)
@settings(max_examples=200)
def test_each_piece_of_work_gets_each_image_once_and_in_order(works, count, threads):
    """Whatever is queued: an image goes through the pieces in the order in which they came."""
    before = eln.get_num_threads()
    eln.set_num_threads(threads)
    try:
        line, log, lock = queue.Queue(), {n: [] for n in range(count)}, threading.Lock()
        for index, (block, cost) in enumerate(works):

            def work(start, stop, worker, index=index, block=block):
                assert start < stop
                assert not block or stop - start <= block
                with lock:
                    for n in range(start, stop):
                        log[n].append(index)

            shares = workers.workers_for(count) if block else 0
            line.add(work, count, cost * queue.ENOUGH / 2, shares, block)
        line.finish()
        line.finish()  # has nothing left to do
    finally:
        eln.set_num_threads(before)
    assert all(pieces == list(range(len(works))) for pieces in log.values())


def test_what_waits_for_all_others():
    done = []

    def work(name):
        return lambda *span: done.append((name, *span))

    line = queue.Queue()
    line.add_last(work("gradient"), 4, 1.0, 1)
    line.add(work("first"), 4, 1.0, 1, after=lambda: done.append("sum"))
    line.add(work("second"), 4, 1.0, 1)
    assert done == []
    line.finish()
    assert done == [("first", 0, 4, 0), ("second", 0, 4, 0), "sum", ("gradient", 0, 4, 0)]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_last_pieces_are_shared_out_evenly(threads):
    eln.set_num_threads(threads)
    done = []
    line = queue.Queue()
    for name, cost, among in (("a", 5.0, 1), ("b", 12.0, 3), ("c", 4.0, 1), ("d", 4.0, 1)):
        line.add_last(lambda *span, name=name: done.append((name, *span)), 6, cost * 1e6, among)
    line.finish()
    assert sorted(done) == [
        ("a", 0, 6, 0),
        *(("b", 2 * part, 2 * part + 2, part) for part in range(3)),
        ("c", 0, 6, 0),
        ("d", 0, 6, 0),
    ]


def test_whose_last_piece_failed_is_known():
    def fail(*span):
        raise MemoryError("no room")

    line = queue.Queue()
    for line.owner, work in (("first", lambda *span: None), ("second", fail)):
        line.add_last(work, 4, 1.0, 1)
    with pytest.raises(MemoryError, match="no room"):
        line.finish()
    assert line.failed == "second"


def test_work_that_needs_more_than_its_own_items_waits():
    done = []
    line = queue.Queue()
    line.add(lambda *span: done.append(("rows", *span)), 4, 1.0, 2, 1)
    line.add(lambda *span: done.append(("windows", *span)), 4, 1.0, 2, 1, apart=True)
    line.finish()
    assert [name for name, *_ in done] == ["rows"] * 4 + ["windows"] * 4


def test_fewer_meetings(monkeypatch):
    """Which is what it is for: few for a small network's forward pass, not one a layer."""
    eln.set_num_threads(2)
    met, share_out = [], workers._share_out

    def counted(pool, share, workers):
        met.append(1)
        return share_out(pool, share, workers)

    monkeypatch.setattr(workers, "_share_out", counted)
    net = eln.models.article_case("b")
    x = np.zeros((100, 32, 32, 3), np.float32)
    y = net.forward(x, train=True)
    assert 1 <= len(met) <= 12
    met.clear()
    R.FeedbackAlignment().backward(net, y)
    assert 1 <= len(met) <= 14


def test_an_error_in_the_work_comes_through_and_leaves_nothing_behind():
    class Broken(L.ELU, spans=True):
        def apply(self, x):
            raise MemoryError("no room")

    net = chain(Broken())
    for _ in range(2):
        with pytest.raises(MemoryError, match="no room"):
            net.forward(images(), train=True)
        with pytest.raises(RuntimeError, match="before backward, got none"):
            net.backward(np.ones((5, 3)))
    other = chain()
    assert_same(in_network(other, images()), in_network(chain(), images()))
