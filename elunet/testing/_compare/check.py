"""Check all claims of a problem: at the given values, and at others.

Claims are compared with differences; then values without a claim are looked at; then everything is
looked at again at other values, because zeros, ones and equal values hide faults.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._compare.claims import rows_of, targets_of
from elunet.testing._compare.differences import compare_gradients
from elunet.testing._compare.probe import Probe, Target
from elunet.testing._compare.settings import Settings
from elunet.testing._compare.unclaimed import check_unclaimed
from elunet.testing._find.places import is_number
from elunet.testing._find.returned import Claim
from elunet.testing._perturb.moves import only_while
from elunet.testing._perturb.problem import Changed, Problem
from elunet.testing._report import CheckResult, Row, conclude


def check(problem: Problem, settings: Settings) -> CheckResult:
    """Compare all claims, at the given values and at moved ones.

    Raises
    ------
    GradientCheckError
        If a gradient is wrong, or a value that moves the output has none.
    """
    y = problem.output({})
    dy = problem.draw(settings.rng(0), y)
    claims = problem.claims({}, dy)
    rows = rows_of(problem, claims, {}, dy, settings)
    conclude(problem.name, rows, problem.notes)
    check_unclaimed(problem, claims, {}, y)
    _check_moved(problem, claims, settings)
    if not rows:
        raise problem.error("no gradient was compared: none was returned")
    return conclude(problem.name, rows, problem.notes)


def _check_moved(problem: Problem, claims: dict[str, Claim], settings: Settings) -> None:
    """Check along random directions at other values.

    Raises
    ------
    GradientCheckError
        If a gradient is wrong there; it says which given value hides that.
    """
    rng = settings.rng(5)
    changed = _elsewhere(problem, claims, rng)
    if changed is None:
        problem.note("only checked at the given values: at others the output is not finite")
        return
    found = _wrong(problem, changed, settings, rng)
    if found is None:
        y = problem.output(changed)
        there = problem.claims(changed, problem.draw(settings.rng(6), y))
        check_unclaimed(problem, there, changed, y)
        return
    target, index, row = found
    cause = f": {row.cause}" if row.cause else ""
    special = _special(problem, changed, target.array, settings, rng)
    if special:
        raise problem.error(f"{target.array} is right only while {special}{cause}", target.array)
    raise problem.error(
        f"{target.array} is right at the given values, but wrong at others (noise added), as at "
        f"{index}{cause}",
        target.array,
    )


def _elsewhere(
    problem: Problem, claims: dict[str, Claim], rng: np.random.Generator
) -> dict[str, Any] | None:
    """Return moved values at which the output is finite, None if there are none."""
    arrays: dict[str, Array] = {}
    for path, value in problem.values.items():
        if path in problem.constants | problem.left_alone:
            continue
        real = np.asarray(value).dtype.kind == "f" and not is_number(value)
        if path in claims or (real and path not in problem.integers):
            arrays[path] = np.array(value, dtype=problem.dtype)
    others = {path: problem.move(value, rng) for path, value in arrays.items()}
    for part in (1.0, 0.1, 0.01):
        near = {path: value + part * (others[path] - value) for path, value in arrays.items()}
        try:
            with np.errstate(all="ignore"):
                y = problem.output(near)
        except Exception:
            continue
        if np.all(np.isfinite(y)):
            return near
    return None


def _wrong(
    problem: Problem, changed: Changed, settings: Settings, rng: np.random.Generator
) -> tuple[Target, list[int], Row] | None:
    """Return the first target that is wrong here, with an entry and the full comparison."""
    y = problem.output(changed)
    dy = problem.draw(rng, y)
    targets = targets_of(problem, problem.claims(changed, dy), changed, y)
    for target in targets:
        if target.analytic.shape != target.value.shape:
            raise problem.error(
                f"{target.array} has shape {target.analytic.shape} at other values, expected "
                f"{target.value.shape}",
                target.array,
            )
        place = Probe(target, dy, settings).search(rng)
        if place is not None:
            few = dataclasses.replace(settings, skip_kinks=True)
            rows = compare_gradients(problem.name, targets, dy, few)
            row = next(row for row in rows if row.array == target.array)
            index = list(map(int, np.unravel_index(place, target.value.shape)))
            return target, index, row
    return None


def _special(
    problem: Problem, changed: Changed, array: str, settings: Settings, rng: np.random.Generator
) -> str:
    """Say which given value hides the fault of this gradient, "" if none does alone."""
    for path in changed:
        words = only_while(path, np.asarray(problem.values[path]))
        if not words:
            continue
        found = _wrong(problem, {k: v for k, v in changed.items() if k != path}, settings, rng)
        if found is None or found[0].array != array:
            return words
    return ""
