"""Threads: the same results with one as with two, run to run, and whatever else is going on."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import threadpoolctl

import elunet as eln
from elunet import layers as L
from elunet.engine import threads as parallel
from elunet.kernels import limits
from elunet.layers import conv2d


@pytest.fixture(autouse=True)
def _threads(monkeypatch):
    """Let small work have several workers too, so that the tests are about them."""
    monkeypatch.setattr(parallel, "SMALL", 1_000)
    conv2d._made.cache_clear()
    before = eln.get_num_threads()
    yield
    conv2d._made.cache_clear()
    eln.set_num_threads(before)


def build(seed=0):
    """Return a network large enough for several workers."""
    layers = [
        *(L.Conv2D(3, 16, 3), L.ELU(), L.MaxPool2D(), L.Conv2D(16, 8, 1), L.MeanPool2D()),
        *(L.Dropout(0.2), L.Conv2D(8, 8, 2, algorithm="winograd")),
        *(L.BatchNorm(8), L.Flatten(), L.Linear(128, 10)),
    ]
    return eln.Sequential(layers, seed=seed)


def train(seed=0, steps=3):
    """Return everything that a few steps of gradient descent compute."""
    net, results = build(seed), []
    x = np.random.default_rng(seed).normal(size=(13, 16, 16, 3)).astype(np.float32)
    for _ in range(steps):
        y = net.forward(x, train=True)
        results += [y, net.backward(y / len(x))]
        for name, value in net.parameters().items():
            value -= np.float32(0.01) * net.gradients()[name]
    return results + list(net.parameters().values())


def assert_same(got, expected):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


class TestNumberOfThreads:
    @pytest.mark.parametrize("threads", [1, 2, 7, np.int64(2)])
    def test_set_and_get(self, threads):
        eln.set_num_threads(threads)
        assert eln.get_num_threads() == threads

    @pytest.mark.parametrize("threads", [0, -1, 1025, 99_999, 10**30])
    def test_too_few_or_many(self, threads):
        with pytest.raises(ValueError, match=f"set_num_threads: expected threads .* got {threads}"):
            eln.set_num_threads(threads)

    @pytest.mark.parametrize("threads", [2.0, "2", None, True])
    def test_no_integer(self, threads):
        message = f"set_num_threads: expected threads as an integer, got {threads!r}"
        with pytest.raises(TypeError, match=re.escape(message)):
            eln.set_num_threads(threads)

    def test_by_default_the_cores_that_the_process_may_use(self, monkeypatch):
        monkeypatch.setattr(parallel, "_pool", parallel._Pool())
        assert 1 <= eln.get_num_threads() <= (os.cpu_count() or 1)
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 5)
        monkeypatch.setattr(parallel, "_pool", parallel._Pool())
        assert eln.get_num_threads() == 5
        monkeypatch.setattr(os, "cpu_count", lambda: None)
        monkeypatch.setattr(parallel, "_pool", parallel._Pool())
        assert eln.get_num_threads() == 1

    @pytest.mark.parametrize(("count", "workers"), [(100, 3), (2, 2), (0, 1)])
    def test_how_many_workers(self, count, workers):
        eln.set_num_threads(3)
        assert parallel.workers_for(count) == workers
        assert parallel.workers_for(count, parallel.SMALL - 1) == 1


class TestRun:
    @pytest.mark.parametrize("threads", [1, 2, 4])
    @pytest.mark.parametrize("count", [0, 1, 2, 5, 12])
    @pytest.mark.parametrize("workers", [1, 2, 3])
    @pytest.mark.parametrize("block", [0, 1, 2, 100])
    def test_each_item_once_always_by_the_same_worker(self, threads, count, workers, block):
        eln.set_num_threads(threads)
        seen = []
        for _ in range(2):
            spans = []
            parallel.run(lambda *span, spans=spans: spans.append(span), count, workers, block)
            seen.append(sorted(spans))
        assert seen[0] == seen[1]
        items = [item for start, stop, _ in seen[0] for item in range(start, stop)]
        assert items == list(range(count))
        assert {worker for *_, worker in seen[0]} <= set(range(workers))
        if block:
            assert all(0 < stop - start <= block for start, stop, _ in seen[0])
        else:
            assert len(seen[0]) == min(workers, count)

    def test_workers_run_side_by_side(self):
        eln.set_num_threads(2)
        meeting = threading.Barrier(2, timeout=30)
        parallel.run(lambda start, stop, worker: meeting.wait() and None, 2, 2)

    @pytest.mark.parametrize("failing", [{0}, {1}, {0, 1}, {2}])
    def test_errors_come_through_after_all_have_finished(self, failing):
        eln.set_num_threads(3)
        finished = []

        def work(start, stop, worker):
            if worker in failing:
                raise FloatingPointError(f"in worker {worker}")
            time.sleep(0.05)
            finished.append(worker)

        with pytest.raises(FloatingPointError, match=f"in worker {min(failing)}"):
            parallel.run(work, 3, 3)
        assert set(finished) == {0, 1, 2} - failing
        assert not parallel._users[0]
        parallel.run(lambda *span: finished.append(9), 3, 3)  # it continues
        assert finished.count(9) == 3

    def test_workers_have_the_callers_errstate(self):
        eln.set_num_threads(2)

        def work(start, stop, worker):
            if worker == 1:
                np.ones(1) / np.zeros(1)

        with np.errstate(divide="ignore"):
            parallel.run(work, 2, 2)
        with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
            parallel.run(work, 2, 2)

    @pytest.mark.parametrize("threads", [1, 2, 3])
    def test_a_run_within_a_run_does_not_wait_forever(self, threads):
        eln.set_num_threads(threads)
        total = np.zeros((3, 3, 4), int)

        def outer(start, stop, worker):
            def inner(first, last, other):
                for k in range(first, last):
                    total[worker, other, k] += 1

            parallel.run(inner, 4, 3)

        done = threading.Thread(target=parallel.run, args=(outer, 3, 3), daemon=True)
        done.start()
        done.join(timeout=30)
        assert not done.is_alive()
        expected = np.zeros((3, 4), int)
        for worker, k in ((0, 0), (1, 1), (2, 2), (2, 3)):
            expected[worker, k] = 1
        np.testing.assert_array_equal(total, [expected] * 3)

    def test_it_sleeps_when_there_is_nothing_to_do_and_wakes_up(self):
        eln.set_num_threads(2)
        for pause in (0, 0.001, 0.01, 0, 0.001):
            time.sleep(pause)
            done = []
            parallel.run(lambda *span, done=done: done.append(span), 4, 2)
            assert sorted(done) == [(0, 2, 0), (2, 4, 1)]

    @pytest.mark.parametrize("place", range(1, 70, 2))
    def test_an_interrupt_at_any_place_confuses_nothing(self, place):
        """As by Ctrl-C: after it, each run does all of its work, before it returns."""
        eln.set_num_threads(2)
        here = parallel.__file__
        counted, before = 0, blas_threads()

        def interrupt(frame, event, argument):
            nonlocal counted
            # where Python looks whether a signal has come
            counted += frame.f_code.co_filename == here and event in ("call", "c_return")
            if counted == place:
                sys.setprofile(None)
                raise KeyboardInterrupt

        def work(start, stop, worker):
            time.sleep(0.001 * worker)
            done[start:stop] = 1

        done = np.zeros(4)
        sys.setprofile(interrupt)
        try:
            parallel.run(work, 4, 2)
        except KeyboardInterrupt:
            assert not parallel._users[0]
        finally:
            sys.setprofile(None)
        for _ in range(3):
            done = np.zeros(4)
            parallel.run(work, 4, 2)
            assert done.all()
        eln.set_num_threads(2)  # does not wait for ever
        assert not parallel._users[0]
        assert blas_threads() == before
        assert all(worker.end.qsize() == 0 for worker in parallel._team_of(parallel._pool).workers)


def blas_threads():
    """Return the numbers of threads of the BLAS libraries that were there at the first run."""
    return [limits.ask(function) for function in parallel._libraries().functions[:, 0]]


def spoil(look):
    with parallel.on_one_thread():
        look()
        raise ZeroDivisionError


class single_threaded_blas:  # noqa: N801
    """Do what a running network does."""

    def __enter__(self):
        self.blas = parallel.blas_limit()
        self.first = not self.blas.mine[0]
        if self.first:
            self.blas.set()

    def __exit__(self, *error):
        if self.first:
            self.blas.restore()


class TestStart:
    """Where no thread can be started, the one that is there does all of the work."""

    @pytest.mark.parametrize("started", [0, 1])
    def test_none_can_be_started(self, monkeypatch, started):
        start, left = parallel.start_new_thread, [None] * started

        def no_more(*arguments):
            if not left:
                raise RuntimeError("can't start new thread")
            left.pop()
            return start(*arguments)

        monkeypatch.setattr(parallel, "start_new_thread", no_more)
        eln.set_num_threads(3)
        done = []
        parallel.run(lambda *span: done.append(span), 3, 3)
        assert done == [(0, 1, 0), (1, 2, 1), (2, 3, 2)]

    def test_another_error_comes_through(self, monkeypatch):
        """As of a signal's handler that sets a time limit."""

        def late(*arguments):
            raise RuntimeError("time is up")

        monkeypatch.setattr(parallel, "start_new_thread", late)
        eln.set_num_threads(3)
        with pytest.raises(RuntimeError, match="time is up"):
            parallel.run(lambda *span: None, 3, 3)
        monkeypatch.undo()
        assert not parallel._users[0]
        assert not parallel._pool.user


class TestBlas:
    @pytest.mark.parametrize("threads", [1, 2])
    def test_a_rules_own_products_have_one_thread_if_elunet_has(self, threads):
        """In `Trainer.fit`; else processes that share the cores slow each other down."""
        seen = []

        class Watched(eln.routers.Backprop):
            def end(self, net):
                seen.append(blas_threads())

        class Looks(eln.Callback):
            def on_step(self, trainer, loss):
                seen.append(blas_threads())

        eln.set_num_threads(threads)
        parallel.run(lambda *span: None, 1, 1)  # the libraries are known now
        x, y = np.ones((4, 3), np.float32), np.zeros(4, int)
        trainer = eln.Trainer(
            eln.Sequential([eln.layers.Linear(3, 2)], seed=0),
            eln.losses.SoftmaxCrossEntropy(),
            eln.optim.SGD(0.1),
            Watched(),
            batch_size=2,
            callbacks=[Looks()],
        )
        with threadpoolctl.threadpool_limits(2, user_api="blas"):
            before = blas_threads()
            trainer.fit((x, y))
            assert seen == [[threads] * len(before)] * 4
            assert blas_threads() == before
            with parallel.on_one_thread(), parallel.on_one_thread():
                assert blas_threads() == [threads] * len(before)
            assert blas_threads() == before
            with pytest.raises(ZeroDivisionError):
                spoil(lambda: seen.append(blas_threads()))
            assert seen[-1] == [threads] * len(before)
            assert blas_threads() == before

    def test_one_thread_each_inside_and_as_before_afterwards(self):
        with threadpoolctl.threadpool_limits(2, user_api="blas"):
            before = blas_threads()
            assert set(before) <= {2}
            inside = []
            with single_threaded_blas():
                inside += blas_threads()
                with single_threaded_blas():
                    inside += blas_threads()
                inside += blas_threads()
            assert set(inside) <= {1}
            assert blas_threads() == before

    def test_after_an_error_too(self):
        with threadpoolctl.threadpool_limits(2, user_api="blas"):
            before = blas_threads()
            with pytest.raises(ValueError, match="expected x"):
                build().forward(np.ones((2, 3, 4, 5), np.float32))
            assert blas_threads() == before
        assert not parallel._users[0]

    @pytest.mark.parametrize("first", ["main", "other"])
    def test_of_two_threads_the_last_restores(self, first):
        """Though threadpoolctl would listen only to the thread that came first."""
        with threadpoolctl.threadpool_limits(2, user_api="blas"):
            before = blas_threads()
            entered, leave, left = threading.Event(), threading.Event(), threading.Event()

            def other():
                with single_threaded_blas():
                    entered.set()
                    leave.wait(30)
                left.set()
                stay.wait(30)

            stay = threading.Event()
            thread = threading.Thread(target=other)
            if first == "other":
                thread.start()
                entered.wait(30)
            with single_threaded_blas():
                if first == "main":
                    thread.start()
                    entered.wait(30)
                assert set(blas_threads()) <= {1}
                if first == "other":
                    leave.set()
                    left.wait(30)
                    assert set(blas_threads()) <= {1}
            if first == "main":
                assert set(blas_threads()) <= {1}
                leave.set()
                left.wait(30)
            assert blas_threads() == before  # while that thread is still alive
            stay.set()
            thread.join()

    def test_in_another_thread_than_the_first(self):
        with single_threaded_blas():
            pass
        seen = []
        with threadpoolctl.threadpool_limits(2, user_api="blas"):

            def other():
                with single_threaded_blas():
                    seen.extend(blas_threads())

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            assert set(seen) <= {1}
            assert set(blas_threads()) <= {2}

    def test_where_each_thread_has_a_limit_of_its_own(self, monkeypatch):
        """As with MKL, or with OpenBLAS over OpenMP: workers need it, too, and give it back."""

        class Library(threading.local):
            threads = 4

            def get_num_threads(self):
                return self.threads

            def set_num_threads(self, threads):
                self.threads = threads

        library = Library()
        libraries = parallel._Libraries()
        libraries.functions, libraries.private = libraries.functions[:0], [library]
        monkeypatch.setattr(parallel, "_libraries", lambda: libraries)
        monkeypatch.setattr(parallel, "_here", parallel._Here())
        eln.set_num_threads(2)
        seen = {}
        meeting = threading.Barrier(2, timeout=30)

        def work(start, stop, worker):
            meeting.wait()
            seen[worker] = library.threads

        parallel.run(work, 2, 2)
        assert seen == {0: 1, 1: 1}
        assert library.threads == 4

    def test_libraries_that_are_set_through_python(self, monkeypatch):
        """As BLIS; of two threads the last restores."""

        class Library:
            threads = 4

            def get_num_threads(self):
                return self.threads

            def set_num_threads(self, threads):
                self.threads = threads

        library, libraries = Library(), parallel._Libraries()
        libraries.shared = [library]
        monkeypatch.setattr(parallel, "_libraries", lambda: libraries)
        monkeypatch.setattr(parallel, "_here", parallel._Here())
        entered, leave = threading.Event(), threading.Event()

        def other():
            with single_threaded_blas():
                entered.set()
                leave.wait(30)

        thread = threading.Thread(target=other)
        with single_threaded_blas():
            assert library.threads == 1
            thread.start()
            entered.wait(30)
        assert library.threads == 1
        leave.set()
        thread.join()
        assert library.threads == 4
        assert not parallel._users[0]


@pytest.mark.jit
class TestResults:
    @pytest.mark.parametrize("threads", [1, 2, 3])
    def test_equal_to_the_bit_from_run_to_run(self, threads):
        eln.set_num_threads(threads)
        assert_same(train(), train())

    def test_several_workers_take_part(self, monkeypatch):
        """Or the tests here would be about nothing."""
        counts, run = [], parallel.run
        eln.set_num_threads(3)

        def counted(work, count, workers, block=0, cost=math.inf):
            counts.append(workers)
            run(work, count, workers, block, cost)

        monkeypatch.setattr(parallel, "run", counted)
        train(steps=1)
        assert counts.count(3) >= 2

    def test_equal_up_to_rounding_between_numbers_of_threads(self):
        results = []
        for threads in (1, 2, 5):
            eln.set_num_threads(threads)
            results.append(train())
        for other in results[1:]:
            for one, two in zip(results[0], other, strict=True):
                np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)

    def test_two_python_threads_with_a_network_each(self):
        eln.set_num_threads(2)
        alone = [train(seed, 8) for seed in (1, 2, 3)]
        together = [None] * 3

        def go(place, seed):
            together[place] = train(seed, 8)

        threads = [threading.Thread(target=go, args=(k, k + 1)) for k in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for got, expected in zip(together, alone, strict=True):
            assert_same(got, expected)

    def test_the_number_of_threads_may_change_under_a_running_network(self):
        stop, errors = threading.Event(), []

        def go():
            try:
                while not stop.is_set():
                    train(steps=1)
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=go)
        thread.start()
        for k in range(60):
            eln.set_num_threads(2 + k % 2)
            time.sleep(0.003)
        stop.set()
        thread.join()
        assert errors == []


class TestFork:
    @pytest.mark.jit
    @pytest.mark.skipif(
        sys.platform != "linux", reason="elsewhere the system's own BLAS forbids it"
    )
    def test_it_computes_what_the_parent_computes(self):
        code = """
import os, signal, sys, threading
sys.path.insert(0, sys.argv[1])
from test_threads import assert_same, eln, parallel, train
parallel.SMALL = 1_000
eln.set_num_threads(2)
expected = train()
busy = threading.Thread(target=lambda: [train() for _ in range(20)])
busy.start()  # so that locks and BLAS are in use while we fork
for _ in range(3):
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            assert eln.get_num_threads() == 2
            assert_same(train(), expected)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
busy.join()
assert_same(train(), expected)
"""
        here = os.path.dirname(__file__)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        run = subprocess.run(
            [sys.executable, "-c", code, here],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == 0, run.stderr
