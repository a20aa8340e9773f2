"""The command ``elunet``: train, compare, check, zoo, grade, exercises, export, info.

Each is a module with a `main` that takes its arguments and returns an exit code.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "train": "train ELU-11, or a case of the 2018 article",
    "compare": "compare learning rules on a small network",
    "check": "check the gradients of a layer in a file",
    "zoo": "test a gradient check on layers with known bugs",
    "grade": "grade a student's submission for an exercise",
    "exercises": "list the exercises, write them without solutions, make files for graders",
    "export": "write a trained network as an ONNX file",
    "info": "print versions, threads, kernels and the folders of data sets",
}


def main(arguments: Sequence[str] | None = None, command: Sequence[str] = ("elunet",)) -> int:
    """Run the command that the arguments name; return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    command : sequence of str
        How it was called.
    """
    name, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if name in COMMANDS:
        module = importlib.import_module(f"elunet.commands.{name}")
        return int(module.main(rest, (*command, name)))
    called = " ".join(command)
    lines = [f"usage: {called} COMMAND [options]", ""]
    lines += [f"  {name:10}{about}" for name, about in COMMANDS.items()]
    lines += ["", f"Options of a command: {called} COMMAND --help"]
    if name in ("-h", "--help", "help"):
        print("\n".join(lines))
        return 0
    if name == "--version":
        from elunet import __version__

        print(f"elunet {__version__}")
        return 0
    print(
        f"{called}: expected one of the commands {', '.join(COMMANDS)}, got {name!r}",
        file=sys.stderr,
    )
    return 2
