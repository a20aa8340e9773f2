"""The whole table of what elunet is meant to reach, from one command.

    python benchmarks/everything.py
    python benchmarks/everything.py --only mlp,lenet-train --quick

Every work of `works.py` in every library that is installed, each in processes of its own that take
turns (`measure.py` says how); peak memory while ELU-11 is trained; imports and first steps
(`startup.py`). The ratio is the best other library's time divided by elunet's: above 1 elunet is
faster.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace

import startup
from _common import Row, available_cores, command_line, print_table, write_csv
from measure import QUICK, Plan, installed, measure
from peers import ELUNET
from works import ELU11, GROUPS, WORKS, Work

START = "startup"
MEMORY_WANTED = 1.0


def summary(work: Work, rows: Sequence[Row]) -> Row:
    """Return the line of a work: elunet against the best of the others."""
    ours, others = split(rows)
    best = min(others, key=lambda row: row["median_ms"], default=None)
    ratio = best["median_ms"] / ours["median_ms"] if best else None
    return {
        "work": work.key,
        "elunet_ms": ours["median_ms"],
        "images_per_s": ours["images_per_s"],
        "best_other": best["library"] if best else "",
        "other_ms": best["median_ms"] if best else None,
        "ratio": ratio,
        "wanted": work.wanted,
        "met": met(ratio, work.wanted, work.hoped),
    }


def memory(work: Work, rows: Sequence[Row]) -> Row:
    """Return the line of a training's peak memory: elunet against the least of the others."""
    ours, others = split(rows)
    least = min(others, key=lambda row: row["peak_MB"], default=None)
    ratio = least["peak_MB"] / ours["peak_MB"] if least else None
    return {
        "memory": work.key,
        "elunet_MB": ours["peak_MB"],
        "least_other": least["library"] if least else "",
        "other_MB": least["peak_MB"] if least else None,
        "ratio": ratio,
        "wanted": MEMORY_WANTED,
        "met": met(ratio, MEMORY_WANTED, None),
    }


def split(rows: Sequence[Row]) -> tuple[Row, list[Row]]:
    """Return elunet's row and those of the other libraries."""
    (ours,) = (row for row in rows if row["library"] == ELUNET.label)
    return ours, [row for row in rows if ELUNET.label not in row["library"]]


def met(ratio: float | None, wanted: float | None, hoped: float | None) -> str:
    """Say whether a ratio is what is wanted."""
    if ratio is None or wanted is None:
        return ""
    if hoped is not None and ratio >= hoped:
        return f"yes, {hoped:g} too"
    return "yes" if ratio >= wanted else "NO"


def chosen(only: str) -> tuple[list[list[Work]], bool]:
    """Return the works that are named, by keys or their beginnings, and whether START is."""
    texts = [text.strip() for text in only.split(",") if text.strip()] or [""]
    keys = [*WORKS, START]
    for text in texts:
        if not any(key.startswith(text) for key in keys):
            raise SystemExit(f"--only: expected {', '.join(keys)} or their beginnings, got {text}")

    def named(key: str) -> bool:
        return any(text == key or (text not in keys and key.startswith(text)) for text in texts)

    groups = [[work for work in group if named(work.key)] for group in GROUPS]
    return [group for group in groups if group], named(START)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--only", default="", metavar="PART[,PART]", help="works, or the beginnings of their names"
    )
    parser.add_argument("--quick", action="store_true", help="one process each, few rounds")
    parser.add_argument("--processes", type=int, help="fresh processes of each library")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--csv", help="file to write all rows to")
    options = parser.parse_args()
    plan = replace(QUICK if options.quick else Plan(), threads=options.threads)
    if options.processes:
        plan = replace(plan, processes=options.processes)
    groups, start = chosen(options.only)
    peers, lines = installed()
    for text in lines:
        print(text)
    begin = time.perf_counter()

    rows: list[Row] = []
    about: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # compiled once, and not by an earlier run
        for group in groups:
            new, loaded = measure(group, peers, plan)
            rows += new
            about |= loaded
            keys = ", ".join(work.key for work in group)
            print(f"{time.perf_counter() - begin:5.0f} s: {keys}", flush=True)
    times, memories = [], []
    for work in (work for group in groups for work in group):
        mine = [row for row in rows if row["work"] == work.key]
        times.append(summary(work, mine))
        if work.network is ELU11 and any(row["peak_MB"] for row in mine if work.phase == "train"):
            memories.append(memory(work, mine))
    starts: list[Row] = []
    if start:
        starts, loaded = startup.measure(2 if options.quick else 5, 1, 100)
        about |= loaded
    about["setting"] = (
        f"float32, {plan.threads} threads, {plan.processes} processes of each library,"
        f" {plan.rounds} turns each"
    )

    print()
    for key, value in about.items():
        print(f"{key}: {value}")
    for table in (rows, times, memories, starts):
        if table:
            print()
            print_table(table)
    missed = [line for line in (*times, *memories) if line["met"] == "NO"]
    if times:
        print("\nratio: the best other library's time, or the least memory, divided by elunet's")
    for line in missed:
        name = line.get("work") or f"memory of {line['memory']}"
        print(f"missed: {name}: {line['ratio']:.2f} where {line['wanted']:g} is wanted")
    if times and not missed:
        print("nothing is missed")
    if options.csv and rows:
        write_csv(options.csv, command_line(__file__), about, rows)


if __name__ == "__main__":
    main()
