# ruff: noqa: E501 (lines of the scripts)
"""Exercises for students, without solutions, and the files that graders need.

A grader's files hold the exercise with its tests and elunet's own source, so that they do not
depend on where elunet comes from. Gradescope runs `setup.sh` once and `run_autograder` for each
submission; PrairieLearn runs `grade.sh`.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from elunet.storage.files import write_atomically
from elunet.teaching.submission._exercise import FOLDER, Exercise, find

PACKAGE = FOLDER.parents[1]
HIDDEN = ("solution.py", "points.toml")
"""The files of an exercise that are not given to students."""
NEEDED = ("numpy", "numba", "matplotlib", "tqdm", "threadpoolctl", "pooch")
OPTIONS = re.compile(r"[\w.=-]+")

SETUP = """#!/usr/bin/env bash
# Runs once, when the image is built: a Python of 3.11 or newer, and what elunet imports.
set -euo pipefail
here=${AUTOGRADER:-/autograder}
python=""
for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    apt-get update
    apt-get install -y python3.11 python3.11-venv
    python=python3.11
fi
"$python" -m venv --copies "$here/env"
"$here/env/bin/pip" install --quiet @PACKAGES@
PYTHONPATH="$here/source" "$here/env/bin/python" -m elunet.teaching.grade --help >/dev/null
# The submission runs as nobody, who reads neither the tests nor elunet nor the results.
chmod -R o= "$here/source"
chmod o= "$here/results" 2>/dev/null || true
"""

RUN = """#!/usr/bin/env bash
# Runs for each submission. Zero points are there first, whatever happens next.
here=${AUTOGRADER:-/autograder}
results=$here/results/results.json
mkdir -p "$here/results"
chmod o= "$here/results"
echo '{"score": 0, "output": "The grader could not finish. Please tell your teacher.", "tests": []}' >"$results"
user=""
if [ "$(id -u)" = 0 ]; then user="--user ${GRADE_USER:-nobody}"; fi
cd / || exit 1
PYTHONPATH="$here/source" "$here/env/bin/python" -P -m elunet.teaching.grade \\
    "$here/source/exercise/@NAME@" "$here/submission" \\
    --format gradescope --out "$results" --points @POINTS@ $user
exit 0
"""

DOCKERFILE = """# docker build -t YOU/elunet-grader . && docker push YOU/elunet-grader
FROM python:3.12-slim
RUN pip install --no-cache-dir @PACKAGES@
COPY elunet /grader/elunet
COPY exercise /grader/exercise
COPY grade.sh /grader/grade.sh
RUN chmod 700 /grader && chmod 755 /grader/grade.sh
"""

GRADE = """#!/usr/bin/env bash
# The entry point: grades /grade/student and writes /grade/results/results.json.
here=${GRADER:-/grader}
job=${GRADE:-/grade}
results=$job/results/results.json
mkdir -p "$job/results"
chmod 700 "$job/results"
echo '{"gradable": false, "format_errors": ["The grader could not finish."]}' >"$results"
user=""
if [ "$(id -u)" = 0 ]; then user="--user ${GRADE_USER:-nobody}"; fi
cd / || exit 1
PYTHONPATH=$here python -P -m elunet.teaching.grade "$here/exercise/@NAME@" "$job/student" \\
    --format prairielearn --out "$results" $user
exit 0
"""


def write_student_version(folder: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write exercises without solutions; return the files.

    Parameters
    ----------
    folder : Path
    names : sequence of str
        Which exercises; by default all.
    """
    chosen = [find(name) for name in names] or [find(path.parent.name) for path in _points()]
    written = []
    for exercise in chosen:
        for path in _files(exercise):
            if path.name not in HIDDEN:
                written.append(folder / exercise.name / path.relative_to(exercise.folder))
                write_atomically(_made(written[-1]), path.read_bytes())
    written.append(folder / "pytest.ini")
    write_atomically(_made(written[-1]), (FOLDER / "pytest.ini").read_bytes())
    return written


def write_gradescope(exercise: Exercise, file: Path, points: float = 10.0) -> None:
    """Write the zip file that Gradescope asks for."""
    texts = {
        "setup.sh": SETUP.replace("@PACKAGES@", _packages()),
        "run_autograder": _filled(RUN, exercise, points),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.external_attr = 0o755 << 16
            archive.writestr(info, text)
        for path, place in _grader_files(exercise):
            archive.write(path, place)
    write_atomically(_made(file), packed.getvalue())


def write_prairielearn(exercise: Exercise, folder: Path) -> list[Path]:
    """Write the files of a PrairieLearn question's image, and the question's info.json."""
    info = {
        "externalGradingOptions": {
            "enabled": True,
            "image": "YOU/elunet-grader",
            "entrypoint": "/grader/grade.sh",
            "timeout": 300,
        }
    }
    texts = {
        "Dockerfile": DOCKERFILE.replace("@PACKAGES@", _packages()),
        "grade.sh": _filled(GRADE, exercise, 10.0),
        "info.json": json.dumps(info, indent=2) + "\n",
    }
    for name, text in texts.items():
        write_atomically(_made(folder / name), text.encode())
    for path, place in _grader_files(exercise):
        write_atomically(_made(folder / place), path.read_bytes())
    return [folder / name for name in texts]


def _points() -> list[Path]:
    return sorted(FOLDER.glob("*/points.toml"))


def _files(exercise: Exercise) -> list[Path]:
    """Return the files of an exercise, without Python's caches."""
    found = sorted(path for path in exercise.folder.rglob("*") if path.is_file())
    return [path for path in found if "__pycache__" not in path.parts]


def _grader_files(exercise: Exercise) -> Iterator[tuple[Path, str]]:
    """Yield what a grader needs of elunet and of the exercise, with its place."""
    for path in sorted(PACKAGE.rglob("*")):
        inner = path.relative_to(PACKAGE)
        skipped = "__pycache__" in inner.parts or inner.is_relative_to("teaching/exercises")
        if path.is_file() and not skipped and path.suffix in (".py", ".typed"):
            yield path, f"elunet/{inner.as_posix()}"
    for path in _files(exercise):
        if path.name != "solution.py":
            yield path, f"exercise/{exercise.name}/{path.relative_to(exercise.folder).as_posix()}"


def _made(path: Path) -> Path:
    """Return a path after creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _filled(text: str, exercise: Exercise, points: float) -> str:
    if not OPTIONS.fullmatch(exercise.name):
        raise ValueError(
            f"exercises: expected a folder's name of letters and digits, got {exercise.name!r}"
        )
    return text.replace("@NAME@", exercise.name).replace("@POINTS@", f"{points:g}")


def _packages() -> str:
    """Return what is to be installed, in the versions that are installed here."""
    found = [f"{name}=={importlib.metadata.version(name)}" for name in (*NEEDED, "pytest")]
    return " ".join(found)
