"""Run other libraries' own test samples through elunet, and count what agrees.

    python tests/peers [onnx] [modules] [operators]

Without a name, all three: ONNX's cases for backends, PyTorch's module_db and op_db. Forward passes
and gradients are compared, PyTorch's in float64 and float32. It prints what agreed, what elunet
cannot express and why, and what disagreed, and ends with a table; it fails if anything disagreed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from peers.counting import HEAD, Counts

SOURCES = {
    "onnx": ("onnx_nodes", "ONNX's cases for backends"),
    "modules": ("torch_modules", "PyTorch's modules (module_db)"),
    "operators": ("torch_operators", "PyTorch's operators (op_db)"),
}
NEEDED = {"onnx": "onnx", "modules": "torch", "operators": "torch"}


def main(names: list[str]) -> int:
    """Print the counts; return how many samples disagreed."""
    counted = []
    for name in names or SOURCES:
        module, source = SOURCES[name]
        try:
            importlib.import_module(NEEDED[name])
        except ImportError as error:
            print(f"{source}: skipped, {error}\n")
            continue
        counts = Counts(source)
        importlib.import_module(f"peers.{module}").run(counts)
        print(counts.text(), flush=True)
        counted.append(counts)
    print(HEAD, *(counts.row for counts in counted), sep="\n")
    return sum(len(counts.disagreed) for counts in counted)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help=f"{', '.join(SOURCES)}; default: all")
    chosen = parser.parse_args().names
    if not set(chosen) <= SOURCES.keys():
        parser.error(f"expected names among {', '.join(SOURCES)}, got {' '.join(chosen)}")
    sys.exit(main(chosen) > 0)
