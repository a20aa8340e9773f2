"""Work put off: the same numbers, whoever looks at them, and fewer wake-ups."""

from __future__ import annotations

import functools
import threading
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elunet as eln
from elunet import deferred, parallel
from elunet import layers as L
from elunet import routers as R


def pictures(n=5, size=8, channels=3):
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
    """A user's variant of a layer that may be put off, which looks at what that gives."""

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
        assert_same(by_hand(one, pictures(count)), in_network(other, pictures(count)))


METHODS = [
    ("backward_params", 0),
    *((m, k) for m in ("forward", "backward_input") for k in range(3)),
]


def large():
    """Return so many pictures that a second thread is woken, and memory is used again."""
    return pictures(64, 16)


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
    """A spy, or a slip that is put in to be found, reads arrays that the layer only passes on."""
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

    @deferred.deferrable
    def arrive(self, layer, dy):
        self.arrived += 1
        return dy


class Halving(R.FeedbackAlignment):
    def matrix(self, name, shape, *key):
        return 0.5 * super().matrix(name, shape, *key)


def test_a_hook_is_called_whatever_its_marks():
    net = chain()
    dy = np.cos(net.forward(pictures(), train=True))
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


def test_what_is_marked_and_what_is_not():
    elu = L.ELU()
    assert deferred.is_deferrable(elu.forward)
    assert not deferred.is_deferrable(Halved().forward)
    assert not deferred.is_deferrable(Halved().backward_params)
    assert not deferred.is_deferrable(Cast().backward_input)
    assert not deferred.is_deferrable(functools.wraps(elu.forward)(lambda x: x))
    assert not deferred.is_deferrable(mock.Mock())


def test_an_interrupt_does_not_leave_the_queue_open(monkeypatch):
    def interrupt(array):
        raise KeyboardInterrupt

    net, x = wide(), large()
    with monkeypatch.context() as patch:
        patch.setattr(deferred, "give_up", interrupt)
        with pytest.raises(KeyboardInterrupt):
            net.forward(x)
    assert deferred._open.queue is None
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
    dy = np.cos(net.forward(pictures(), train=True))
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
    net.forward(pictures(), train, tap=lambda name, y: seen.append((y, y.copy())))
    net.forward(pictures(7), train)
    assert len(seen) == len(net)
    for y, then in seen:
        np.testing.assert_array_equal(y, then)


def test_what_a_skip_takes_too_is_not_written_over():
    net = eln.Network(seed=0)
    stem = net.add(L.Conv2D(3, 4, 3))
    first = net.add(L.ELU(), inputs=stem)
    second = net.add(L.ELU(2.0), inputs=stem)
    net.add(L.Add(), inputs=[first, second])
    y, x = net.forward(pictures(), train=True), pictures()
    stem_y = net[stem].forward(x)
    expected = L.ELU().forward(stem_y) + L.ELU(2.0).forward(stem_y)
    np.testing.assert_array_equal(y, expected)


@given(
    works=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=9),
    count=st.integers(0, 20),
    threads=st.integers(1, 3),
)
@settings(max_examples=200)
def test_each_piece_of_work_gets_each_picture_once_and_in_order(works, count, threads):
    """Whatever is queued: a picture goes through the pieces in the order in which they came."""
    before = eln.get_num_threads()
    eln.set_num_threads(threads)
    try:
        queue, log, lock = deferred.Queue(), {n: [] for n in range(count)}, threading.Lock()

        @deferred.deferrable
        def put(index, block, operations):
            def work(start, stop, worker):
                assert start < stop
                assert not block or stop - start <= block
                with lock:
                    for n in range(start, stop):
                        log[n].append(index)

            workers = parallel.workers_for(count)
            deferred.by_picture(work, count, workers, operations * deferred.ENOUGH / 2, block)

        for index, (block, operations) in enumerate(works):
            queue.call(put, index, block, operations)
        queue.finish()
        queue.finish()  # has nothing left to do
    finally:
        eln.set_num_threads(before)
    assert all(pieces == list(range(len(works))) for pieces in log.values())


def test_fewer_wake_ups(monkeypatch):
    """Which is what it is for: one for a small network's forward pass, not one a layer."""
    eln.set_num_threads(2)
    submitted, submit = [], parallel._submit

    def counted(share, workers):
        submitted.append(1)
        return submit(share, workers)

    monkeypatch.setattr(parallel, "_submit", counted)
    net = eln.models.article_case("b")
    x = np.zeros((100, 32, 32, 3), np.float32)
    y = net.forward(x, train=True)
    assert 1 <= len(submitted) <= 12
    submitted.clear()
    R.FeedbackAlignment().backward(net, y)
    assert 1 <= len(submitted) <= 14


def test_an_error_in_the_work_comes_through_and_leaves_nothing_behind():
    class Broken(L.ELU):
        @deferred.deferrable
        def forward(self, x, train=False):
            def work(start, stop, worker):
                raise MemoryError("no room")

            deferred.by_picture(work, len(x), 1, 1)
            return x

    net = chain(Broken())
    for _ in range(2):
        with pytest.raises(MemoryError, match="no room"):
            net.forward(pictures(), train=True)
        assert deferred._open.queue is None
        with pytest.raises(RuntimeError, match="backward before forward"):
            net.backward(np.ones((5, 3)))
    other = chain()
    assert_same(in_network(other, pictures()), in_network(chain(), pictures()))
