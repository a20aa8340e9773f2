"""Real interrupts of a hand-written training loop, and the state of the process after each.

    python tests/hostile/interrupts.py --interrupts 3000
    python tests/hostile/interrupts.py --interrupts 3000 --timer

Another process sends SIGINT at random moments, as Ctrl-C does, while a loop trains a network large
enough for several threads; or this process's own timer does, as for a time limit. Each loop begins
by starting its workers. After each one it is asked: did it arrive as a KeyboardInterrupt, and
not in some finalizer, where Python only prints it? Has BLAS as many threads as before, and NumPy
its settings? Does nobody count as running, does no worker work, is all memory of the workspace
back? Does the network compute what a fresh one computes, bit for bit? The report is JSON, and the
exit code 1 if anything was wrong.
"""

from __future__ import annotations

import _thread
import argparse
import gc
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np

import elunet as eln
from elunet import layers as L
from elunet.engine import memory, threads
from elunet.kernels import limits

SENDER = """
import os, signal, sys, time
for line in sys.stdin:
    until = time.perf_counter() + float(line)
    while time.perf_counter() < until:
        pass
    os.kill(int(sys.argv[1]), signal.SIGINT)
"""
LATEST = 0.012  # seconds until an interrupt; a step takes less
ENOUGH = 20  # seconds after which one that was sent has not arrived


def build() -> eln.Sequential:
    """Return a network with all kinds of passes: started ones, products, small and large ones."""
    layers = [
        *(L.Conv2D(3, 16, 3), L.ELU(), L.MaxPool2D(), L.Conv2D(16, 16, 3, algorithm="winograd")),
        *(L.BatchNorm(16), L.ReLU(), L.MeanPool2D(), L.Dropout(0.2), L.Flatten()),
        *(L.Linear(1024, 32), L.Tanh(), L.Linear(32, 10)),
    ]
    return eln.Sequential(layers, seed=0)


class Loop:
    """A training loop as a careful student writes it."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(48, 32, 32, 3)).astype(np.float32)
        self.y = rng.integers(0, 10, 48)
        self.net, self.loss = build(), eln.losses.SoftmaxCrossEntropy()
        self.optimizer = eln.optim.Adam(1e-3)
        self.hand = [L.Conv2D(3, 8, 3, seed=0), L.ELU(), L.MaxPool2D()]

    def step(self) -> None:
        """Train for a step; run some layers by hand, and a pass without training."""
        logits = self.net.forward(self.x, train=True)
        _, dy = self.loss(logits, self.y)
        self.net.backward(dy)
        self.optimizer.step(self.net)
        z = self.x[:8]
        for layer in self.hand:
            z = layer.forward(z)
        for layer in reversed(self.hand):
            z = layer.backward(z)
        self.net(self.x[:5])


def probe(net: eln.Network, x: np.ndarray) -> np.ndarray:
    """Return what can be compared: an output and the gradients of a pass without dropout."""
    net["dropout1"].rate = 0.0
    y = net.forward(x, train=True)
    dx = net.backward(np.cos(y))
    net["dropout1"].rate = 0.2
    return np.concatenate([y.ravel(), dx.ravel(), *(g.ravel() for g in net.gradients().values())])


def blas_threads() -> list[int]:
    """Return the BLAS libraries' numbers of threads."""
    return [limits.ask(function) for function in threads._libraries().functions[:, 0]]


def twin(net: eln.Network) -> eln.Network:
    """Return a fresh network with the same parameters and statistics."""
    fresh = build()
    for mine, its in zip(fresh, net, strict=True):
        mine.params = {name: value.copy() for name, value in its.params.items()}
        mine.state = {name: value.copy() for name, value in its.state.items()}
    return fresh


def state() -> dict[str, object]:
    """Return what a pass changes and puts back."""
    team = threads._pool.team
    return {
        "BLAS's threads": blas_threads(),
        "who uses BLAS": (int(threads._users[0]), int(threads.blas_limit().mine[0])),
        "NumPy's settings": np.geterr(),
        "who has the workers": (len(threads._pool.user), threads._here.shares_out),
        "whose workspace is drawn on": memory.current.workspace,
        "a worker at work": team is not None and bool((team.given != team.done).any()),
    }


def refused(loop: Loop) -> bool:
    """Return whether another thread is kept out of the network."""
    came: list[RuntimeError] = []

    def run() -> None:
        try:
            loop.net(loop.x[:1])
        except RuntimeError as error:
            came.append(error)

    other = threading.Thread(target=run)
    other.start()
    other.join()
    return bool(came)


def train_until_interrupted(
    loop: Loop, before: dict[str, object], ask: Callable[[], None]
) -> list[str]:
    """Ask for an interrupt and train until it comes; return what is not as before."""
    begin = time.monotonic()
    try:
        ask()
        while time.monotonic() - begin < ENOUGH:
            loop.step()
    except KeyboardInterrupt:
        now = state()  # while its traceback still holds what was running
        found = [name for name, value in before.items() if now[name] != value]
        return found + ["who runs the network"] * refused(loop)
    return ["an interrupt that did not arrive"]


class Sender:
    """Sends this process SIGINT when asked to, from another process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SENDER, str(os.getpid())],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ask(self, seconds: float) -> None:
        """Have an interrupt come after so many seconds."""
        print(seconds, file=self.process.stdin, flush=True)

    def end(self) -> None:
        """End the other process."""
        self.process.communicate()


class Timer:
    """Has the system send this process SIGALRM."""

    def __init__(self) -> None:
        signal.signal(signal.SIGALRM, signal.default_int_handler)

    def ask(self, seconds: float) -> None:
        """Have an interrupt come after so many seconds."""
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def end(self) -> None:
        """Do nothing; each interrupt asked for has come."""


def run(interrupts: int, seed: int, sender: Sender | Timer) -> dict[str, object]:
    """Interrupt, and return a report."""
    rng, loop, wrong = random.Random(seed), Loop(), Counter[str]()
    unraisable: list[str] = []
    sys.unraisablehook = lambda what: unraisable.append(f"{what.exc_type}: {what.object!r}")
    others = _thread._count()
    for _ in range(3):
        loop.step()
    before, begin = state(), time.monotonic()
    for number in range(interrupts):
        eln.set_num_threads(eln.get_num_threads())  # so that workers are started
        after = rng.uniform(1e-6, LATEST)
        wrong.update(train_until_interrupted(loop, before, partial(sender.ask, after)))
        loop.net.release()
        for layer in loop.hand:
            layer.forget()
        gc.collect()
        if loop.net._workspace.nbytes:
            wrong["memory that is not returned"] += 1
        if number % 10 == 0 and not np.array_equal(
            probe(loop.net, loop.x), probe(twin(loop.net), loop.x)
        ):
            wrong["other bits"] += 1
    sender.end()
    loop.step()
    time.sleep(0.2)
    workers = _thread._count() - others
    if workers > eln.get_num_threads() - 1:
        wrong["workers too many"] = workers
    if unraisable:
        wrong["swallowed"] = len(unraisable)
    return {
        "interrupts": interrupts,
        "seconds": round(time.monotonic() - begin, 1),
        "wrong": dict(wrong),
        "swallowed": unraisable[:3],
    }


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--interrupts", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timer", action="store_true", help="no other process sends signals")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been ignored
    eln.set_num_threads(options.threads)
    sender = Timer() if options.timer else Sender()
    report = run(options.interrupts, options.seed, sender)
    print(json.dumps(report))
    return bool(report["wrong"])


if __name__ == "__main__":
    sys.exit(main())
