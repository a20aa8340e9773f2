"""A train step and inference of ELU-11: elunet, PyTorch and ONNX Runtime side by side.

Each library runs in a process of its own, and the processes take turns: some steps that are not
counted, which bring its data back into the caches and its threads back to work as in a training
loop, and some that are; then it is the next one's turn. So all see the same minutes of a machine
whose speed changes, and the ratio is taken within each round. One process for all would not be
fair: OpenMP threads go on spinning for a while after PyTorch's last operation and take the cores
from whoever comes next, two libraries' allocators share one heap, and peak memory cannot be told
apart. A process that is not in turn waits for a line on its input, and there is a pause between
turns, so that its threads have gone to sleep.

`--together` adds elunet in a process in which PyTorch has just run on all threads: it shows what
another library's spinning pool does to it. Training and inference have their own processes, so each
has its own peak memory.

What a step is in each library and case is in `_steps.py`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from _common import (
    Row,
    available_cores,
    command_line,
    peak_memory,
    print_table,
    spread,
    versions,
    write_csv,
)
from _steps import Setting, Step, elunet_step, onnx_step, torch_operation, torch_step

SETTLE, COUNTED = 0.15, 0.1  # seconds of steps in a turn; at least one step each

ELUNET = ("elunet", "elunet", "")
NCHW = ("PyTorch NCHW", "torch", "NCHW")
CHANNELS_LAST = ("PyTorch channels_last", "torch", "channels_last")
COMPILE = ("PyTorch compile", "torch", "compile")
ONNX = ("ONNX Runtime", "onnxruntime", "")
TOGETHER = ("elunet after PyTorch", "elunet", "together")


def step_of(setting: Setting, library: str, variant: str) -> Step:
    """Return one step of a library."""
    if library == "torch":
        return torch_step(setting, variant)
    if library == "onnxruntime":
        return onnx_step(setting)
    return elunet_step(setting)


def seconds_per(step: Step, least: float) -> float:
    """Return the mean seconds of a step, over as many as take `least` seconds."""
    begin, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - begin < least:
        step()
        steps += 1
    return (time.perf_counter() - begin) / steps


def work(task: dict[str, Any]) -> None:
    """Be a child: say what is loaded, then run one step for each line on the input."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    setting, library, variant = Setting(**task["setting"]), task["library"], task["variant"]
    before: Step | None = None
    try:
        if variant == "together":
            before = torch_operation(setting.threads)
        step = step_of(setting, library, variant)
        for _ in range(task["warmup"]):
            step()
    except ImportError as error:
        answer(missing=error.name)
        return
    except Exception as error:
        if variant != "compile":
            raise
        answer(failed=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
        return
    answer(versions=versions())
    for line in sys.stdin:
        if line.strip() == "end":
            break
        seconds_per(step, SETTLE)
        if before is not None:
            before()
        answer(seconds=seconds_per(step, COUNTED))
    answer(peak=peak_memory())


class Child:
    """A process that measures one library."""

    def __init__(self, label: str, task: dict[str, Any]) -> None:
        self.label = label
        self.seconds: list[float] = []
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self.read()

    def read(self) -> dict[str, Any]:
        """Return the next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.label}: the process ended; its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line and return the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def end(self) -> float | None:
        """Let the process end and return its peak memory in MB."""
        peak: float | None = self.ask("end")["peak"]
        self.process.communicate()
        return peak


def measure(
    setting: Setting,
    wanted: Sequence[tuple[str, str, str]],
    repeat: int = 20,
    warmup: int = 3,
    pause: float = 0.1,
) -> tuple[list[Row], dict[str, str]]:
    """Let the libraries take turns in one setting; return a row each and the versions."""
    children: list[Child] = []
    about: dict[str, str] = {}
    for label, library, variant in wanted:
        task = {"library": library, "variant": variant, "warmup": warmup}
        child = Child(label, task | {"setting": asdict(setting)})
        if "missing" in child.first:
            name = child.first["missing"]
            if library == "elunet" and variant == "":
                raise ImportError(f"{label}: {name} is missing")
            print(f"{label} is left out: {name} is not installed (pip install {name})")
        elif "failed" in child.first:  # it needs a C++ compiler
            print(f"{label} is left out: {child.first['failed']}")
        else:
            about |= child.first["versions"]
            children.append(child)
    for _ in range(repeat):
        for child in children:
            time.sleep(pause)
            child.seconds.append(child.ask("step")["seconds"])
    rows = []
    for child in children:
        pairs = zip(child.seconds, children[0].seconds, strict=True)
        rows.append(
            {
                "setting": f"{setting.phase}, {setting}",
                "library": child.label,
                **spread(child.seconds),
                "pictures_per_s": setting.batch / statistics.median(child.seconds),
                "times_elunet": statistics.median(theirs / ours for theirs, ours in pairs),
                "peak_MB": child.end(),
            }
        )
    return rows, about


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--case", choices=["elu11", "b", "d"], default="elu11")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=20, help="rounds (default 20)")
    parser.add_argument("--warmup", type=int, default=3, help="steps before (default 3)")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between turns")
    parser.add_argument("--compile", action="store_true", help="torch.compile too (slow to start)")
    parser.add_argument("--together", action="store_true", help="elunet beside PyTorch too")
    parser.add_argument("--csv", help="file to write")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(json.loads(options.work))
        return
    wanted = [ELUNET, *[TOGETHER] * options.together, NCHW, CHANNELS_LAST]
    wanted += [COMPILE] * options.compile
    rows: list[Row] = []
    about: dict[str, str] = {}
    for phase in ("train", "inference"):
        setting = Setting(options.case, phase, options.batch, options.threads)
        libraries = [*wanted, *[ONNX] * (phase == "inference")]
        new, loaded = measure(setting, libraries, options.repeat, options.warmup, options.pause)
        rows += new
        about |= loaded
    for name, value in about.items():
        print(f"{name}: {value}")
    print("times_elunet is the median over rounds of time / elunet's time in the same round\n")
    print_table(rows)
    if options.csv:
        write_csv(options.csv, command_line(__file__), about, rows)


if __name__ == "__main__":
    main()
