"""Ctrl-C in hand-written loops: what a pass changes is put back, whatever the instruction."""

from __future__ import annotations

import _thread
import dis
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L
from elunet.engine import memory, threads, turns
from elunet.kernels import limits

FULL = os.environ.get("ELUNET_HOSTILE") == "full"
PACKAGE = str(Path(eln.__file__).parent)
KERNELS = os.path.join(PACKAGE, "kernels")
HERE = Path(__file__).parent


def blas_threads():
    return [limits.ask(function) for function in threads._libraries().functions[:, 0]]


CALLS = {"CALL", "CALL_KW", "CALL_FUNCTION_EX"}


@cache
def after_looks(code):
    """Return the offsets of instructions before which Python looks whether a signal has come.

    It does so at a function's start, which is no such instruction, after a call, and when a loop
    goes round. Its error comes from the call or the jump; here, from the instruction that follows.
    Where a ``try`` ends in between, that is no such place.
    """
    regions = dis._parse_exception_table(code)

    def region(offset):
        return [its.target for its in regions if its.start <= offset < its.end]

    steps = list(dis.get_instructions(code))
    pairs = [(a.offset, b.offset) for a, b in pairwise(steps) if a.opname in CALLS]
    pairs += [(its.offset, its.argval) for its in steps if its.opname.startswith("JUMP_BACKWARD")]
    return {after for before, after in pairs if region(before) == region(after)}


class InterruptAnywhere:
    """Raises KeyboardInterrupt at the k-th place of this thread where Python looks for signals.

    These are places in our own functions and in those of Python that they call; not in numba's.
    """

    def __init__(self, place):
        self.place, self.counted, self.came = place, 0, 0
        self.files = []  # of each place

    def __enter__(self):
        self.before = sys.gettrace()  # coverage's, which continues afterwards
        sys.settrace(self.begin)
        return self

    def __exit__(self, *error):
        sys.settrace(self.before)

    def begin(self, frame, event, argument):
        file = frame.f_code.co_filename
        if file == __file__ or file.startswith(KERNELS) or f"{os.sep}numba{os.sep}" in file:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.count(frame)
        return self.go_on

    def go_on(self, frame, event, argument):
        if event == "opcode" and frame.f_lasti in after_looks(frame.f_code):
            self.count(frame)
        if event == "return" and frame.f_back.f_code.co_code[frame.f_back.f_lasti] in CALL_CODES:
            self.count(frame)  # what follows may be outside of a `try` that the call is in
        return self.go_on

    def count(self, frame):
        self.counted += 1
        self.files.append(frame.f_code.co_filename)
        if self.counted == self.place:
            self.came += 1
            raise KeyboardInterrupt


CALL_CODES = {dis.opmap[name] for name in CALLS if name in dis.opmap}


class Interrupt:
    """Raises KeyboardInterrupt at a function's first line, or at the end of a call in our files.

    At `storm` the next ones follow, so many in all, at any place after it.
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
    net = build()
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
    """Interrupt a step in which workers are started, and look at all that has to be put back."""
    eln.set_num_threads(2)
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
        assert not refused(step)
    else:
        assert not interrupt.came  # or somebody has swallowed it
    step.net.release()
    gc.collect()  # errors and their tracebacks
    assert step.net._workspace.nbytes == 0


def refused(step):
    """Return whether another thread is kept out of the network."""
    came = []

    def run():
        try:
            step.net(step.x)
        except RuntimeError as error:
            came.append(str(error))

    other = threading.Thread(target=run)
    other.start()
    other.join()
    return bool(came)


def computes_right(step):
    """Return whether the network computes what a fresh one does, bit for bit."""
    fresh, dy = build(), np.ones((len(step.x), 3), np.float32)
    for mine, its in zip(fresh, step.net, strict=True):
        mine.params, mine.state = dict(its.params), its.state.copy()
    got, expected = (net.forward(step.x, train=True) for net in (step.net, fresh))
    dx, expected_dx = (net.backward(dy) for net in (step.net, fresh))
    return np.array_equal(got, expected) and np.array_equal(dx, expected_dx)


def test_at_every_place(loop):
    """Or, in the short form, at every one of the engine's turns and some of the others."""
    with InterruptAnywhere(place=10**9) as counter:
        eln.set_num_threads(2)
        loop()
    assert counter.counted > 2000
    ours = {threads.__file__, turns.__file__}
    places = [
        place
        for place, file in enumerate(counter.files, 1)
        if FULL or file in ours or place % 37 == 0
    ]
    others = _thread._count() - len(threads._pool.team.workers)
    for number, place in enumerate(places):
        check(loop, InterruptAnywhere(place))
        if number % 20 == 0:
            assert computes_right(loop)
    eln.set_num_threads(1)
    until = time.monotonic() + 10
    while _thread._count() > others and time.monotonic() < until:
        time.sleep(0.01)
    assert _thread._count() <= others  # no worker is left
    assert computes_right(loop)


def test_several_in_a_row(loop):
    """As if somebody leaned on Ctrl-C: the next comes while the first one goes up."""
    places = count_places(loop)
    for place in range(1, places, 1 if FULL else 11):
        for storm in (2, 3, 5):
            check(loop, Interrupt(place, storm))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent to processes elsewhere only")
@pytest.mark.parametrize("sender", [(), ("--timer",)])
def test_real_ones(sender):
    count = 3000 if FULL else 30
    run = subprocess.run(
        [sys.executable, str(HERE / "interrupts.py"), "--interrupts", str(count), *sender],
        capture_output=True,
        text=True,
        timeout=60 + count,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(run.stdout)["wrong"] == {}


@pytest.mark.numba  # plain kernels may be interrupted while they set BLAS's threads
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")
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
            assert not refused(loop)
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert came == count
