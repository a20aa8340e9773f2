"""The grade of a submission: points for each test, in the formats of several graders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MOST = 3000
"""The largest number of characters shown of one test's message."""


@dataclass(frozen=True)
class Mark:
    """The points for one test, or for one wrong layer.

    Attributes
    ----------
    name : str
    points : float
        Of at most `max_points`.
    max_points : float
        What the test is worth.
    passed : bool
    part : str
        To which part of the points it belongs, such as "gradients".
    message : str
        What went wrong, in a few lines.

    Examples
    --------
    >>> from elunet.teaching import Mark
    >>> Mark("test_gradients", points=0.0, max_points=2.5, passed=False).max_points
    2.5
    """

    name: str
    points: float
    max_points: float
    passed: bool
    part: str = ""
    message: str = ""


@dataclass(frozen=True)
class Grade:
    """The points of a submission; printing it shows them, with the first test that failed.

    Attributes
    ----------
    exercise : str
    marks : tuple of Mark
    max_points : float
    notes : tuple of str
        What else is to be said: why nothing could be graded, what was stopped.
    printed : str
        The first characters of what the submission printed.
    can_be_graded : bool
        False if there was nothing to run: no file, or one that is no Python.
    seconds : float
        How long it took.

    Examples
    --------
    >>> from elunet.teaching import Grade
    >>> Grade("01_softplus", (), 10.0, notes=("expected softplus.py, got nothing",)).points
    0.0
    """

    exercise: str
    marks: tuple[Mark, ...]
    max_points: float
    notes: tuple[str, ...] = ()
    printed: str = ""
    can_be_graded: bool = True
    seconds: float = 0.0

    @property
    def points(self) -> float:
        """The sum of the points."""
        return round(sum((mark.points for mark in self.marks), 0.0), 2)

    @property
    def first_failure(self) -> Mark | None:
        """The first test that failed."""
        return next((mark for mark in self.marks if not mark.passed), None)

    def to(self, form: str) -> str:
        """Return the grade as text in one of the `FORMS`: gradescope, prairielearn, json, text.

        Raises
        ------
        ValueError
            If there is no such form.

        Examples
        --------
        >>> from elunet.teaching import Grade
        >>> print(Grade("01_softplus", (), 10.0).to("prairielearn"))
        {
          "gradable": true,
          "score": 0.0,
          "message": "01_softplus: 0 of 10 points",
          "output": "",
          "tests": []
        }
        """
        if form not in FORMS:
            raise ValueError(f"Grade: expected a form among {', '.join(FORMS)}, got {form!r}")
        return FORMS[form](self)

    def summary(self) -> str:
        """Return one line."""
        return f"{self.exercise}: {self.points:g} of {self.max_points:g} points"

    def __str__(self) -> str:
        lines = [self.summary(), *self.notes]
        for mark in self.marks:
            state = "passed" if mark.passed else "FAILED"
            share = f"{mark.points:.2f} of {mark.max_points:.2f}" if mark.max_points else ""
            lines.append(f"  {state}  {share:>12}  {mark.name}")
        failure = self.first_failure
        if failure is not None and failure.message:
            lines += ["", f"The first that failed is {failure.name}:", failure.message[:MOST]]
        if self.printed.strip():
            lines += ["", "Your code printed:", self.printed.strip()]
        return "\n".join(lines)


def _notes(grade: Grade) -> str:
    """Return notes on the whole submission."""
    printed = f"Your code printed:\n{grade.printed.strip()}" if grade.printed.strip() else ""
    return "\n".join(filter(None, [grade.summary(), *grade.notes, printed]))


def _gradescope(grade: Grade) -> str:
    """Follow https://gradescope-autograders.readthedocs.io/en/latest/specs/."""
    tests = [
        {
            "name": mark.name,
            "score": round(mark.points, 4),
            "max_score": round(mark.max_points, 4),
            "status": "passed" if mark.passed else "failed",
            "output": mark.message[:MOST],
            "output_format": "text",
        }
        for mark in grade.marks
    ]
    found = {
        "score": grade.points,
        "execution_time": round(grade.seconds),
        "output": _notes(grade),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": tests,
    }
    return json.dumps(found, indent=2)


def _prairielearn(grade: Grade) -> str:
    """Follow https://prairielearn.readthedocs.io/en/latest/externalGrading/."""
    found: dict[str, Any] = {"gradable": grade.can_be_graded}
    if not grade.can_be_graded:
        found["format_errors"] = list(grade.notes)
        return json.dumps(found, indent=2)
    found["score"] = min(round(grade.points / grade.max_points, 6), 1.0)
    found["message"] = "\n".join([grade.summary(), *grade.notes])
    found["output"] = grade.printed
    found["tests"] = [
        {
            "name": mark.name,
            "description": mark.part,
            "points": round(mark.points, 4),
            "max_points": round(mark.max_points, 4),
            "message": "passed" if mark.passed else "failed",
            "output": mark.message[:MOST],
        }
        for mark in grade.marks
    ]
    return json.dumps(found, indent=2)


def _json(grade: Grade) -> str:
    found = {
        "exercise": grade.exercise,
        "points": grade.points,
        "max_points": grade.max_points,
        "notes": list(grade.notes),
        "printed": grade.printed,
        "can_be_graded": grade.can_be_graded,
        "seconds": round(grade.seconds, 1),
        "tests": [vars(mark) for mark in grade.marks],
    }
    return json.dumps(found, indent=2)


FORMS: dict[str, Callable[[Grade], str]] = {
    "gradescope": _gradescope,
    "prairielearn": _prairielearn,
    "json": _json,
    "text": str,
}
"""The forms by their names."""
