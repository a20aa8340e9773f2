"""What more machines would give: a model, with what one machine measured put in.

    python benchmarks/scaling.py

A machine has two processes of one core. A step takes a process ``t(n)`` for its n rows, between the
measured points a straight line; a process without rows computes one. Gradients of s bytes go round
a ring of m machines:

    T(s) = 2 (m - 1) / m  s / bandwidth        and, once, the latency L = 2 (m - 1) latency

Plain, a step takes ``t(n) + T(all) + L``. Overlapped, bucket i is there after the share r_i of
t(n), and the line carries one after another: ``e_i = max(e_(i-1), r_i t(n)) + T(s_i)``. The step
ends at ``max(t(n), e_last + L)``. The loss's small message adds ``log2(m)`` latencies to both.
Speedup is images per second over those of one machine. Inputs are `distributed-shares.csv` and
`distributed-timeline.csv`, which `distributed.py` writes.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "docs" / "data"
MACHINES = (2, 4, 8, 16, 32, 64, 128)
GBITS = (1, 10, 100)
LATENCY, PROCESSES = 50e-6, 2


def read(name: str) -> list[dict[str, str]]:
    """Return the rows of a table whose first lines are comments."""
    lines = (DATA / name).read_text("utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def seconds_of(shares: Sequence[tuple[float, float]], rows: float) -> float:
    """Return a step's time by a process's rows; above the most that was measured in proportion."""
    rows = max(rows, shares[0][0])
    for (a, low), (b, high) in pairwise(shares):
        if rows <= b:
            return low + (high - low) * (rows - a) / (b - a)
    most, last = shares[-1]
    return last * rows / most


def ring(size: float, machines: int, bandwidth: float) -> float:
    """Return the seconds of a sum of `size` bytes over a ring."""
    return 2 * (machines - 1) / machines * size / bandwidth


def step(
    compute: float, buckets: Sequence[tuple[float, float]], machines: int, gbit: float, over: bool
) -> float:
    """Return the seconds of a step; buckets are (bytes, share of the step after which ready)."""
    if machines == 1:
        return compute
    bandwidth, loss = gbit * 1e9 / 8, math.log2(machines) * LATENCY
    latency = 2 * (machines - 1) * LATENCY
    if not over:
        whole = ring(sum(size for size, _ in buckets), machines, bandwidth)
        return compute + whole + latency + loss
    end = 0.0
    for size, ready in buckets:
        end = max(end, ready * compute) + ring(size, machines, bandwidth)
    return max(compute, end + latency) + loss


def table(network: str, batch: int, weak: bool) -> list[list[Any]]:
    """Return rows of (machines, speedup plain and overlapped for each bandwidth)."""
    shares = sorted(
        (float(row["rows"]), float(row["cpu_ms"]) / 1e3)
        for row in read("distributed-shares.csv")
        if row["network"] == network
    )
    buckets = [
        (float(row["bytes"]), float(row["ready"]))
        for row in read("distributed-timeline.csv")
        if row["network"] == network
    ]
    alone = seconds_of(shares, batch / PROCESSES)
    found = []
    for machines in MACHINES:
        rows = batch / PROCESSES if weak else batch / PROCESSES / machines
        line: list[Any] = [machines]
        for gbit in GBITS:
            times = [
                step(seconds_of(shares, rows), buckets, machines, gbit, over)
                for over in (False, True)
            ]
            line += [alone * (machines if weak else 1) / time for time in times]
        found.append(line)
    return found


def main() -> None:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=lambda text: text.split(","), default=["elu11"])
    for network in parser.parse_args().networks:
        for batch, weak in ((100, False), (1000, False), (100, True)):
            about = "100 images a machine" if weak else f"batch {batch} in all"
            print(f"\n{network}, {about}:\n")
            print("| machines | " + " | ".join(f"{gbit} Gbit/s" for gbit in GBITS) + " |")
            print("|---" * (1 + len(GBITS)) + "|")
            for machines, *speedups in table(network, batch, weak):
                cells = [
                    f"{plain:.1f} / {over:.1f}" if over < 10 else f"{plain:.0f} / {over:.0f}"
                    for plain, over in zip(speedups[::2], speedups[1::2], strict=True)
                ]
                print(f"| {machines} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
