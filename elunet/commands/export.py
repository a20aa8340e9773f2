"""Write the network of a finished or interrupted run of ``elunet train`` as an ONNX file.

    elunet export runs/elu11 elu11.onnx

It needs the package onnx. The file is for images of 32 x 32 x 3, prepared as in the run.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from elunet.commands._parser import make_parser
from elunet.exchange import to_onnx
from elunet.experiments.recipes import RECIPES
from elunet.storage.weights import load
from elunet.train import Job

COMMAND, SHAPE = ("elunet", "export"), (32, 32, 3)


def main(arguments: Sequence[str] | None = None, command: Sequence[str] = COMMAND) -> int:
    """Export what the command line names; return the exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments, command)
    try:
        if not Job.is_in(options.run):
            raise ValueError(f"expected a folder of elunet train, got {options.run}")
        saved = Job(options.run, log=print).resume(options.run)
        case = saved.settings.get("case") if saved else None
        if saved is None or case not in RECIPES:
            raise ValueError(
                f"expected a run of elunet train in {options.run}, got a run of another program"
            )
        net = RECIPES[case].network(0)
        load(net, saved.file)
        to_onnx(net, SHAPE, options.file)
    except (OSError, ValueError, ImportError) as error:
        print(f"{shlex.join(command)}: {error}", file=sys.stderr)
        return 2
    print(f"{options.file}: case {case} after step {saved.step}, for images (N, 32, 32, 3)")
    return 0


def parse(arguments: Sequence[str], command: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, COMMAND, command)
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("file", type=Path, metavar="FILE.onnx")
    options = parser.parse_args(arguments)
    if options.file.suffix != ".onnx":  # it may be one of the run's own files
        parser.error(f"argument FILE.onnx: expected a name that ends in .onnx, got {options.file}")
    return options
