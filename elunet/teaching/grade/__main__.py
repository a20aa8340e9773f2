"""Grade a student's submission for an exercise.

    python -m elunet.teaching.grade softplus submission/
    python -m elunet.teaching.grade softplus softplus.py --format gradescope --out results.json

The exercise is one of elunet's, or a folder with tests and a points.toml. The submission, a file or
a folder with it, runs in processes of its own. The exit code is 0 whatever the points, and 2 if
nothing could be graded because the call was wrong.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from elunet.storage.files import write_atomically
from elunet.teaching.submission import FORMS, grade_submission

COMMAND = ("python", "-m", "elunet.teaching.grade")


def main(arguments: Sequence[str] | None = None, command: Sequence[str] = COMMAND) -> int:
    """Grade the submission that the command line names; return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    command : sequence of str
        How it was called.
    """
    options = parse(sys.argv[1:] if arguments is None else arguments, command)
    try:
        found = grade_submission(
            options.exercise,
            options.submission,
            points=options.points,
            seconds=options.seconds,
            total=options.total,
            memory=options.memory,
            user=options.user,
        )
        text = found.to(options.format) + "\n"
        if options.out is None:
            print(text, end="")
        else:
            write_atomically(options.out, text.encode())
            print(found.summary())
    except (ImportError, KeyError, OSError, RuntimeError, ValueError) as error:
        print(f"{shlex.join(command)}: {error}", file=sys.stderr)
        return 2
    return 0


def parse(arguments: Sequence[str], command: Sequence[str] = COMMAND) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog=shlex.join(command),
        description=(__doc__ or "").replace(shlex.join(COMMAND), shlex.join(command)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("exercise", metavar="EXERCISE")
    parser.add_argument("submission", metavar="SUBMISSION", type=Path)
    parser.add_argument("--format", choices=list(FORMS), default="text", help="default: text")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the result to this file; default: print it"
    )
    about = "the points of a perfect submission; default: 10"
    parser.add_argument("--points", type=float, default=10.0, help=about)
    about = "time limit for one test; default: 20"
    parser.add_argument("--seconds", type=float, default=20.0, help=about)
    about = "time limit for all tests together; default: 240"
    parser.add_argument("--total", type=float, default=240.0, help=about)
    about = "memory limit for each process in MB; default: 2048"
    parser.add_argument("--memory", type=int, default=2048, help=about)
    about = "run the submission as this user of the system, such as nobody (needs root)"
    parser.add_argument("--user", default=None, help=about)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
