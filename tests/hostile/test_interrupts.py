"""Ctrl-C in hand-written loops: what a pass changes is put back, whatever the instruction."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L
from elunet.engine import memory, threads
from elunet.kernels import limits

FULL = os.environ.get("ELUNET_HOSTILE") == "full"
PACKAGE = str(Path(eln.__file__).parent)
KERNELS = os.path.join(PACKAGE, "kernels")
HERE = Path(__file__).parent


def blas_threads():
    return [limits.ask(function) for function in threads._libraries().functions[:, 0]]


class Interrupt:
    """Raises KeyboardInterrupt at one of the places where Python looks whether a signal has come.

    These are the first line of a function of ours, and the end of each call. At `storm` the next
    ones follow, so many in all, at any place after it.
    """

    def __init__(self, place, storm=1):
        self.place, self.left, self.counted, self.came = place, storm, 0, 0

    def __enter__(self):
        sys.setprofile(self.look)
        return self

    def __exit__(self, *error):
        sys.setprofile(None)

    def look(self, frame, event, argument):
        file = frame.f_code.co_filename
        if not file.startswith(PACKAGE) or file.startswith(KERNELS):  # numba tells of each call
            return
        if event in ("call", "c_return"):
            self.counted += 1
            if self.counted >= self.place and self.left:
                self.left -= 1
                self.came += 1
                raise KeyboardInterrupt


def build():
    layers = [
        *(L.Conv2D(3, 8, 3), L.ELU(), L.MaxPool2D(), L.Conv2D(8, 4, 1), L.BatchNorm(4)),
        *(L.Flatten(), L.Linear(256, 3)),
    ]
    return eln.Sequential(layers, seed=0)


@pytest.fixture
def loop():
    """Return a step of a hand-written loop, in which two threads take part."""
    yield from a_loop(build())


@pytest.fixture
def small_loop():
    """Return one that has few places at which it can be interrupted."""
    yield from a_loop(eln.Sequential([L.Conv2D(3, 2, 2, stride=8), L.Flatten(), L.Linear(8, 3)]))


def a_loop(net):
    before = threads.SMALL, eln.get_num_threads()
    hooks = gc.callbacks.copy()
    gc.callbacks.clear()  # hypothesis has one, in which an interrupt would be lost
    gc.collect()
    gc.freeze()  # so that collecting takes no time
    threads.SMALL = 1_000
    eln.set_num_threads(2)
    optimizer = eln.optim.Adam(1e-3)
    loss, hand = eln.losses.SoftmaxCrossEntropy(), L.Conv2D(3, 4, 3, seed=0)
    x = np.random.default_rng(0).normal(size=(12, 16, 16, 3)).astype(np.float32)
    labels = np.arange(12) % 3

    def step():
        net.backward(loss(net.forward(x, train=True), labels)[1])
        optimizer.step(net)
        hand.backward(hand.forward(x))

    for _ in range(2):
        step()
    step.net, step.x = net, x
    yield step
    threads.SMALL = before[0]
    eln.set_num_threads(before[1])
    gc.unfreeze()
    gc.callbacks += hooks


def count_places(step):
    """Return at how many places a step can be interrupted."""
    with Interrupt(place=10**9) as counter:
        step()
    return counter.counted


def check(step, interrupt):
    before, settings = blas_threads(), np.geterr()
    try:
        with interrupt:
            step()
    except KeyboardInterrupt:  # while its traceback still holds what was running
        team = threads._pool.team
        assert blas_threads() == before
        assert not threads._users[0]
        assert not threads.blas_limit().mine[0]
        assert np.geterr() == settings
        assert memory.current.workspace is None
        assert memory.current.least == memory.SMALL
        assert not threads._pool.user
        assert not threads._here.shares_out
        assert team is None or (team.given == team.done).all()
        assert interrupt.came
    else:
        assert not interrupt.came  # or somebody has swallowed it
    net = step.net
    net.release()
    gc.collect()  # errors and their tracebacks
    assert net._workspace.nbytes == 0
    refused = []
    other = threading.Thread(target=lambda: refused.append(net(step.x)))  # is not kept out
    other.start()
    other.join()
    assert len(refused) == 1


def test_at_every_place(loop):
    """Or, in the short form, at every third."""
    places = count_places(loop)
    assert places > 300
    for place in range(1, places, 1 if FULL else 3):
        check(loop, Interrupt(place))
    fresh, x = build(), loop.x
    for mine, its in zip(fresh, loop.net, strict=True):
        mine.params, mine.state = dict(its.params), dict(its.state)
    np.testing.assert_array_equal(fresh.forward(x), loop.net.forward(x))


def test_at_every_place_of_a_small_network(small_loop):
    places = count_places(small_loop)
    for place in range(1, places):
        check(small_loop, Interrupt(place))


def test_several_in_a_row(loop):
    """As if somebody leaned on Ctrl-C: the next comes while the first one goes up."""
    places = count_places(loop)
    for place in range(1, places, 1 if FULL else 11):
        for storm in (2, 3, 5):
            check(loop, Interrupt(place, storm))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent to processes elsewhere only")
@pytest.mark.parametrize("count", [3000 if FULL else 60])
def test_real_ones(count):
    run = subprocess.run(
        [sys.executable, str(HERE / "interrupts.py"), "--interrupts", str(count)],
        capture_output=True,
        text=True,
        timeout=60 + count,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(run.stdout)["wrong"] == {}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")
@pytest.mark.skipif(not FULL, reason="known to fail now and then on a busy machine; see promises")
def test_a_timer_that_ends_every_step(loop):
    """As a time limit does: signals that another handler turns into an error."""
    before, came, count = blas_threads(), 0, 400 if FULL else 60

    def late(number, frame):
        raise TimeoutError

    handler = signal.signal(signal.SIGALRM, late)
    try:
        for number in range(count):
            end = time.monotonic() + 2.0
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 1e-4 + 5e-5 * (number % 60))
                    while time.monotonic() < end:
                        loop()
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except TimeoutError:
                came += 1
            assert blas_threads() == before
            assert not threads._users[0]
            assert not loop.net._turn.holder
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert came == count
