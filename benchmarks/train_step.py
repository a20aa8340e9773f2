"""A train step and inference of ELU-11: elunet and PyTorch side by side.

Each library runs in a process of its own, and the processes take turns: a step that is not counted,
which brings its data back into the caches, and one that is; then it is the next one's turn. So all
see the same minutes of a machine whose speed changes, and the ratio is taken within each round. One
process for all would not be fair: OpenMP threads go on spinning for a while after PyTorch's last
operation and take the cores from whoever comes next, two libraries' allocators share one heap, and
peak memory cannot be told apart. A process that is not in turn waits for a line on its input, and
there is a pause between turns, so that its threads have gone to sleep.

`--together` adds elunet in a process in which PyTorch has just run on all threads: it shows what
another library's spinning pool does to it. Training and inference have their own processes, so each
has its own peak memory.

Case elu11: SGD, momentum 0.9, L2 0.0005 on weights, the paper's dropout, max pooling. Case d: the
article's, Adam, L2 0.0001, mean pooling, no biases. Inputs are the same random pictures; float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
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

WIDTHS = {
    "elu11": (192, 192, 240, 240, 260, 260, 280, 280, 300, 300),
    "d": (192, 192, 192, 240, 240, 260, 260, 280, 280, 300),
}
KERNELS = ((5,), (1, 3), (1, 2), (1, 2), (1, 2), (1,))
DROPOUT = {"elu11": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), "d": (0.0,) * 6}

Step = Callable[[], None]


def elunet_step(case: str, phase: str, batch: int, threads: int) -> Step:
    """Return one step of elunet."""
    import numpy as np

    import elunet as eln

    eln.set_num_threads(threads)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, 32, 32, 3)).astype(np.float32)
    y = rng.integers(0, 10, batch)
    net = eln.models.elu11() if case == "elu11" else eln.models.article_case(case)
    loss, router = eln.losses.SoftmaxCrossEntropy(), eln.routers.Backprop()
    optimizer: eln.optim.Optimizer = (
        eln.optim.SGD(0.001, momentum=0.9, l2=0.0005)
        if case == "elu11"
        else eln.optim.Adam(1e-4, l2=0.0001)
    )

    def train() -> None:
        logits = net.forward(x, train=True)
        _, dy = loss(logits, y)
        router.backward(net, dy)
        optimizer.step(net, router)

    def infer() -> None:
        net.forward(x)

    return train if phase == "train" else infer


def torch_step(case: str, phase: str, batch: int, threads: int, variant: str) -> Step:
    """Return one step of PyTorch; `variant` is "NCHW", "channels_last" or "compile"."""
    import numpy as np
    import torch
    from torch import nn

    # It says at each even kernel that "same" padding may need a copy.
    warnings.filterwarnings("ignore", message="Using padding='same'")
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    bias, widths = case == "elu11", iter(WIDTHS[case])
    parts: list[nn.Module] = []
    channels = 3
    for place, (kernels, rate) in enumerate(zip(KERNELS, DROPOUT[case], strict=True)):
        for kernel in kernels:
            units = next(widths)
            parts.append(nn.Conv2d(channels, units, kernel, padding="same", bias=bias))
            parts.append(nn.ELU(inplace=True))
            channels = units
        if place < 5:
            parts.append(nn.MaxPool2d(2) if case == "elu11" else nn.AvgPool2d(2))
        if rate:
            parts.append(nn.Dropout(rate))
    parts += [nn.Conv2d(channels, 10, 1, bias=bias), nn.Flatten()]
    net: Any = nn.Sequential(*parts)
    for part in parts:
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(batch, 3, 32, 32)).astype(np.float32))
    y = torch.from_numpy(rng.integers(0, 10, batch))
    if variant == "channels_last":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim == 1]
    decay = 0.0005 if case == "elu11" else 0.0001
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": decay}]
    groups += [{"params": others}] if others else []
    optimizer: Any = (
        torch.optim.SGD(groups, 0.001, momentum=0.9)
        if case == "elu11"
        else torch.optim.Adam(groups, 1e-4)
    )
    net.train(phase == "train")
    if variant == "compile":
        net = torch.compile(net)

    def train() -> None:
        value: Any = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    def infer() -> None:
        with torch.inference_mode():
            net(x)

    return train if phase == "train" else infer


def torch_operation(threads: int) -> Step:
    """Return a short operation on all of PyTorch's threads, after which they spin for a while."""
    import torch

    torch.set_num_threads(threads)
    numbers = torch.ones(4_000_000)

    def run() -> None:
        numbers.exp_().clamp_(0, 1)

    return run


def work(task: dict[str, Any]) -> None:
    """Be a child: say what is loaded, then run one step for each line on the input."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    library, variant = task["library"], task["variant"]
    arguments = task["case"], task["phase"], task["batch"], task["threads"]
    before: Step | None = None
    try:
        if library == "torch":
            step = torch_step(*arguments, variant)
        else:
            if variant == "together":
                before = torch_operation(task["threads"])
            step = elunet_step(*arguments)
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
        step()
        if before is not None:
            before()
        begin = time.perf_counter()
        step()
        answer(seconds=time.perf_counter() - begin)
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


def measure(phase: str, options: argparse.Namespace) -> tuple[list[Row], dict[str, str]]:
    """Let the libraries take turns in one phase; return a row each and the versions."""
    wanted = [("elunet", "elunet", "")]
    wanted += [("elunet after PyTorch", "elunet", "together")] if options.together else []
    wanted += [
        ("PyTorch NCHW", "torch", "NCHW"),
        ("PyTorch channels_last", "torch", "channels_last"),
    ]
    wanted += [("PyTorch compile", "torch", "compile")] if options.compile else []
    children: list[Child] = []
    about: dict[str, str] = {}
    for label, library, variant in wanted:
        task = {"library": library, "variant": variant, "phase": phase, "warmup": options.warmup}
        task |= {"case": options.case, "batch": options.batch, "threads": options.threads}
        child = Child(label, task)
        if child.first.get("missing") == "torch":
            print("PyTorch is not installed: no times for it (pip install torch)")
            break
        if "failed" in child.first:  # it needs a C++ compiler
            print(f"{label} is left out: {child.first['failed']}")
            continue
        if "missing" in child.first:
            raise ImportError(f"{label}: {child.first['missing']} is missing")
        about |= child.first["versions"]
        children.append(child)
    for _ in range(options.repeat):
        for child in children:
            time.sleep(options.pause)
            child.seconds.append(child.ask("step")["seconds"])
    rows = []
    for child in children:
        pairs = zip(child.seconds, children[0].seconds, strict=True)
        rows.append(
            {
                "phase": phase,
                "library": child.label,
                **spread(child.seconds),
                "pictures_per_s": options.batch / statistics.median(child.seconds),
                "times_elunet": statistics.median(theirs / ours for theirs, ours in pairs),
                "peak_MB": child.end(),
            }
        )
    return rows, about


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--case", choices=["elu11", "d"], default="elu11")
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
    rows: list[Row] = []
    about: dict[str, str] = {}
    for phase in ("train", "inference"):
        new, loaded = measure(phase, options)
        rows += new
        about |= loaded
    about["setting"] = (
        f"case {options.case}, batch {options.batch}, float32, {options.threads} threads"
    )
    for name, value in about.items():
        print(f"{name}: {value}")
    print("times_elunet is the median over rounds of time / elunet's time in the same round\n")
    print_table(rows)
    if options.csv:
        write_csv(options.csv, command_line(__file__), about, rows)


if __name__ == "__main__":
    main()
