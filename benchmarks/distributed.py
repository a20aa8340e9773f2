"""Whether more processes make a training faster: one process, two threads, two processes.

    python benchmarks/distributed.py steps    --csv docs/data/distributed-steps.csv
    python benchmarks/distributed.py shares   --csv docs/data/distributed-shares.csv
    python benchmarks/distributed.py timeline --csv docs/data/distributed-timeline.csv --png FILE
    python benchmarks/distributed.py namespaces

`steps` times train steps of batch 100 by one process with one thread (1x1), one with two (1x2) and
two with one each (2x1), in turn, each in processes of its own. `shares` gives what a step costs a
process by the rows that it has, as CPU time, which others on the machine disturb little. `timeline`
says when in a step the gradients of each bucket are there. `namespaces` times the gradients' sum
between two network namespaces whose link lets through 1 Gbit/s; it needs root and `tc`.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common

NETWORKS = ("elu11", "small_cnn")
CONFIGURATIONS = {"1x1": (1, 1), "1x2": (1, 2), "2x1": (2, 1)}
BATCH = 100
SHARES = (1, 2, 3, 6, 12, 25, 50, 100)
LINK = ("rate", "1gbit", "burst", "256kb", "latency", "50ms")


def mpirun(ranks: int, *more: str) -> list[str]:
    """Return the beginning of a command for so many processes."""
    program = shutil.which("mpirun")
    if program is None:
        sys.exit("expected mpirun on the path: install openmpi or mpich")
    text = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    options = ["--oversubscribe", "--allow-run-as-root"] if "Open MPI" in text else []
    return [program, *options, *more, "-n", str(ranks)]


def child(*arguments: Any, ranks: int = 0, more: tuple[str, ...] = ()) -> Any:
    """Return what a process of this file prints last, as JSON."""
    command = mpirun(ranks, "--bind-to", "none", *more) if ranks else []
    command += [sys.executable, __file__, "child", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def prepared(name: str, rows: int, group: Any = None) -> tuple[Any, Any]:
    """Return a trainer and a data set of many batches of so many rows."""
    import numpy as np

    import elunet as eln

    net = eln.models.elu11(seed=0) if name == "elu11" else eln.models.small_cnn(seed=0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows * 40, 32, 32, 3)).astype(np.float32)
    y = rng.integers(0, 10, len(x))
    trainer = eln.Trainer(
        net,
        eln.losses.SoftmaxCrossEntropy(),
        eln.optim.SGD(1e-4, momentum=0.9),
        batch_size=rows,
        progress=False,
        distributed=group,
    )
    return trainer, (x, y)


def times(name: str, rows: int, steps: int, group: Any = None) -> tuple[list[float], list[float]]:
    """Return the wall and CPU seconds of steps after the first few."""
    import elunet as eln

    class Clock(eln.Callback):
        wall: list[float] = []  # noqa: RUF012 - one object
        cpu: list[float] = []  # noqa: RUF012

        def on_step(self, trainer: Any, loss: float) -> None:
            self.wall.append(time.perf_counter())
            self.cpu.append(time.process_time())
            if len(self.wall) > steps + 5:
                raise StopIteration

    trainer, data = prepared(name, rows, group)
    clock = Clock()
    trainer.callbacks.append(clock)
    with suppress(StopIteration):
        trainer.fit(data, epochs=1 + steps // 30)
    wall, cpu = ([b - a for a, b in pairwise(v[4:])] for v in (clock.wall, clock.cpu))
    return wall, cpu


def steps(options: argparse.Namespace) -> list[common.Row]:
    """Time the configurations in turn."""
    medians: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for name in options.networks:
            for label, (ranks, threads) in CONFIGURATIONS.items():
                arguments = ("steps", name, threads, options.steps)
                found = child(*arguments, ranks=ranks if ranks > 1 else 0)
                medians.setdefault((name, label), []).append(found)
                print(name, label, f"{1e3 * found:.1f} ms", file=sys.stderr, flush=True)
    rows = []
    for name in options.networks:
        ms = {label: 1e3 * statistics.median(medians[name, label]) for label in CONFIGURATIONS}
        rows.append(
            {
                "network": name,
                **{f"{label}_ms": round(value, 1) for label, value in ms.items()},
                "efficiency_2x1": round(ms["1x1"] / (2 * ms["2x1"]), 3),
                "2x1_of_1x2": round(ms["2x1"] / ms["1x2"], 3),
                "load": round(os.getloadavg()[0], 1),
            }
        )
    return rows


def shares(options: argparse.Namespace) -> list[common.Row]:
    """Time a step by the rows that a process has."""
    rows = []
    for name in options.networks:
        for count in SHARES:
            found = child("shares", name, count, options.steps)
            rows.append(
                {
                    "network": name,
                    "rows": count,
                    "cpu_ms": round(1e3 * found[0], 2),
                    "wall_ms": round(1e3 * found[1], 2),
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def timeline(options: argparse.Namespace) -> list[common.Row]:
    """Say when each bucket's gradients are there, as a share of a step."""
    rows = []
    for name in options.networks:
        for place, (size, ready, asked) in enumerate(
            child("timeline", name, options.steps, ranks=2)
        ):
            rows.append(
                {
                    "network": name,
                    "bucket": place,
                    "bytes": size,
                    "ready": round(ready, 4),
                    "backward_begins": round(asked, 4),
                }
            )
    if options.png:
        draw(rows, options.png)
    return rows


def draw(rows: list[common.Row], file: Path) -> None:
    """Draw how much of the gradients is there in the course of a step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(row["network"] for row in rows):
        its = [row for row in rows if row["network"] == name]
        total = sum(row["bytes"] for row in its)
        x, y, sent = [0.0], [0.0], 0
        for row in its:
            x += [100 * row["ready"]] * 2
            y += [100 * sent / total, 100 * (sent + row["bytes"]) / total]
            sent += row["bytes"]
        (line,) = axes.plot([*x, 100], [*y, 100], label=f"{name}, {total / 1e6:.2f} MB")
        begins = 100 * its[0]["backward_begins"]
        axes.axvline(begins, color=line.get_color(), linestyle=":", linewidth=1)
    axes.set_xlabel("time in a step, % (dotted: the backward walk begins)")
    axes.set_ylabel("gradients on their way, %")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 105)
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=150)


def namespaces(options: argparse.Namespace) -> list[common.Row]:
    """Time the sum over a link of 1 Gbit/s between two network namespaces.

    Two processes that mpirun starts on one machine would talk through memory. So each runs in a
    namespace of its own, and TCP is the only way that Open MPI is left.
    """
    names, address = ("elunet-a", "elunet-b"), "10.77.0."
    run = lambda *words: subprocess.run(words, check=True)  # noqa: E731
    try:
        for name in names:
            run("ip", "netns", "add", name)
        run("ip", "link", "add", "veth-a", "type", "veth", "peer", "name", "veth-b")
        for place, (name, link) in enumerate(zip(names, ("veth-a", "veth-b"), strict=True), 1):
            inside = ("ip", "netns", "exec", name)
            run("ip", "link", "set", link, "netns", name)
            run(*inside, "ip", "addr", "add", f"{address}{place}/24", "dev", link)
            run(*inside, "ip", "link", "set", link, "up")
            run(*inside, "ip", "link", "set", "lo", "up")
            run(*inside, "tc", "qdisc", "add", "dev", link, "root", "tbf", *LINK)
        rows = []
        for overlapped in (0, 1):
            found = _in_namespaces(names, overlapped, options.steps)
            rows.append({"overlapped": overlapped, "wait_ms": round(1e3 * found, 1)})
        return rows
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


def _in_namespaces(names: tuple[str, str], overlapped: int, count: int) -> float:
    """Return the median wait at a walk's end, of one process in each namespace."""
    with tempfile.TemporaryDirectory() as folder:
        agent = Path(folder) / "agent.sh"  # Open MPI calls it in place of ssh
        agent.write_text(f"""#!/bin/sh
shift $((OPTIND - 1))
while [ "${{1#-}}" != "$1" ]; do shift; done
host=$1; shift
case "$host" in *.1) space={names[0]} ;; *) space={names[1]} ;; esac
exec ip netns exec "$space" unshare --uts sh -c "hostname $space; $*"
""")
        agent.chmod(0o755)
        hosts = ",".join(f"10.77.0.{k}:1" for k in (1, 2))
        mca = ("--prtemca", "plm_ssh_agent", str(agent), "--prtemca", "oob_tcp_if_include")
        mca += ("10.77.0.0/24", "--mca", "btl", "tcp,self", "--mca", "pml", "ob1")
        inner = mpirun(2, "--bind-to", "none", "--host", hosts, *mca)
        inner += [sys.executable, __file__, "child", "wait", "elu11", str(overlapped), str(count)]
        # Of a name of its own each, or Open MPI takes both for one machine.
        outer = ["ip", "netns", "exec", names[0], "unshare", "--uts", "sh", "-c"]
        command = [*outer, f"hostname {names[0]}; {shlex.join(inner)}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def be_child(arguments: list[str]) -> None:
    """Measure, and print the result of the first process."""
    import elunet as eln

    task, name, *rest = arguments
    if task == "steps":
        threads, count = map(int, rest)
        eln.set_num_threads(threads)
        several = "OMPI_COMM_WORLD_SIZE" in os.environ or "PMI_SIZE" in os.environ
        group = eln.distributed.Group() if several else None
        found: Any = statistics.median(times(name, BATCH, count, group)[0])
        _print(found, group)
    elif task == "shares":
        rows, count = map(int, rest)
        eln.set_num_threads(1)
        wall, cpu = times(name, rows, max(count, 200 // rows))
        _print((statistics.median(cpu), statistics.median(wall)), None)
    elif task == "timeline":
        eln.set_num_threads(1)
        group = eln.distributed.Group()
        _print(_moments(name, int(rest[0]), group), group)
    elif task == "wait":
        overlapped, count = map(int, rest)
        eln.set_num_threads(1)
        group = eln.distributed.Group()
        _print(_wait(name, bool(overlapped), count, group), group)


def _print(found: Any, group: Any) -> None:
    if group is None or group.rank == 0:
        print(json.dumps(found), flush=True)


def _moments(name: str, count: int, group: Any) -> list[tuple[int, float, float]]:
    """Return each bucket's bytes and when it is sent, and when the walk begins, in CPU time.

    As shares of a step of one process's rows, the median over steps.
    """
    from elunet.distributed.buckets import Buckets

    marks: list[tuple[str, float, int]] = []
    begin, send = Buckets.begin, Buckets.send

    def noting_begin(self: Any) -> None:
        marks.append(("walk", time.process_time(), 0))
        begin(self)

    def noting_send(self: Any) -> None:
        size = self.buckets[len(self._requests)].flat.nbytes
        marks.append(("sent", time.process_time(), size))
        send(self)

    Buckets.begin, Buckets.send = noting_begin, noting_send  # type: ignore[method-assign]
    import elunet as eln

    class Ends(eln.Callback):
        def on_step(self, trainer: Any, loss: float) -> None:
            marks.append(("end", time.process_time(), 0))

    trainer, data = prepared(name, BATCH, group)
    trainer.callbacks.append(Ends())
    few = data[0][: BATCH * min(count + 5, 40)], data[1][: BATCH * min(count + 5, 40)]
    trainer.fit(few)
    ends = [place for place, mark in enumerate(marks) if mark[0] == "end"]
    steps: list[list[tuple[int, float, float]]] = []
    for a, b in pairwise(ends[3:]):
        start, length = marks[a][1], marks[b][1] - marks[a][1]
        walk = next(mark[1] for mark in marks[a + 1 : b] if mark[0] == "walk")
        steps.append(
            [
                (size, (moment - start) / length, (walk - start) / length)
                for kind, moment, size in marks[a + 1 : b]
                if kind == "sent"
            ]
        )
    return [
        (
            bucket[0][0],
            statistics.median(ready for _, ready, _ in bucket),
            statistics.median(walk for *_, walk in bucket),
        )
        for bucket in zip(*steps, strict=True)
    ]


def _wait(name: str, overlapped: bool, count: int, group: Any) -> float:
    """Return how long a walk waits at its end for the sums, in the median."""
    from elunet.distributed.buckets import Buckets

    waits: list[float] = []
    wait, send = Buckets.wait, Buckets.send

    def timed(self: Any) -> None:
        begin = time.perf_counter()
        while not overlapped and len(self._requests) < len(self.buckets):
            send(self)
        wait(self)
        waits.append(time.perf_counter() - begin)

    Buckets.wait = timed  # type: ignore[method-assign]
    if not overlapped:
        Buckets.fills = lambda self, layer: False  # type: ignore[method-assign]
    trainer, (x, y) = prepared(name, BATCH, group)
    trainer.fit((x[: BATCH * count], y[: BATCH * count]))
    return statistics.median(waits[3:])


def main() -> None:
    """Measure and print; keep the table if `--csv` is given."""
    if sys.argv[1:2] == ["child"]:
        be_child(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tasks = {"steps": steps, "shares": shares, "timeline": timeline, "namespaces": namespaces}
    parser.add_argument("task", choices=tasks)
    parser.add_argument("--networks", type=lambda text: text.split(","), default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind; default 5")
    parser.add_argument("--steps", type=int, default=30, help="steps of each process; default 30")
    parser.add_argument("--csv", type=Path, help="where to keep the numbers")
    parser.add_argument("--png", type=Path, help="where to draw the timeline")
    options = parser.parse_args()
    rows = tasks[options.task](options)
    common.print_table(rows)
    if options.csv:
        import elunet  # noqa: F401 - so that its version, numba's and NumPy's are told

        common.write_csv(options.csv, common.command_line(__file__), common.versions(), rows)


if __name__ == "__main__":
    main()
