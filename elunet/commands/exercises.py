"""List the exercises, write them without solutions, and make the files that graders need.

    elunet exercises
    elunet exercises student homework/
    elunet exercises student homework/ softplus maxout
    elunet exercises gradescope softplus autograder.zip
    elunet exercises prairielearn softplus question/

An exercise is one of elunet's, or a folder with tests and a points.toml.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from elunet.commands._parser import make_parser, positive
from elunet.teaching import exercises
from elunet.teaching.submission._exercise import find
from elunet.teaching.submission._handout import (
    write_gradescope,
    write_prairielearn,
    write_student_version,
)

COMMAND = ("elunet", "exercises")


def main(arguments: Sequence[str] | None = None, command: Sequence[str] = COMMAND) -> int:
    """Do what the command line says; return the exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments, command)
    try:
        if options.what is None:
            print("\n".join(f"{e.module:16}{e.title}" for e in exercises()))
        elif options.what == "student":
            files = write_student_version(options.folder, options.exercises)
            print(f"{len(files)} files in {options.folder}, without solutions")
        elif options.what == "gradescope":
            write_gradescope(find(options.exercise), options.file, options.points)
            print(f"{options.file}: upload it as the autograder of a programming assignment")
        else:
            files = write_prairielearn(find(options.exercise), options.folder)
            print("\n".join(map(str, files)))
    except (OSError, ValueError) as error:
        print(f"{shlex.join(command)}: {error}", file=sys.stderr)
        return 2
    return 0


def parse(arguments: Sequence[str], command: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, COMMAND, command)
    kinds = parser.add_subparsers(dest="what", metavar="WHAT")
    student = kinds.add_parser("student", help="write exercises without solutions")
    student.add_argument("folder", metavar="FOLDER", type=Path)
    student.add_argument("exercises", metavar="EXERCISE", nargs="*", help="default: all")
    scope = kinds.add_parser("gradescope", help="make the zip file of an autograder")
    scope.add_argument("exercise", metavar="EXERCISE")
    scope.add_argument("file", metavar="FILE", type=Path)
    scope.add_argument("--points", type=positive, default=10.0, help="default: 10")
    prairie = kinds.add_parser("prairielearn", help="make a grader's image and info.json")
    prairie.add_argument("exercise", metavar="EXERCISE")
    prairie.add_argument("folder", metavar="FOLDER", type=Path)
    return parser.parse_args(arguments)
