"""What moves the output and has no gradient: an error that names it, or a note.

Each value without a claim is changed a little. An array that moves the output needs a gradient, or
the word of the user that it is a constant. A number is learned if it is called like a weight; else
it is a setting (alpha, eps), which a note names. Integers with which the output jumps are labels.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._find.names import steps_of
from elunet.testing._find.places import is_number
from elunet.testing._find.returned import Claim
from elunet.testing._find.values import STATISTIC, WEIGHT
from elunet.testing._perturb.moves import stream
from elunet.testing._perturb.problem import Changed, Problem

TARGET = re.compile(r"labels?|targets?|y_?true|y_?t|ground_truth", re.IGNORECASE)


def check_unclaimed(problem: Problem, claims: dict[str, Claim], changed: Changed, y: Array) -> None:
    """Raise an error for a value that moves the output and has no gradient; note the settings.

    Raises
    ------
    GradientCheckError
        It names the value, and says how to give its gradient.
    """
    whole = []
    for path, value in problem.values.items():
        if path in claims or path in problem.left_alone:
            continue
        if isinstance(value, int | np.integer) and not is_weight(path):
            whole.append(path)  # a stride, a number of rounds: not to be tried as a float
            continue
        if path in problem.constants:
            problem.note(f"{path}: a constant, as you said, and not checked")
            continue
        number = is_number(value)
        smooth = number or path in problem.integers
        there = changed.get(path, value)
        how = _change(problem, path, there, changed, y, smooth)
        if how == "none" or (how == "jump" and number):
            continue
        if how == "jump":
            problem.note(f"{path} holds integers with which the output jumps, so it was left as is")
        elif number and not problem.all_learned and not is_weight(path):
            problem.note(f"{path} moves the output; taken as a setting, not checked")
        elif STATISTIC.search(path):
            problem.note(f"{path}: a running statistic, not checked")
        elif problem.is_scored and TARGET.fullmatch(path):
            problem.note(f"{path} moves the output; taken as the target, not checked")
        else:
            raise _unclaimed(problem, path)
    if whole:
        problem.note(f"{', '.join(whole)}: whole numbers, taken as settings, not checked")


def is_weight(path: str) -> bool:
    """Whether a number is called like something that is learned."""
    names = [text for text, named in steps_of(path) if named]
    return bool(names) and WEIGHT.fullmatch(names[-1]) is not None


def _change(
    problem: Problem, path: str, value: Any, changed: Changed, y: Array, smooth: bool
) -> str:
    """Return how the output answers to a change: "none", "jump" or "moves"."""
    array = np.array(value, dtype=problem.dtype)
    scale = float(np.max(np.abs(array), initial=0.0)) or 1.0
    noise = scale * stream(0, 8).uniform(0.5, 1.0, array.shape)

    def size(step: float) -> float:
        try:
            with np.errstate(all="ignore"):
                other = problem.output({**changed, path: array + step * noise})
        except Exception:
            return 0.0
        if other.shape != y.shape:
            return 0.0
        return float(np.max(np.abs(np.nan_to_num(other - y)), initial=0.0))

    if not smooth:
        return "moves" if size(1e-2) else "none"
    once, half = size(1e-3), size(5e-4)
    if once == half == 0.0:
        return "none"
    return "moves" if half > 0.0 and 1.4 < once / half < 2.8 else "jump"


def _unclaimed(problem: Problem, path: str) -> Exception:
    name = f"d{path}" if path.isidentifier() else f"the gradient of {path}"
    return problem.error(
        f"{path} moves the output, but no gradient of it was found, so it was not checked"
        + problem.how(path),
        name,
    )
