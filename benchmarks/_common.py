"""What the benchmarks share: who is measured where, medians, tables and CSV files.

Nothing here imports NumPy or any other library at the top: the process that only asks others to
measure stays small, and a child that measures one library never loads another.
"""

from __future__ import annotations

import csv
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]

LIBRARIES = (
    *("numpy", "numba", "elunet", "torch", "tensorflow", "keras", "jax"),
    *("openvino", "onnx", "onnxruntime"),
)


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    """Return the processor's name, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of what this process has loaded, NumPy's BLAS and its kernel included."""
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": f"{cpu_model()}, {available_cores()} cores available",
    }
    for name in LIBRARIES:
        if name in sys.modules:
            found[name] = str(sys.modules[name].__version__)
    if "numpy" in sys.modules:
        import threadpoolctl

        pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
        # SciPy, which numba may load, has a BLAS of its own.
        pools = [pool for pool in pools if "numpy" in pool["filepath"]] or pools
        if pools:
            keys = ("internal_api", "version", "architecture")
            found["blas"] = " ".join(str(pools[0][key]) for key in keys if pools[0].get(key))
    return found


def peak_memory() -> float | None:
    """Return this process's largest resident memory so far in MB, or None where unknown."""
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak / (1e6 if sys.platform == "darwin" else 1e3))  # bytes there, kB elsewhere


def command_line(script: str) -> str:
    """Return the command that was given, to be quoted beside its results."""
    return shlex.join(["python", f"benchmarks/{Path(script).name}", *sys.argv[1:]])


def spread(seconds: Sequence[float]) -> Row:
    """Return median, quartiles and range in milliseconds."""
    ms = sorted(1e3 * value for value in seconds)
    low, _, high = statistics.quantiles(ms, n=4, method="inclusive") if len(ms) > 1 else ms * 3
    return {
        "median_ms": statistics.median(ms),
        "q1_ms": low,
        "q3_ms": high,
        "min_ms": ms[0],
        "max_ms": ms[-1],
        "runs": len(ms),
    }


def print_table(rows: Sequence[Row]) -> None:
    """Print rows with equal keys as a table: text to the left, numbers to the right."""
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    texts = [any(isinstance(row[name], str) for row in rows) for name in rows[0]]
    for line in cells:
        parts = zip(line, widths, texts, strict=True)
        print("  ".join(c.ljust(w) if text else c.rjust(w) for c, w, text in parts).rstrip())


def write_csv(file: str, command: str, about: dict[str, str], rows: Sequence[Row]) -> None:
    """Write rows below comment lines that hold the command and the versions."""
    with open(file, "w", newline="", encoding="utf-8") as target:
        target.write(f"# command: {command}\n")
        for name, value in about.items():
            target.write(f"# {name}: {value}\n")
        csv.DictWriter(target, list(rows[0]), lineterminator="\n").writeheader()
    _add_rows(file, rows)


def append_csv(file: str, command: str, about: dict[str, str], rows: Sequence[Row]) -> None:
    """Append rows; to a new file below comment lines, as `write_csv`, with the first command."""
    if Path(file).exists():
        _add_rows(file, rows)
    else:
        write_csv(file, command, about, rows)


def _add_rows(file: str, rows: Sequence[Row]) -> None:
    with open(file, "a", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, list(rows[0]), lineterminator="\n")
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return (
        f"{value:.4g}"
        if isinstance(value, float) and value < 1000
        else (f"{value:.0f}" if isinstance(value, float) else str(value))
    )
