"""`grade_submission`: one submission to one exercise, from the file to the points."""

from __future__ import annotations

import os
import time
from pathlib import Path

from elunet._checks import number
from elunet.teaching.submission._exercise import Exercise, find
from elunet.teaching.submission._grade import Grade, Mark
from elunet.teaching.submission._process import Limits, NoSubmissionError, Processes
from elunet.teaching.submission._stand_in import Session

NO_PYTHON = ("SyntaxError", "IndentationError", "TabError")


def grade_submission(
    exercise: str | os.PathLike[str],
    submission: str | os.PathLike[str],
    *,
    points: float = 10.0,
    seconds: float = 20.0,
    total: float = 240.0,
    memory: int = 2048,
    user: str | None = None,
) -> Grade:
    """Grade a student's submission for an exercise.

    Parameters
    ----------
    exercise : str or path
        "softplus" or "01_softplus", or a folder with a `points.toml`.
    submission : str or path
        The file, or a folder with it.
    points : float
        What a perfect submission gets.
    seconds : float
        How long one test may take.
    total : float
        How long all of them may take.
    memory : int
        MB for each of the submission's processes.
    user : str, optional
        The user of the system as whom the submission runs; only root can choose one.

    Returns
    -------
    Grade

    Raises
    ------
    ValueError
        If there is no such exercise, or a number is out of its range.
    RuntimeError
        If the submission's process cannot be started, or the system has no fork (Windows).

    Notes
    -----
    The submission can import NumPy and the standard library, and for the exercises in which a layer
    is derived from elunet's, the class ``elunet.layers.Layer``. It cannot import the rest of
    elunet, read files other than its own, start processes or open connections.

    Examples
    --------
    >>> from elunet.teaching import exercises, grade_submission
    >>> folder = exercises()[0].folder
    >>> print(grade_submission("softplus", folder / "solution.py").summary())
    01_softplus: 10 of 10 points
    """
    for name, value in (("points", points), ("seconds", seconds), ("total", total)):
        number("grade_submission", name, value, "(0, inf)")
    number("grade_submission", "memory", memory, "[256, inf)")
    if not hasattr(os, "fork"):
        raise RuntimeError("grade_submission: expected a system with fork (Linux or macOS)")
    found = find(Path(exercise) if isinstance(exercise, os.PathLike) else exercise)
    began = time.monotonic()
    limits = Limits(seconds, total, memory, user)
    try:
        processes = Processes(Path(submission), found.module, found.uses_elunet, limits)
    except NoSubmissionError as error:
        return Grade(found.name, (), points, (str(error),), can_be_graded=False)
    try:
        marks, why = _marks(found, processes, points)
    finally:
        processes.end()
    return Grade(
        found.name,
        tuple(marks),
        points,
        (why,) if why else (),
        processes.printed,
        can_be_graded=not why.startswith(NO_PYTHON),
        seconds=time.monotonic() - began,
    )


def _marks(exercise: Exercise, processes: Processes, points: float) -> tuple[list[Mark], str]:
    """Return the marks, scaled to the points, and the reason if there are none."""
    session = Session(processes.connect(), time.monotonic() + processes.limits.seconds)
    try:
        problem = session.problem()
    finally:
        session.connection.close()
        processes.end_copies()
    if problem:
        return [], problem
    if exercise.check:
        from elunet.teaching.submission._checker import run_checker as run
    else:
        from elunet.teaching.submission._tests import run_tests as run  # which needs pytest
    try:
        marks, why = run(exercise, processes)
    except OSError as error:
        return [], str(error)
    scale = points / sum(part.points for part in exercise.parts)
    return [
        Mark(m.name, scale * m.points, scale * m.max_points, m.passed, m.part, m.message)
        for m in marks
    ], why
