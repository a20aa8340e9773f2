"""What a group does without others: shares of rows, buckets, and a process that is alone."""

from __future__ import annotations

import copy
import pickle
import threading
import time

import numpy as np
import pytest

import elunet as eln
from elunet._group import ALONE, Alone
from elunet.distributed.buckets import Buckets
from elunet.distributed.group import Group


class Comm:
    """A communicator that says who one is, and nothing else."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size


def group(rank, size):
    """Return a group as it is after MPI has said who one is."""
    made = Group.__new__(Group)
    made.rank, made.size, made._rows, made.weight, made._buckets = rank, size, None, 1.0, None
    return made


@pytest.mark.parametrize(("count", "size"), [(100, 2), (7, 3), (30, 4), (2, 3), (1, 4)])
def test_rows_are_shared_out(count, size):
    rows, weights = [], []
    for rank in range(size):
        one = group(rank, size)
        own = np.arange(count)[one.share(count)]
        assert len(own) > 0  # who has none takes one, to stay in step
        assert one.whole(3 * len(own)) == 3 * count
        weights.append(one.weight)
        rows += own.tolist() if one.weight else []
    assert rows == list(range(count))
    assert sum(weights) == pytest.approx(1)


@pytest.mark.parametrize("row", [(4,), (3,), (2, 2, 8), (5, 5, 1)])
@pytest.mark.parametrize(("count", "size"), [(10, 2), (7, 3), (2, 3)])
def test_random_numbers_are_those_of_the_whole_batch(row, count, size):
    whole, ends = np.random.default_rng(3), set()
    for _ in range(3):
        expected = whole.integers(0, 1 << 16, (count, *row), np.uint16)
    for rank in range(size):
        one, rng = group(rank, size), np.random.default_rng(3)
        for _ in range(3):
            rows = one.share(count)
            shape = (len(range(count)[rows]), *row)
            got = one.integers(rng, 1 << 16, shape, np.uint16)
        np.testing.assert_array_equal(got, expected[rows])
        ends.add(str(place_of(rng)))
    assert ends == {str(place_of(whole))}


def place_of(rng):
    """Return where a generator is; half a number that it will not use says nothing."""
    state = rng.bit_generator.state
    return state["state"], state["has_uint32"] and state["uinteger"]


def test_outside_of_a_step_nothing_is_shared():
    one = group(1, 2)
    one.share(10)
    one.leave()
    assert (one.whole(7), one.weight) == (7, 1.0)
    drawn = one.integers(np.random.default_rng(0), 1 << 16, (5, 4), np.uint16)
    expected = np.random.default_rng(0).integers(0, 1 << 16, (5, 4), np.uint16)
    np.testing.assert_array_equal(drawn, expected)
    array = np.ones(3)
    one.sum_rows(array)
    assert array.tolist() == [1, 1, 1]
    assert one.summing([eln.layers.Linear(2, 2)], np.dtype("float32")) is None


def test_a_copied_network_is_the_same_processes():
    one = group(1, 2)
    net = eln.Sequential([eln.layers.Linear(2, 2)], seed=0)
    net.group = net.layers[0].group = one
    assert copy.deepcopy(net).group is one
    assert net.aside().layers[0].group is one
    assert type(pickle.loads(pickle.dumps(net)).group) is Alone


class Request:
    """Stands for a sum under way. It notes which threads looked at it."""

    lookers: set = set()  # noqa: RUF012 - one for all

    def __init__(self, flat):
        self.flat = flat

    def Test(self):  # noqa: N802 - MPI's name
        self.lookers.add(threading.current_thread())

    @classmethod
    def Testall(cls, requests):  # noqa: N802 - MPI's name
        cls.lookers |= {threading.current_thread()}
        assert requests

    @staticmethod
    def Waitall(requests):  # noqa: N802 - MPI's name
        for request in requests:
            request.flat *= 2


class Sent:
    """Stands for MPI: doubles what is sent, as two equal processes would."""

    IN_PLACE, SUM, THREAD_MULTIPLE, Request = object(), object(), 3, Request

    def __init__(self, level):
        self.sizes, self.level = [], level

    def Query_thread(self):  # noqa: N802 - MPI's name
        return self.level

    def Iallreduce(self, place, flat, operation):  # noqa: N802 - MPI's name
        self.sizes.append(flat.nbytes)
        return Request(flat)


@pytest.mark.parametrize("level", [2, 3])
def test_gradients_go_out_in_buckets_during_the_walk(level):
    """A thread of its own moves them, if the MPI allows calls of any thread; else this one does."""
    L = eln.layers
    net = eln.Sequential([L.Linear(8, 50), L.ELU(), L.Linear(50, 40), L.Linear(40, 3)], seed=0)
    x = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    dy = net.forward(x, train=True)
    net.backward(dy)
    plain = {name: value.copy() for name, value in net.gradients().items()}
    sent, one = Sent(level), group(0, 2)
    layers = [layer for layer in reversed(net.layers) if layer.params]
    one.share(12)
    one._buckets = Buckets(sent, sent, layers, np.dtype(np.float32), smallest=6000)
    seen = []
    one.share(12)
    net.group = one
    Request.lookers.clear()

    def tap(name, delta):
        seen.append((name, len(sent.sizes)))
        end = time.monotonic() + 10
        while name == "linear1" and not Request.lookers and time.monotonic() < end:
            time.sleep(0.001)

    for _ in range(2):  # the second time the layers write into the buckets
        net.forward(x, train=True)
        net.walk(dy, tap=tap)
        for name, value in net.gradients().items():
            np.testing.assert_allclose(value, 2 * plain[name], rtol=1e-6)
    assert sent.sizes == [8652, 1800] * 2  # linear3 and linear2 together; linear1
    assert dict(seen[:4])["linear1"] == 1  # the upper ones were on their way by then
    assert (threading.current_thread() in Request.lookers) == (level == 2)
    assert Request.lookers
    net.group = ALONE


def test_threads_that_were_asked_for(monkeypatch):
    from elunet.engine import threads

    monkeypatch.setattr(threads, "_pool", threads._Pool())
    assert threads.asked_threads() is None
    threads.get_num_threads()
    assert threads.asked_threads() is None
    threads.set_num_threads(2)
    assert threads.asked_threads() == 2


def test_a_group_is_expected():
    net = eln.Sequential([eln.layers.Linear(2, 2)], seed=0)
    with pytest.raises(TypeError, match="expected distributed of type Group, got 3"):
        eln.Trainer(net, eln.losses.MeanSquaredError(), eln.optim.SGD(0.1), distributed=3)


def test_rules_that_need_the_whole_batch_say_so():
    R = eln.routers
    assert R.GradientNoise(R.KolenPollack()).by_rows
    assert R.LocalLoss("pred").by_rows
    for rule in (R.PEPITA(), R.LocalLoss("sim"), R.GradientNoise(R.ForwardGradient())):
        assert not rule.by_rows
