"""Where a train step goes: each layer's forward and both halves of its backward pass.

Each layer's three methods are wrapped with a clock, and then the network runs as it always does,
with its own workspace and threads, but no layer's work waits for the next one's (so the sum is a
little more than a step takes elsewhere). What the sum of the layers leaves of the whole step is the
loss, the optimizer (rows of their own) and the network's own bookkeeping ("rest"). GFLOP/s count
two operations per multiply-add of the plain convolution, whatever the layer really computes, so
that a faster algorithm shows as a higher rate. For comparison stands the rate of one large product,
split over the same threads.

With `--torch` PyTorch's layers stand beside ours (channels_last): each module by itself, forward
and backward through autograd, measured after ours in the same process.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import Row, available_cores, command_line, print_table, versions, write_csv
from peers.ours import network
from works import CASE_B, CASE_D, ELU11, SMALL_CNN, SMALL_CNN_NORM, Network, Work, data

import elunet as eln
from elunet.engine.threads import run
from elunet.network import multiply_adds

CASES = {
    "elu11": ELU11,
    "b": CASE_B,
    "d": CASE_D,
    "small": SMALL_CNN,
    "small-norm": SMALL_CNN_NORM,
}
METHODS = ("forward", "backward_params", "backward_input")


class Clocks:
    """Adds up the seconds of each named call; `finish` ends a step."""

    def __init__(self) -> None:
        self.steps: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.now: dict[tuple[str, str], float] = defaultdict(float)

    def timed(self, name: str, method: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, with a clock around it; a layer that has it is run pass by pass."""

        def timed(*arguments: Any, **named: Any) -> Any:
            begin = time.perf_counter()
            result = call(*arguments, **named)
            self.now[name, method] += time.perf_counter() - begin
            return result

        return timed

    def finish(self, keep: bool) -> None:
        """End a step, and forget it unless `keep`."""
        for key, seconds in self.now.items():
            if keep:
                self.steps[key].append(seconds)
        self.now.clear()

    def median_ms(self, name: str, method: str) -> float | None:
        """Return the median over steps, or None if there was no such call."""
        seconds = self.steps.get((name, method))
        return 1e3 * statistics.median(seconds) if seconds else None


def sgemm_rate(seconds: float = 1.0) -> float:
    """Return the GFLOP/s of a large float32 product, the rows split over elunet's threads."""
    a, b = np.ones((4096, 1024), np.float32), np.ones((1024, 1024), np.float32)
    y = np.empty((4096, 1024), np.float32)

    def work(start: int, stop: int, worker: int) -> None:
        np.matmul(a[start:stop], b, out=y[start:stop])

    times = []
    while sum(times) < seconds:
        begin = time.perf_counter()
        run(work, len(a), eln.get_num_threads())
        times.append(time.perf_counter() - begin)
    return 2 * a.size * b.shape[1] / statistics.median(times) / 1e9


def torch_layers(
    described: Network, x: Any, threads: int, repeat: int
) -> list[tuple[float, float]]:
    """Return each PyTorch module's forward and backward milliseconds."""
    import torch
    from peers.pytorch import modules

    torch.set_num_threads(threads)
    x = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    x = x.to(memory_format=torch.channels_last)
    times = []
    for place, part in enumerate(modules(described)):
        part.to(memory_format=torch.channels_last)
        if hasattr(part, "inplace"):
            part.inplace = False  # autograd forbids it on what it was given
        forward, backward = [], []
        x = x.detach().requires_grad_(place > 0)
        for _ in range(repeat + 2):
            begin = time.perf_counter()
            y = part(x)
            forward.append(time.perf_counter() - begin)
            dy = torch.ones_like(y)
            begin = time.perf_counter()
            y.backward(dy)
            backward.append(time.perf_counter() - begin)
            x.grad = None
            part.zero_grad()
        x = y
        times.append((1e3 * statistics.median(forward[2:]), 1e3 * statistics.median(backward[2:])))
    return times


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--case", choices=list(CASES), default="elu11")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--torch", action="store_true", help="PyTorch's layers too")
    parser.add_argument("--csv", help="file to write")
    options = parser.parse_args()
    eln.set_num_threads(options.threads)
    described = CASES[options.case]
    net = network(described)
    x, y = data(Work("", described, "train", options.batch))

    shapes: dict[str, tuple[int, ...]] = {}
    net.forward(x[:1], tap=lambda name, output: shapes.update({name: output.shape}))
    clocks = Clocks()
    for node in net.nodes:
        for method in METHODS:
            setattr(
                node.layer, method, clocks.timed(node.name, method, getattr(node.layer, method))
            )
    loss = clocks.timed("loss", "total", eln.losses.SoftmaxCrossEntropy())
    router, optimizer = eln.routers.Backprop(), eln.optim.SGD(0.001, momentum=0.9, l2=0.0005)
    update = clocks.timed("optimizer", "total", optimizer.step)

    def step() -> None:
        _, dy = loss(net.forward(x, train=True), y)
        router.backward(net, dy, release=True)
        update(net, router)

    whole = clocks.timed("step", "total", step)
    for turn in range(options.repeat + 2):
        whole()
        clocks.finish(keep=turn >= 2)

    rows: list[Row] = []
    for name in net.names:
        times = {f"{method}_ms": clocks.median_ms(name, method) for method in METHODS}
        total = sum(value or 0.0 for value in times.values())
        row: Row = {"layer": name, "kind": repr(net[name]), **times, "total_ms": total}
        flops = 2 * options.batch * multiply_adds(net[name], shapes[name])
        for method, value in zip(METHODS, times.values(), strict=True):
            row[f"{method}_GFLOPs"] = flops / value / 1e6 if flops and value else None
        rows.append(row)
    sgemm = sgemm_rate()
    if options.torch:
        theirs = torch_layers(described, x, options.threads, options.repeat)
        for row, (forward, backward) in zip(rows, theirs, strict=True):
            row["torch_forward_ms"], row["torch_backward_ms"] = forward, backward
    total = clocks.median_ms("step", "total") or 0.0
    blank = dict.fromkeys(rows[0])
    for name in ("loss", "optimizer"):
        spent = clocks.median_ms(name, "total") or 0.0
        rows.append({**blank, "layer": name, "kind": "", "total_ms": spent})
    rest = total - sum(row["total_ms"] for row in rows)
    rows.append({**blank, "layer": "rest", "kind": "", "total_ms": rest})
    rows.append({**blank, "layer": "step", "kind": "", "total_ms": total})
    for row in rows:
        row["share_percent"] = 100 * row["total_ms"] / total

    about = versions()
    about["setting"] = (
        f"case {options.case}, batch {options.batch}, float32, {options.threads} threads,"
        f" medians of {options.repeat} steps"
    )
    about["one large product"] = f"{sgemm:.0f} GFLOP/s"
    for name, text in about.items():
        print(f"{name}: {text}")
    print()
    print_table(rows)
    if options.csv:
        write_csv(options.csv, command_line(__file__), about, rows)


if __name__ == "__main__":
    main()
