"""Grade a student's submission for an exercise: `elunet.teaching.grade` on the command line."""

from __future__ import annotations

from collections.abc import Sequence

from elunet.teaching.grade.__main__ import main as grade

COMMAND = ("elunet", "grade")


def main(arguments: Sequence[str] | None = None, command: Sequence[str] = COMMAND) -> int:
    """Grade the submission that the command line names; return the exit code."""
    return grade(arguments, command)
