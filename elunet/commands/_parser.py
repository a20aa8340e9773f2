"""A command's parser, whose help shows how the command was called."""

from __future__ import annotations

import argparse
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
