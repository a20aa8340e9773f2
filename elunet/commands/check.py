"""Check the gradients of a layer in a file against numeric differences.

    elunet check my_layer.py:Softplus
    elunet check "my_layers.py:Dense(3, 2)" --input 5,3

What stands after the colon is a class, or a call of it, in the file; the file is run. The exit code
is 0 if the gradients are right, 1 if not, and 2 if they could not be checked.
"""

from __future__ import annotations

import argparse
import runpy
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elunet.commands._parser import ended, make_parser
from elunet.testing import CheckResult, GradientCheckError, check_layer

COMMAND = ("elunet", "check")
SHAPES = ((3, 4), (2, 5, 5, 3))
"""The shapes that are tried if none is given: rows, then images."""


def main(arguments: Sequence[str] | None = None, command: Sequence[str] = COMMAND) -> int:
    """Check the layer that the command line names; return the exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments, command)
    try:
        layer = found(options.layer)
        print(checked(layer, options))
    except GradientCheckError as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"{shlex.join(command)}: {error}", file=sys.stderr)
        return 2
    except SystemExit as error:  # or its 0 would say that the gradients are right
        print(f"{shlex.join(command)}: {ended(options.layer, error)}", file=sys.stderr)
        return 2
    except Exception:  # in the file's code: where, is what its author needs
        traceback.print_exc()
        return 2
    return 0


def found(text: str) -> Any:
    """Return the layer that ``FILE:CLASS`` or ``FILE:CALL`` means.

    Raises
    ------
    ValueError
        If there is no such class, or it cannot be made.
    OSError
        If the file cannot be read.
    """
    file, colon, expression = text.partition(".py:")
    if not colon or not expression.strip():
        raise ValueError(f"expected FILE.py:Layer or 'FILE.py:Layer(arguments)', got {text!r}")
    path = Path(f"{file}.py")
    sys.path.insert(0, str(path.resolve().parent))  # as python does with a script
    try:
        names = runpy.run_path(str(path))
    finally:
        sys.path.pop(0)
    try:
        value = eval(expression, names)
        return value() if isinstance(value, type) else value
    except (NameError, SyntaxError, TypeError) as error:
        raise ValueError(
            f"expected {expression!r} to make a layer in {path}, got {error}"
        ) from error


def checked(layer: Any, options: argparse.Namespace) -> CheckResult:
    """Check a layer on inputs of the given shape, or of the first shape that it accepts."""
    errors = []
    for shape in [options.input] if options.input else SHAPES:
        x = np.random.default_rng(options.seed).normal(size=shape)
        try:
            return check_layer(layer, x, seed=options.seed)
        except GradientCheckError:
            raise
        except Exception as error:
            errors.append(f"{shape}: {error}")
    raise ValueError("expected a layer that takes x of shape " + "; ".join(errors))


def parse(arguments: Sequence[str], command: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, COMMAND, command)
    parser.add_argument("layer", metavar="FILE:LAYER")
    about = "shape of the input, such as 5,3; default: 3,4, or 2,5,5,3 if the layer refuses that"
    parser.add_argument("--input", type=shape_of, metavar="N,...", help=about)
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    return parser.parse_args(arguments)


def shape_of(text: str) -> tuple[int, ...]:
    """Read a shape."""
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"expected integers with commas, got {text!r}")
    return shape
