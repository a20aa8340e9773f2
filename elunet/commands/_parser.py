"""A command's parser, whose help shows how the command was called, and readers of arguments."""

from __future__ import annotations

import argparse
import math
import re
import shlex
from collections.abc import Sequence


def make_parser(
    doc: str | None, own: Sequence[str], command: Sequence[str]
) -> argparse.ArgumentParser:
    """Return a parser with a module's docstring as its description.

    Parameters
    ----------
    doc : str
        The docstring; its examples are called as `own`, and shown as called as `command`.
    own, command : sequence of str
    """
    return argparse.ArgumentParser(
        prog=shlex.join(command),
        description=(doc or "").replace(shlex.join(own), shlex.join(command)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def integer(least: int, most: int, text: str) -> int:
    """Read an integer from `least` to `most`."""
    if not re.fullmatch("[0-9]{1,20}", text) or not least <= int(text) <= most:
        got = text if len(text) < 30 else f"{text[:30]}..."
        expected = f"at least {least} and at most {most:,}"
        raise argparse.ArgumentTypeError(f"expected an integer of {expected}, got {got!r}")
    return int(text)


def name(text: str) -> str:
    """Read a folder's or a file's name."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a folder or a file, got nothing")
    return text


def positive(text: str) -> float:
    """Read a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def ended(file: str, error: SystemExit) -> str:
    """Return the message for a user's file that ends the process."""
    return f"expected {file} to run to its end, got a call of sys.exit({error.code!r})"
