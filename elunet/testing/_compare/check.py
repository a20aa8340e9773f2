"""Check all claims of a problem: at the given values, and at others.

Claims are compared with differences; then values without a claim are looked at; then everything is
looked at again at other values, because zeros, ones and equal values hide faults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._compare.claims import rows_of, targets_of
from elunet.testing._compare.differences import compare_gradients
from elunet.testing._compare.lists import with_lists_as_arrays
from elunet.testing._compare.probe import Probe, Target
from elunet.testing._compare.settings import Settings
from elunet.testing._compare.unclaimed import check_unclaimed
from elunet.testing._find.places import is_number
from elunet.testing._find.returned import Claim
from elunet.testing._perturb.moves import only_while
from elunet.testing._perturb.problem import Changed, Problem, Stage
from elunet.testing._report import CheckResult, Row, conclude

__tracebackhide__ = True  # pytest shows the frames of the code that is checked


def check(problem: Problem, settings: Settings) -> CheckResult:
    """Compare all claims, at the given values and at moved ones.

    Raises
    ------
    GradientCheckError
        If a gradient is wrong, or a value that moves the output has none.
    """
    y = problem.output({})
    dy = problem.draw(settings.rng(0), y)
    problem = with_lists_as_arrays(problem, problem.claims({}, dy))
    claims = problem.claims({}, dy)
    rows = rows_of(problem, claims, dy, settings)
    conclude(problem.name, rows, problem.notes, problem.hint(rows))
    check_unclaimed(problem, claims, {}, y)
    rng = settings.rng(5)
    last: Changed | None = None
    for stage in (problem.stages or _moved(problem, claims))(rng):
        last = _check_stage(problem, stage, settings, rng)
    if last is None:
        problem.note("only checked at the given values: at others the output is not finite")
    else:
        y = problem.output(last)
        there = problem.claims(last, problem.draw(settings.rng(6), y))
        check_unclaimed(problem, there, last, y)
    if not rows:
        raise problem.error("no gradient was compared: none was returned")
    return conclude(problem.name, rows, problem.notes)


def _moved(problem: Problem, claims: dict[str, Claim]) -> Any:
    """Return the usual stages: one, in which all real numbers are moved."""

    def stages(rng: np.random.Generator) -> Iterator[Stage]:
        arrays: dict[str, Array] = {}
        for path, value in problem.values.items():
            if path in problem.constants | problem.left_alone:
                continue
            real = np.asarray(value).dtype.kind == "f" and not is_number(value)
            if path in claims or (real and path not in problem.integers):
                arrays[path] = np.array(value, dtype=problem.dtype)
        others = {path: problem.move(value, rng) for path, value in arrays.items()}
        yield Stage("at other values (noise added)", others, hiding=list(others))

    return stages


def _check_stage(
    problem: Problem, stage: Stage, settings: Settings, rng: np.random.Generator
) -> Changed | None:
    """Check along random directions at other values; return these, None if there are none.

    Raises
    ------
    GradientCheckError
        If a gradient is wrong there; it says which given value hides that.
    """
    changed = _finite(problem, stage.changed)
    found = None if changed is None else _wrong(problem, changed, settings, rng)
    if changed is None or found is None:
        return changed
    target, index, row = found
    cause = f": {row.cause}" if row.cause else ""
    for path in stage.hiding:
        words = only_while(path, np.asarray(problem.values[path]))
        if words and _hides(problem, path, changed, target.array, settings, rng):
            raise problem.error(f"{target.array} is right only while {words}{cause}", target.array)
    reason = f": {stage.reason}" if stage.reason else cause
    raise problem.error(
        f"{target.array} is right at first, but wrong {stage.where}, as at {index}{reason}",
        target.array,
    )


def _finite(problem: Problem, others: dict[str, Any]) -> dict[str, Any] | None:
    """Return these values, or some nearer to the given ones, at which the output is finite."""
    for part in (1.0, 0.1, 0.01):
        near = {}
        for path, other in others.items():
            given = problem.values[path]
            whole = part == 1.0 or np.asarray(other).dtype.kind != "f"
            near[path] = other if whole else given + part * (other - given)
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


def _hides(
    problem: Problem,
    path: str,
    changed: Changed,
    array: str,
    settings: Settings,
    rng: np.random.Generator,
) -> bool:
    """Whether the gradient is right here if this one value is as it was given."""
    found = _wrong(problem, {k: v for k, v in changed.items() if k != path}, settings, rng)
    return found is None or found[0].array != array
