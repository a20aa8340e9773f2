"""What moves the output and has no gradient: an error that names it, or a note.

Each value without a claim is changed a little. An array that moves the output needs a gradient, or
the word of the user that it is a constant. A number is learned if it is called like a weight; else
it is a setting (alpha, eps), which a note names. Integers with which the output jumps are labels.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._find.names import steps_of
from elunet.testing._find.places import is_number
from elunet.testing._find.returned import Claim
from elunet.testing._find.values import STATISTIC, WEIGHT, long_lists
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
    notes: dict[str, list[str]] = defaultdict(list)
    open_paths = [p for p in problem.values if p not in claims and p not in problem.left_alone]
    still: set[str] = set()
    for items in long_lists([p for p in open_paths if is_number(problem.values[p])]).values():
        together = {path: changed.get(path, problem.values[path]) for path in items}
        if _answer(problem, together, changed, y, True) == "none":
            still.update(items)
    for path in open_paths:
        if path not in still:
            notes[_what(problem, path, changed, y)].append(path)
    for what, found in notes.items():
        if what:
            problem.note(f"{', '.join(found)}: {what}")


def _what(problem: Problem, path: str, changed: Changed, y: Array) -> str:
    """Return what a value without a gradient is, "" if the output does not depend on it.

    Raises
    ------
    GradientCheckError
        If it needs a gradient.
    """
    value = problem.values[path]
    if path in problem.constants:
        return "declared a constant, not checked"
    number = is_number(value)
    whole = isinstance(value, int | np.integer) and not is_weight(path)
    if whole and problem.whole_are_settings:  # a stride, a number of rounds
        return "whole numbers, taken for settings, not checked"
    now = {path: changed.get(path, value)}
    how = _answer(problem, now, changed, y, number or path in problem.integers)
    if how == "none" or (how == "jump" and number):
        return ""
    if how == "jump":
        return "integers with which the output jumps, left as they are"
    if STATISTIC.search(path) or path in problem.statistics:
        return "a running statistic, not checked"
    if number and not problem.all_learned and not is_weight(path):
        return "a setting, not checked"
    if problem.is_scored and TARGET.fullmatch(path):
        return "taken for the target, not checked"
    raise problem.error(
        f"{path} moves the output, but no gradient of it was found, so it was not checked"
        + problem.how(path),
        path,
    )


def _size(array: Array) -> float:
    return float(np.max(np.abs(array), initial=0.0)) or 1.0


def is_weight(path: str) -> bool:
    """Whether a number is called like something that is learned."""
    names = [text for text, named in steps_of(path) if named]
    return bool(names) and WEIGHT.fullmatch(names[-1]) is not None


def _answer(
    problem: Problem, values: Mapping[str, Any], changed: Changed, y: Array, smooth: bool
) -> str:
    """Return how the output answers to a change of these values: "none", "jump" or "moves"."""
    rng = stream(0, 8)
    arrays = {path: np.array(value, dtype=problem.dtype) for path, value in values.items()}
    noise = {
        path: _size(array) * rng.uniform(0.5, 1, array.shape) for path, array in arrays.items()
    }

    def size(step: float) -> float:
        others = {path: array + step * noise[path] for path, array in arrays.items()}
        try:
            with np.errstate(all="ignore"):
                other = problem.output({**changed, **others})
        except Exception:  # whatever another value makes of the code
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
