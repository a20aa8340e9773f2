"""The interpreter's end, signals' handlers and forks, while something is running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

FULL = os.environ.get("ELUNET_HOSTILE") == "full"
ROUNDS = 300 if FULL else 30

START = """
import atexit, os, signal, sys, threading, time
import numpy as np
import elunet as eln
from elunet import layers as L
from elunet.engine import threads

threads.SMALL = 1_000
eln.set_num_threads(2)
ROUNDS = {rounds}
X = np.random.default_rng(0).normal(size=(12, 16, 16, 3)).astype(np.float32)


def build():
    layers = [
        *(L.Conv2D(3, 16, 3, algorithm="im2col"), L.ELU(), L.MaxPool2D(), L.Conv2D(16, 4, 1)),
        *(L.BatchNorm(4), L.Flatten(), L.Linear(256, 3)),
    ]
    return eln.Sequential(layers, seed=0)


def step(net, x=X):
    y = net.forward(x, train=True)
    dx = net.backward(np.cos(y))
    return np.concatenate([a.ravel() for a in (y, dx, *net.gradients().values())])


EXPECTED = step(build())


def right(net=None):
    return np.array_equal(step(net or build()), EXPECTED)
"""


def run(code, timeout=60, silent=True):
    """Run a script after START; return what it printed. A hang is an error."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", START.format(rounds=ROUNDS) + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert result.returncode == 0, result.stderr
    assert not silent or result.stderr == ""
    return result.stdout


class TestTheEnd:
    @pytest.mark.parametrize("fresh", [False, True])
    def test_a_thread_trains_on_after_the_main_thread(self, fresh):
        """With the workers that are there, or where no new thread can be started any more."""
        out = run(
            f"""
            def train():
                time.sleep(0.1)  # the main thread is over
                if {fresh}:
                    eln.set_num_threads(3)
                    eln.set_num_threads(2)
                print(sum(right() for _ in range(5)))

            threading.Thread(target=train).start()
            """
        )
        assert out == "5\n"

    @pytest.mark.parametrize("fresh", [False, True])
    def test_at_exit(self, fresh):
        out = run(
            f"""
            def last():
                if {fresh}:
                    eln.set_num_threads(3)
                    eln.set_num_threads(2)
                print(right())

            atexit.register(last)
            """
        )
        assert out == "True\n"

    def test_where_no_thread_can_be_started(self):
        """As at the end with newer Pythons, or where the system allows no more."""
        out = run(
            """
            def start(function, arguments):
                raise RuntimeError("can't create new thread at interpreter shutdown")

            threads.start_new_thread = start
            eln.set_num_threads(3)
            eln.set_num_threads(2)
            print(right())
            """
        )
        assert out == "True\n"

    def test_an_object_that_computes_while_it_is_taken_away(self):
        run(
            """
            class Last:
                def __init__(self):
                    self.net, self.x = build(), X

                def __del__(self):
                    self.net(self.x)

            last = Last()
            sys.modules["elsewhere"] = last  # goes when hardly anything is left
            """,
            silent=False,  # Python itself refuses to import then
        )

    def test_daemons_are_left_behind(self):
        """A thread that trains when the process ends neither keeps it nor crashes it."""
        for _ in range(10 if FULL else 2):
            run(
                """
                def train():
                    net = build()
                    while True:
                        step(net)

                threading.Thread(target=train, daemon=True).start()
                time.sleep(0.05)
                """
            )


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")
class TestHandlers:
    """A handler runs in the main thread between any two lines, also in the middle of a pass."""

    def storm(self, handler, work, timeout=240):
        return run(
            f"""
            count = 0
            {handler}
            rng = np.random.default_rng(1)

            def handle(number, frame):
                global count
                signal.setitimer(signal.ITIMER_REAL, 0)
                count += 1
                act()
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 4e-3))

            signal.signal(signal.SIGALRM, handle)
            signal.setitimer(signal.ITIMER_REAL, 1e-3)
            good = True
            while count < ROUNDS:
                {work}
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(good)
            """,
            timeout,
        )

    WORK = """try:
                    good = good and right(net)
                except RuntimeError as error:  # it used the very network between two passes
                    assert "before backward, got none" in str(error)"""

    @pytest.mark.parametrize(
        "act",
        [
            "other(X)",
            "other(X[:5])",
            "net(X[:7])",
            "other.layers[0].forward(X)",
            "right(other)",
            "eln.set_num_threads(2)",
            "eln.set_num_threads(1); eln.set_num_threads(2)",
        ],
    )
    def test_they_compute_and_change_the_number_of_threads(self, act):
        """What they interrupt is right all the same, and so is what they compute."""
        handler = f"net, other = build(), build()\nact = lambda: [{act.replace(';', ',')}]"
        out = self.storm(textwrap.indent(handler, " " * 12).lstrip(), self.WORK)
        assert out == "True\n"

    def test_what_they_compute_is_right(self):
        handler = """net, other = build(), build()
            y, wrong = other(X), []
            def act():
                if not (np.array_equal(other(X), y) and right(build())):
                    wrong.append(1)"""
        out = self.storm(handler, "good = good and right(net) and not wrong")
        assert out == "True\n"

    def test_they_fork(self):
        handler = """net = build()
            def act():
                child = os.fork()
                if not child:
                    signal.alarm(30)
                    os._exit(0 if right() else 3)
                assert os.waitpid(child, 0)[1] == 0"""
        assert self.storm(handler, self.WORK) == "True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's own BLAS forbids it")
class TestForks:
    CHILD = """
        def forked(check):
            child = os.fork()
            if not child:
                signal.alarm(60)
                try:
                    os._exit(0 if check() else 3)
                except BaseException as error:
                    print(repr(error), file=sys.stderr, flush=True)
                    os._exit(4)
            return os.waitpid(child, 0)[1]
        """

    def test_while_another_thread_runs_the_network(self):
        """The child may run that very network."""
        out = run(
            self.CHILD
            + """
        net, over = build(), False

        def train():
            while not over:
                step(net)

        def check():
            with net.alone():
                return right(net)

        thread = threading.Thread(target=train)
        thread.start()
        print([forked(check) for _ in range(ROUNDS)] == [0] * ROUNDS)
        over = True
        thread.join()
        """
        )
        assert out == "True\n"

    def test_blas_is_as_before_in_the_child(self):
        out = run(
            self.CHILD
            + """
        from elunet.kernels import limits
        functions = threads._libraries().functions
        before = [limits.ask(f) for f in functions[:, 0]]
        net, over = build(), False

        def train():
            while not over:
                step(net)

        thread = threading.Thread(target=train)
        thread.start()
        check = lambda: before == [limits.ask(f) for f in functions[:, 0]]
        print([forked(check) for _ in range(ROUNDS)] == [0] * ROUNDS)
        over = True
        thread.join()
        """
        )
        assert out == "True\n"

    @pytest.mark.numba
    def test_while_another_thread_compiles(self):
        """The child compiles, too; it would wait for ever for a lock that nobody gives back."""
        out = run(
            self.CHILD
            + """
        import numba

        def compiled(k):
            return numba.njit(lambda x: x + k)(1)

        def check():
            return compiled(5) == 6 and right()

        over, found = False, []

        def compile():
            k = 0
            while not over:
                compiled(k := k + 1)

        thread = threading.Thread(target=compile)
        thread.start()
        for _ in range(ROUNDS // 5):
            time.sleep(0.02)
            found.append(forked(check))
        over = True
        thread.join()
        print(found == [0] * len(found))
        """,
            timeout=300,
        )
        assert out == "True\n"

    def test_within_a_pass(self):
        """In a tap: the child continues the pass, and can run others."""
        out = run(
            self.CHILD
            + """
        net, found = build(), []
        y = net(X)

        def tap(name, value):
            found.append(forked(lambda: right() and np.array_equal(net(X), y)))

        net.forward(X, tap=tap)
        print(found == [0] * len(net))
        """
        )
        assert out == "True\n"
