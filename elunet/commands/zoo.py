"""Run a gradient check, or tests, on layers with known bugs and on correct layers.

    elunet zoo my_check.py:check
    elunet zoo test_my_layers.py --of Linear --json results.json

What stands after the colon is a function ``check(layer, x)`` or a class of tests in the file;
without one, the file is run by pytest. It runs in this process: use it for practice and for code
that you trust. For submissions use elunet grade. The exit code is 0 whatever the points.
"""

from __future__ import annotations

import argparse
import runpy
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from elunet.commands._parser import ended, make_parser
from elunet.storage.files import write_atomically
from elunet.teaching import grade, mutants

COMMAND = ("elunet", "zoo")
ZOOS = {"layer": mutants.layers, "loss": mutants.losses, "optimizer": mutants.optimizers}


def main(arguments: Sequence[str] | None = None, command: Sequence[str] = COMMAND) -> int:
    """Run the checker that the command line names; return the exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments, command)
    try:
        file, _, name = options.checker.partition(".py:")
        checker = options.checker if not name else runpy.run_path(f"{file}.py")[name]
        score = grade(
            checker, options.kind, ZOOS[options.kind](of=options.of), seconds=options.seconds
        )
        print(score)
        if options.json:
            write_atomically(options.json, (score.to_json() + "\n").encode())
    except KeyError as error:
        print(f"{shlex.join(command)}: expected {error} in {file}.py, got none", file=sys.stderr)
        return 2
    except (OSError, TypeError, ValueError) as error:
        print(f"{shlex.join(command)}: {error}", file=sys.stderr)
        return 2
    except SystemExit as error:  # or its 0 would say that it was graded
        print(f"{shlex.join(command)}: {ended(options.checker, error)}", file=sys.stderr)
        return 2
    return 0


def parse(arguments: Sequence[str], command: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, COMMAND, command)
    parser.add_argument("checker", metavar="FILE[:NAME]")
    parser.add_argument("--kind", choices=list(ZOOS), default="layer", help="default: layer")
    parser.add_argument(
        "--of", metavar="CLASS", help="only the mutants of this class, such as Linear"
    )
    about = "time limit for one layer; default: 30"
    parser.add_argument("--seconds", type=float, default=30.0, help=about)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the points to this file")
    return parser.parse_args(arguments)
