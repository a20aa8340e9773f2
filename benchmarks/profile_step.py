"""Where the time of one row of the table goes, for one thread and for all.

    python benchmarks/profile_step.py lenet-train

It prints, for each number of threads,

- the parts of a step: forward, loss, backward, optimizer;
- the main thread's time inside matrix products and compiled kernels, its waiting for the other
  threads, and the rest, which is Python. They are counted by putting clocks around `numpy.matmul`
  and `numpy.dot` (the lines matmul and dot), around every compiled function that elunet's modules
  hold, and around `elunet.engine.threads`' wait for a worker (the line wait). The clocks cost a
  little, so this is a second run. A kernel that is called otherwise counts as Python;
- each layer called by hand, outside of the network: what it takes beside a bare product of the
  same shapes. By hand no layer's work waits for the next one's, so the sum differs from the
  network's time; the line "by hand, sum" shows by how much;
- what Python's profiler sees at the top;

and at the end one line for each number of threads: the step, and how many percent of it the main
thread is in products, in kernels, in Python, and waiting. `--summary FILE` appends these lines to a
CSV file, with the sums by hand and of the bare products:

    python benchmarks/profile_step.py lenet-train --summary docs/data/profile-rows.csv

It uses what a user of elunet can use, but for the clocks. Times of parts and layers are medians in
microseconds, or the least with `--least`, for a machine that has other work; the clocks and the
profiler give means.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import math
import pstats
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import threadpoolctl
from _common import (
    Row,
    append_csv,
    available_cores,
    command_line,
    print_table,
    versions,
    write_csv,
)
from peers.ours import network, training
from works import WORKS, Work, data

import elunet as eln
from elunet.engine import threads as engine_threads

PRODUCTS = ("matmul", "dot")
WAITING = ("wait",)

Calls = list[tuple[str, Callable[[], Any]]]


class Step:
    """One work's step, call by call."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.net = network(work.network)
        self.loss, self.router, self.optimizer = training(self.net, work.network)
        self.x, self.y = data(work)

    def forward(self) -> None:
        """Run the network, and keep the logits."""
        self.logits = self.net.forward(self.x, train=self.work.phase == "train")

    def value(self) -> None:
        """Compute the loss and its gradient."""
        _, self.dy = self.loss(self.logits, self.y)

    def backward(self) -> None:
        """Fill the gradients."""
        self.router.backward(self.net, self.dy, release=True)

    def update(self) -> None:
        """Take the optimizer's step."""
        self.optimizer.step(self.net, self.router)

    def calls(self) -> Calls:
        """Return the calls that make up the step."""
        train: Calls = [
            ("forward", self.forward),
            ("loss", self.value),
            ("backward", self.backward),
            ("optimizer", self.update),
        ]
        return train if self.work.phase == "train" else train[:1]

    def run(self) -> None:
        """Do all of it."""
        for _, call in self.calls():
            call()


class Measure:
    """Takes the time of calls: the median of as many repeats as fit, or the least."""

    def __init__(self, seconds: float, least: bool) -> None:
        self.seconds = seconds
        self.pick: Callable[[Sequence[float]], float] = min if least else statistics.median

    def parts(self, calls: Calls) -> list[float]:
        """Return the microseconds of calls that follow one another."""
        times: list[list[float]] = [[] for _ in calls]
        for name_and_call in calls * 3:
            name_and_call[1]()
        end = time.perf_counter() + self.seconds
        while not times[0] or time.perf_counter() < end:
            for (_, call), spent in zip(calls, times, strict=True):
                begin = time.perf_counter()
                call()
                spent.append(time.perf_counter() - begin)
        return [1e6 * self.pick(spent) for spent in times]

    def one(self, call: Callable[[], Any]) -> float:
        """Return the microseconds of a call."""
        return Measure.parts(self, [("", call)])[0]


class Clocks:
    """Adds up the seconds inside products and kernels, and of waiting, for each thread."""

    def __init__(self) -> None:
        self.inside: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.calls: dict[str, int] = defaultdict(int)
        self._here = threading.local()

    def clocked(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call with a clock around it; what a clocked call calls is its own."""

        def run(*arguments: Any, **named: Any) -> Any:
            if getattr(self._here, "busy", False):
                return call(*arguments, **named)
            self._here.busy = True
            begin = time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                self.inside[threading.get_ident()][name] += time.perf_counter() - begin
                self.calls[name] += 1
                self._here.busy = False

        return run

    @contextmanager
    def running(self) -> Iterator[None]:
        """Put the clocks in, and take them out again."""
        from numba.core.dispatcher import Dispatcher

        before: list[tuple[Any, str, Any]] = [(np, name, getattr(np, name)) for name in PRODUCTS]
        worker = engine_threads._Worker
        before += [(worker, name, getattr(worker, name)) for name in WAITING]
        for module in [value for name, value in sys.modules.items() if name.startswith("elunet")]:
            for name, value in vars(module).items():
                if isinstance(value, Dispatcher):
                    before.append((module, name, value))
        kept: dict[int, Callable[..., Any]] = {}
        for owner, name, value in before:
            kept.setdefault(id(value), self.clocked(name, value))
            setattr(owner, name, kept[id(value)])
        try:
            yield
        finally:
            for owner, name, value in before:
                setattr(owner, name, value)


def inside(step: Step, seconds: float) -> tuple[list[Row], Row]:
    """Return what the threads spend inside products and kernels, a step, and the main one's shares.

    Shares are percent of the step.
    """
    step.run()
    clocks, steps, spent = Clocks(), 0, 0.0
    with clocks.running():
        while not steps or spent < seconds:
            begin = time.perf_counter()
            step.run()
            spent += time.perf_counter() - begin
            steps += 1
    main = clocks.inside.pop(threading.get_ident(), {})
    others: dict[str, float] = defaultdict(float)
    for thread in clocks.inside.values():
        for name, value in thread.items():
            others[name] += value

    def row(what: str, ours: float, theirs: float | None, calls: float | None) -> Row:
        return {
            "inside": what,
            "calls": calls,
            "main_thread_us": 1e6 * ours / steps,
            "others_us": None if theirs is None else 1e6 * theirs / steps,
            "share_percent": 100 * ours / spent,
        }

    names = sorted({*main, *others}, key=lambda name: -main.get(name, 0.0))
    rows = [
        row(name, main.get(name, 0.0), others.get(name, 0.0), clocks.calls[name] / steps)
        for name in names
    ]
    rest = spent - sum(main.values())
    rows.append(row("Python", rest, None, None))
    rows.append(row("step, with the clocks", spent, None, None))

    products = sum(main.get(name, 0.0) for name in PRODUCTS)
    waiting = sum(main.get(name, 0.0) for name in WAITING)
    seconds_of = {
        "products": products,
        "kernels": sum(main.values()) - products - waiting,
        "python": rest,
        "waiting": waiting,
    }
    return rows, {f"{name}_percent": 100 * part / spent for name, part in seconds_of.items()}


def products(work: Work) -> dict[int, list[Callable[[], Any]]]:
    """Return the bare products of each weighted layer: forward, weight's and input's gradient."""
    found: dict[int, list[Callable[[], Any]]] = {}
    rng = np.random.default_rng(0)
    place = 0
    for index, (part, before, after) in enumerate(work.network.walk()):
        if part[0] not in ("conv", "dense"):
            continue
        inner = before[-1] * (part[2] ** 2 if part[0] == "conv" else 1)
        rows = work.batch * math.prod(after[:-1])
        x = rng.normal(size=(rows, inner)).astype(np.float32)
        W = rng.normal(size=(inner, after[-1])).astype(np.float32)
        y, dW, dx = x @ W, np.empty_like(W), np.empty_like(x)

        def forward(x: Any = x, W: Any = W, y: Any = y) -> None:
            np.matmul(x, W, out=y)

        def params(x: Any = x, y: Any = y, dW: Any = dW) -> None:
            np.matmul(x.T, y, out=dW)

        def back(W: Any = W, y: Any = y, dx: Any = dx) -> None:
            np.matmul(y, W.T, out=dx)

        found[index] = [forward, params, *([back] if place else [])]
        place += 1
    return found


def by_hand(step: Step, measure: Measure) -> list[Row]:
    """Return what each layer takes outside of the network."""
    train = step.work.phase == "train"
    x = step.x
    bare = products(step.work)
    rows: list[Row] = []
    learns = False
    for index, (name, layer) in enumerate(zip(step.net.names, step.net, strict=True)):
        y = layer.forward(x, train=train)
        dy = np.full_like(y, 0.01)
        calls: Calls = [("forward", lambda layer=layer, x=x: layer.forward(x, train=train))]  # type: ignore[misc]
        if train and layer.params:
            calls.append(("params", lambda layer=layer, dy=dy: layer.backward_params(dy)))  # type: ignore[misc]
        if train and learns:
            calls.append(("input", lambda layer=layer, dy=dy: layer.backward_input(dy)))  # type: ignore[misc]
        learns = learns or bool(layer.params)
        times = dict(zip([call[0] for call in calls], measure.parts(calls), strict=True))
        total = sum(times.values())
        alone = sum(least_of_threads(measure, call) for call in bare.get(index, [])[: len(calls)])
        rows.append(
            {
                "layer": name,
                "kind": repr(layer),
                "forward_us": times["forward"],
                "params_us": times.get("params"),
                "input_us": times.get("input"),
                "total_us": total,
                "products_us": alone or None,
                "beside_us": total - alone,
            }
        )
        x = np.array(y)  # the layer may write over its own the next time
    sums: Row = {"layer": "by hand, sum", "kind": ""}
    for key in list(rows[0])[2:]:
        sums[key] = sum(row[key] or 0.0 for row in rows)
    return [*rows, sums]


def least_of_threads(measure: Measure, product: Callable[[], Any]) -> float:
    """Return the microseconds of a bare product, with BLAS's own threads or without."""
    times = [measure.one(product)]
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        times.append(measure.one(product))
    return min(times)


def top(step: Step, seconds: float, lines: int) -> str:
    """Return the functions in which Python's profiler finds most time, a step."""
    profile, steps = cProfile.Profile(), 0
    end = time.perf_counter() + seconds
    while not steps or time.perf_counter() < end:
        profile.runcall(step.run)
        steps += 1
    text = io.StringIO()
    stats = pstats.Stats(profile, stream=text).strip_dirs()
    entries = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:lines]  # type: ignore[attr-defined]
    for (file, line, function), (_, calls, own, total, _) in entries:
        where = function if file == "~" else f"{file}:{line} {function}"
        text.write(
            f"{1e6 * own / steps:9.1f} us itself {1e6 * total / steps:9.1f} us with callees"
            f" {calls / steps:7.1f} calls  {where}\n"
        )
    return text.getvalue()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], epilog=f"works: {', '.join(WORKS)}"
    )
    parser.add_argument("work", choices=list(WORKS), metavar="WORK")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement")
    parser.add_argument("--least", action="store_true", help="the least time, not the median")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--top", type=int, default=15, help="lines of the profiler's")
    parser.add_argument("--csv", help="file for the layers by hand")
    parser.add_argument("--summary", metavar="FILE", help="CSV file to append the last lines to")
    options = parser.parse_args()
    measure = Measure(options.seconds, options.least)
    few = Measure(options.seconds / 5, options.least)
    work = WORKS[options.work]
    print(f"{work.key}: {work}, float32")
    written: list[Row] = []
    summary: list[Row] = []
    for threads in sorted({1, options.threads}):
        eln.set_num_threads(threads)
        step = Step(work)
        print(f"\n== {threads} thread{'s' * (threads > 1)}\n")
        parts = [name for name, _ in step.calls()]
        times = measure.parts(step.calls())
        rows: list[Row] = [
            {"part": name, "us": us, "share_percent": 100 * us / sum(times)}
            for name, us in zip([*parts, "step"], [*times, sum(times)], strict=True)
        ]
        print_table(rows)
        print()
        clocked, shares = inside(step, options.seconds)
        print_table(clocked)
        print()
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):
            layers = by_hand(step, few)
        print_table(layers)
        written += [{"threads": threads, **row} for row in layers]
        summary.append(
            {
                "work": work.key,
                "threads": threads,
                "step_us": sum(times),
                **shares,
                "by_hand_us": layers[-1]["total_us"],
                "bare_products_us": layers[-1]["products_us"],
            }
        )
        print(f"\nPython's profiler, the main thread ({options.seconds:g} s of steps):\n")
        print(top(step, options.seconds, options.top))
    print("\n== where the main thread's time goes\n")
    print_table(summary)
    if options.summary:
        append_csv(options.summary, command_line(__file__), versions(), summary)
    if options.csv:
        about = versions() | {"setting": f"{work.key}, float32"}
        write_csv(options.csv, command_line(__file__), about, written)


if __name__ == "__main__":
    main()
