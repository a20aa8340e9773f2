"""The whole table of what elunet is meant to reach, from one command; a few minutes.

ELU-11 against PyTorch and ONNX Runtime, the article's case d, feedback alignment on case b's
network, two threads against one, batches from 32 to 400, peak memory, imports and first steps.
Each part is one that `train_step.py` or `startup.py` measures by itself; their openings say how.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import startup
from _common import Row, available_cores, command_line, print_table, write_csv
from _steps import Setting
from train_step import CHANNELS_LAST, COMPILE, ELUNET, NCHW, ONNX, TOGETHER, measure

BATCHES = (32, 200, 400)  # besides 100
ONE_THREAD = "ELU-11, train step, 1 thread"
START = "imports and first steps"


def best(rows: list[Row], name: str) -> Row:
    """Return a line of the summary: elunet against the fastest of the others."""
    ours, others = rows[0], [row for row in rows[1:] if "elunet" not in row["library"]]
    line: Row = {"what": name, "elunet_ms": ours["median_ms"], "elunet_MB": ours["peak_MB"]}
    if not others:
        return line | dict.fromkeys(("best_other", "other_ms", "faster", "other_MB", "memory"))
    other = min(others, key=lambda row: row["times_elunet"])
    least = [row["peak_MB"] for row in others if row["peak_MB"]]
    return line | {
        "best_other": other["library"],
        "other_ms": other["median_ms"],
        "faster": other["times_elunet"],
        "other_MB": min(least, default=None),
        "memory": ours["peak_MB"] / min(least) if least else None,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=12, help="rounds (default 12)")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--batch", type=int, help="one batch size in place of 32 to 400")
    parser.add_argument("--only", default="", help="only the parts whose name contains this text")
    parser.add_argument("--csv", help="file to write all rows to")
    options = parser.parse_args()
    base = Setting(batch=options.batch or 100, threads=options.threads)
    eager = [ELUNET, NCHW, CHANNELS_LAST]
    train = f"ELU-11, train step, batch {base.batch}"
    plan = [
        (train, base, [ELUNET, TOGETHER, NCHW, CHANNELS_LAST, COMPILE]),
        ("ELU-11, inference", replace(base, phase="inference"), [*eager, COMPILE, ONNX]),
        ("case d, train step", replace(base, case="d"), [*eager, COMPILE]),
        ("case b's net, FA, train step", replace(base, case="b"), [*eager, COMPILE]),
        (ONE_THREAD, replace(base, threads=1), [ELUNET, CHANNELS_LAST]),
    ]
    for batch in () if options.batch else BATCHES:
        name = f"ELU-11, train step, batch {batch}"
        plan.append((name, replace(base, batch=batch), [ELUNET, CHANNELS_LAST, COMPILE]))
    rows: list[Row] = []
    summary: list[Row] = []
    about: dict[str, str] = {}
    for name, setting, libraries in plan:
        if options.only not in name:
            continue
        repeat = max(1, min(options.repeat, 1200 // setting.batch))
        new, loaded = measure(setting, libraries, repeat, warmup=min(2, options.repeat))
        rows += new
        about |= loaded
        summary.append(best(new, name))
        print(f"{name}: done", flush=True)
    starts: list[Row] = []
    if options.only in START:
        starts, loaded = startup.measure(min(5, options.repeat), 1, base.batch)
        about |= loaded

    print()
    for key, value in about.items():
        print(f"{key}: {value}")
    print("times_elunet is the median over rounds of time / elunet's time in the same round\n")
    if rows:
        print_table(rows)
        print("\nAgainst the fastest of the others, and the one with the least memory:\n")
        print_table(summary)
    times = {line["what"]: line["elunet_ms"] for line in summary}
    if times.keys() >= {train, ONE_THREAD}:
        ratio = times[ONE_THREAD] / times[train]
        print(f"\n{base.threads} threads against one: {ratio:.2f}")
    if starts:
        print()
        print_table(starts)
    if options.csv and rows:
        write_csv(options.csv, command_line(__file__), about, rows)


if __name__ == "__main__":
    main()
