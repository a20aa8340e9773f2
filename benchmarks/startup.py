"""What a user waits for: `import elunet`, and the first train step with a cold and a warm cache.

Every time is taken in a fresh process. Imports alternate with those of the other libraries, after
one round that fills the system's file cache and is not counted. For the first step of ELU-11
numba's cache lies in a new folder: empty at first (every kernel is compiled), then as that run left
it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec

from _common import Row, command_line, print_table, spread, versions, write_csv

OTHERS = ("torch", "tensorflow", "jax", "openvino", "onnxruntime")

IMPORT = """
import time
begin = time.perf_counter()
import {module}
print(time.perf_counter() - begin)
"""


def time_import(module: str) -> float:
    """Return the seconds that an import takes in a fresh process."""
    command = [sys.executable, "-c", IMPORT.format(module=module)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def first_steps(batch: int) -> None:
    """Be a child: print the seconds of the import and of three train steps."""
    begin = time.perf_counter()
    import numpy as np

    import elunet as eln

    seconds = {"import elunet": time.perf_counter() - begin}
    net, loss = eln.models.elu11(), eln.losses.SoftmaxCrossEntropy()
    optimizer, router = eln.optim.SGD(0.001, momentum=0.9, l2=0.0005), eln.routers.Backprop()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, 32, 32, 3)).astype(np.float32)
    y = rng.integers(0, 10, batch)
    for name in ("first step", "second step", "third step"):
        begin = time.perf_counter()
        router.backward(net, loss(net.forward(x, train=True), y)[1], release=True)
        optimizer.step(net, router)
        seconds[name] = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "versions": versions()}))


def measure(repeat: int, cold: int, batch: int) -> tuple[list[Row], dict[str, str]]:
    """Return a row for each import and each first step, and the versions."""
    times: dict[str, list[float]] = {"import numpy": [], "import numba": [], "import elunet": []}
    for module in OTHERS:
        if find_spec(module) is None:
            print(f"{module} is not installed: no time for its import")
        else:
            times[f"import {module}"] = []
    for turn in range(repeat + 1):
        for name, values in times.items():
            seconds = time_import(name.removeprefix("import "))
            if turn:
                values.append(seconds)
    about: dict[str, str] = {}
    command = [sys.executable, __file__, "--work", "--batch", str(batch)]
    for _ in range(cold):
        with tempfile.TemporaryDirectory() as folder:
            variables = {**os.environ, "NUMBA_CACHE_DIR": folder}
            for cache in ["cold", *["warm"] * repeat]:
                result = subprocess.run(
                    command, env=variables, capture_output=True, text=True, check=True
                )
                answer = json.loads(result.stdout)
                about |= answer["versions"]
                for step, seconds in answer["seconds"].items():
                    if step != "import elunet":
                        times.setdefault(f"{step}, {cache} cache", []).append(seconds)
    return [{"what": name, **spread(values)} for name, values in times.items()], about


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=7, help="imports of each, and warm starts")
    parser.add_argument("--cold", type=int, default=1, help="starts with an empty cache")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--csv", help="file to write")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        first_steps(options.batch)
        return
    rows, about = measure(options.repeat, options.cold, options.batch)
    about["setting"] = f"ELU-11, batch {options.batch}, float32"
    for name, value in about.items():
        print(f"{name}: {value}")
    print()
    print_table(rows)
    if options.csv:
        write_csv(options.csv, command_line(__file__), about, rows)


if __name__ == "__main__":
    main()
