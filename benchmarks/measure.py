"""How it is measured: each library in processes of its own, which take turns.

A turn is some steps that are not counted, which bring a library's data back into the caches and
its threads back to work as in a training loop, and some that are; then it is the next one's turn.
So all see the same minutes of a machine whose speed changes. One process for all would not be
fair: threads continue spinning for a while after a library's last operation and take the cores from
whoever comes next, libraries' allocators share one heap, and peak memory cannot be distinguished. A
process that is not in turn waits for a line on its input, and there is a pause between turns, so
that its threads have gone to sleep.

All that is done `processes` times with fresh processes. A time is the median over the processes of
the median over the turns in each. A library that takes more than `HOPELESS` times as long as the
best one in its first turns has no more of them in this process, and if that is so at the end of the
process, it is not started again for this work: its row says "processes 1".
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from _common import Row, available_cores, peak_memory, versions
from peers import ELUNET, PEERS, Built, Peer
from works import WORKS, Work

HOPELESS = 1.5
LEAST_TURNS = 2
LONG = 0.5  # seconds of a step that needs no other one before it
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "KERAS_BACKEND": "tensorflow",
    "JAX_PLATFORMS": "cpu",
}


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    processes : int
        Fresh ones for each library.
    rounds : int
        Turns in each process.
    warmup : int
        Steps before the first turn.
    settle, counted : float
        Seconds of steps in a turn, not counted and counted; at least one step each.
    pause : float
        Seconds between turns.
    threads : int
    """

    processes: int = 3
    rounds: int = 4
    warmup: int = 2
    settle: float = 0.12
    counted: float = 0.1
    pause: float = 0.06
    threads: int = field(default_factory=available_cores)


QUICK = Plan(processes=1, rounds=2, warmup=1, settle=0.05, counted=0.05)


def installed() -> tuple[list[Peer], list[str]]:
    """Return the libraries that can be measured, and a line on each that cannot."""
    there, lines = [], []
    for peer in PEERS:
        missing = [package for package in peer.packages if find_spec(package) is None]
        if missing and peer is ELUNET:
            raise ImportError("elunet is not installed (pip install -e .)")
        if missing:
            names = " and ".join(missing)
            lines.append(f"{peer.label} is left out: {names} not installed")
        else:
            there.append(peer)
    return there, lines


class Child:
    """A process that measures one library."""

    def __init__(self, peer: Peer, plan: Plan) -> None:
        self.peer = peer
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process
        task = {"label": peer.label, "threads": plan.threads}
        self.process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, **QUIET},
            text=True,
        )

    def send(self, **request: Any) -> None:
        """Send a request; its answer is there to `read`."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def read(self) -> Row:
        """Return the answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            end = self.errors.read()[-2000:]
            raise RuntimeError(f"{self.peer.label}: the process ended\n{end}")
        answer: Row = json.loads(line)
        return answer

    def ask(self, **request: Any) -> Row:
        """Send a request and return the answer."""
        self.send(**request)
        return self.read()

    def end(self) -> None:
        """Let the process end."""
        self.process.communicate()
        self.errors.close()


def measure(
    group: Sequence[Work], peers: Sequence[Peer], plan: Plan, say: Callable[[str], None] = print
) -> tuple[list[Row], dict[str, str]]:
    """Let the libraries take turns with each work; return a row for each pair, and the versions.

    The works share their processes. `peak_MB` is measured for the first of them only.
    """
    about: dict[str, str] = {}
    medians: dict[tuple[str, str], list[float]] = {}
    peaks: dict[tuple[str, str], list[float]] = {}
    hopeless: set[tuple[str, str]] = set()
    for _ in range(plan.processes):
        pairs = {
            peer: [w for w in group if peer.takes(w) and (w.key, peer.label) not in hopeless]
            for peer in peers
        }
        children = {peer: Child(peer, plan) for peer, works in pairs.items() if works}
        for work in group:
            ready = _prepare(work, children, pairs, plan, say, hopeless, about)
            seconds: dict[Peer, list[float]] = {peer: [] for peer in ready}
            for turn in range(plan.rounds):
                for peer in _left(ready, seconds) if turn >= LEAST_TURNS else ready:
                    time.sleep(plan.pause)
                    request = {"settle": plan.settle, "counted": plan.counted}
                    seconds[peer].append(children[peer].ask(**request)["seconds"])
            for peer in ready:
                key = work.key, peer.label
                medians.setdefault(key, []).append(statistics.median(seconds[peer]))
                peak = children[peer].ask(peak=True)["peak"]
                if work is group[0] and peak is not None:
                    peaks.setdefault(key, []).append(peak)
            left = _left(ready, {peer: medians[work.key, peer.label] for peer in ready})
            hopeless |= {(work.key, peer.label) for peer in ready if peer not in left}
        for child in children.values():
            child.end()
    rows = []
    for work in group:
        for peer in peers:
            times = medians.get((work.key, peer.label))
            if times:
                rows.append(_row(work, peer, times, peaks.get((work.key, peer.label))))
    return rows, about


def _left(peers: Sequence[Peer], seconds: dict[Peer, list[float]]) -> list[Peer]:
    """Return elunet and those whose times so far are not hopeless beside the best other one's."""
    others = {
        peer: statistics.median(seconds[peer]) for peer in peers if peer.module != ELUNET.module
    }
    best = min(others.values(), default=0.0)
    return [peer for peer in peers if others.get(peer, 0.0) <= HOPELESS * best]


def _prepare(
    work: Work,
    children: dict[Peer, Child],
    pairs: dict[Peer, list[Work]],
    plan: Plan,
    say: Callable[[str], None],
    hopeless: set[tuple[str, str]],
    about: dict[str, str],
) -> list[Peer]:
    """Have the children build the work's network, all at once; return who has."""
    takers = [peer for peer in children if work in pairs[peer]]
    for peer in takers:
        children[peer].send(build=work.key, warmup=plan.warmup)
    ready = []
    for peer in takers:
        answer = children[peer].read()
        if "failed" in answer:  # torch.compile needs a C++ compiler
            say(f"{work.key}: {peer.label} is left out: {answer['failed']}")
            hopeless.add((work.key, peer.label))
        else:
            about |= answer["versions"]
            ready.append(peer)
    return ready


def _row(work: Work, peer: Peer, times: list[float], peaks: list[float] | None) -> Row:
    """Return one library's row."""
    median = statistics.median(times)
    return {
        "work": work.key,
        "library": peer.label,
        "median_ms": 1e3 * median,
        "min_ms": 1e3 * min(times),
        "max_ms": 1e3 * max(times),
        "processes": len(times),
        "images_per_s": work.batch / median,
        "peak_MB": statistics.median(peaks) if peaks else None,
    }


def seconds_per(step: Callable[[], Any], least: float) -> float:
    """Return the mean seconds of a step, over as many as take `least` seconds."""
    begin, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - begin < least:
        step()
        steps += 1
    return (time.perf_counter() - begin) / steps


def serve(task: dict[str, Any]) -> None:
    """Be a child: answer each line of the input."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    (peer,) = (peer for peer in PEERS if peer.label == task["label"])
    keep_to(task["threads"])
    built: Built | None = None
    last = 0.0
    for line in sys.stdin:
        request = json.loads(line)
        if "build" in request:
            built = None
            gc.collect()
            try:
                built = peer.build(WORKS[request["build"]], task["threads"])
                for _ in range(request["warmup"]):
                    last = seconds_per(built.step, 0)
            except Exception as error:
                if peer is ELUNET:
                    raise
                answer(failed=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
                continue
            answer(versions=versions())
        elif "settle" in request:
            assert built is not None
            if last < LONG:
                seconds_per(built.step, request["settle"])
            last = seconds_per(built.step, request["counted"])
            answer(seconds=last)
        else:
            answer(peak=peak_memory())


def keep_to(threads: int) -> None:
    """Leave this process as many cores as it should have threads, where the system can do that.

    JAX has no setting for its threads; it takes the cores that there are.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if threads < len(cores):
            os.sched_setaffinity(0, cores[:threads])


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
