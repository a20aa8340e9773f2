"""The gradients that some code claims, compared with differences of what it computes.

`check_functions`, `check_gradient` and `check_loss` differ in how the code is called. Each brings
it into one form, a `Problem`: an output as a function of named values, and claims about its
gradients. All claims are compared; then values without a claim are looked at; then everything is
looked at again at other values, because zeros, ones and equal values hide faults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose import CLOSE, Factor
from elunet.testing._differences import (
    Probe,
    Settings,
    Target,
    compare_gradients,
    moved,
    only_while,
)
from elunet.testing._find import is_number
from elunet.testing._report import CheckResult, GradientCheckError, Row, conclude

Changed = Mapping[str, Any]
"""Values that replace the given ones, by path."""


class Claim(NamedTuple):
    """A gradient that the code gives, and its name in messages."""

    name: str
    gradient: Any


@dataclass
class Problem:
    """An output as a function of named values, and its claimed gradients.

    Attributes
    ----------
    name : str
        What is checked, for messages.
    values : dict
        Arrays (already in the check's dtype) and numbers by their path.
    output : callable
        ``output(changed) -> array``, a new one, deterministic.
    claims : callable
        ``claims(changed, dy) -> {path: Claim}``.
    draw : callable
        ``draw(rng, y) -> dy``.
    """

    name: str
    values: dict[str, Any]
    output: Callable[[Changed], Array]
    claims: Callable[[Changed, Array], dict[str, Claim]]
    draw: Callable[[np.random.Generator, Array], Array]
    factors: Callable[[str, Array], list[Factor]] = lambda path, y: []
    constants: set[str] = field(default_factory=set)
    """Values that have no gradient because the user says so."""
    left_alone: set[str] = field(default_factory=set)
    """Integers that cannot be floats."""
    integers: set[str] = field(default_factory=set)
    """Integers that were given as floats."""
    notes: list[str] = field(default_factory=list)
    is_scored: bool = False
    """Whether the output is one number, so that dy is 1."""
    all_learned: bool = False
    """Whether each value needs a gradient, numbers too."""
    how: Callable[[str], str] = lambda path: ""
    """Say how to name the gradient of a value for which none was found."""
    move: Callable[[Array, np.random.Generator], Array] = moved
    """Return another value nearby, at which the gradient is checked too."""
    advice: str = Target.advice
    dy_name: str = "dy"
    dtype: Any = np.float64

    def error(self, message: str, array: str = "") -> GradientCheckError:
        """Return an error that names what is checked."""
        return GradientCheckError(f"{self.name}: {message}", array, cause=message)

    def note(self, text: str) -> None:
        """Add a note to the result, once."""
        if text not in self.notes:
            self.notes.append(text)


def check(problem: Problem, settings: Settings) -> CheckResult:
    """Compare all claims, at the given values and at moved ones.

    Raises
    ------
    GradientCheckError
        If a gradient is wrong, or a value that moves the output has none.
    """
    from elunet.testing._unclaimed import check_unclaimed

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


def targets_of(
    problem: Problem, claims: dict[str, Claim], changed: Changed, y: Array
) -> list[Target]:
    """Return what is to be compared, in the values' order."""
    targets = []
    first = next(iter(problem.values))
    now = {path: np.asarray(changed.get(path, v)) for path, v in problem.values.items()}
    numbers = {path: float(now[path]) for path, v in problem.values.items() if is_number(v)}
    for path, given in problem.values.items():
        if path not in claims:
            continue
        claim = claims[path]
        value = np.array(changed.get(path, given), dtype=problem.dtype)

        def output(v: Array, path: str = path) -> Array:
            return problem.output({**changed, path: v})

        targets.append(
            Target(
                claim.name,
                path,
                value,
                _gradient(problem, path, claim),
                output,
                problem.factors(path, y),
                is_input=path == first,
                advice=problem.advice,
                dy_name=problem.dy_name,
                inputs=now,
                numbers=numbers,
            )
        )
    return targets


def _gradient(problem: Problem, path: str, claim: Claim) -> Array:
    try:
        if claim.gradient is None:
            raise TypeError
        return np.array(claim.gradient, dtype=np.float64)
    except (TypeError, ValueError):
        got = type(claim.gradient).__name__
        raise problem.error(
            f"{claim.name} is {got}, expected an array with {path}'s shape", claim.name
        ) from None


def rows_of(
    problem: Problem, claims: dict[str, Claim], changed: Changed, dy: Array, settings: Settings
) -> list[Row]:
    """Compare the claims with differences; one row for each."""
    y = problem.output(changed)
    targets = targets_of(problem, claims, changed, y)
    rows = compare_gradients(problem.name, targets, dy, settings)
    if all(row.ok for row in rows) or problem.is_scored:
        return rows
    other = problem.draw(settings.rng(3), y)
    names = [target.symbol for target in targets]
    again = problem.claims(changed, other)
    twice = problem.claims(changed, 2 * dy)
    closer = []
    for row, path, target in zip(rows, names, targets, strict=True):
        cause = row.cause
        if not row.ok and path in again and path in twice:
            cause = _linearity(row, target.analytic, again[path], twice[path]) or cause
        closer.append(dataclasses.replace(row, cause=cause))
    return closer


def _linearity(row: Row, once: Array, other: Claim, twice: Claim) -> str:
    """Say how the gradient depends on dy, "" if it does as it should."""
    elsewhere, doubled = np.asarray(other.gradient), np.asarray(twice.gradient)
    if not np.any(once):
        return ""
    if _same(elsewhere, once) and _same(doubled, once):
        return f"backward ignores dy: {row.array} stays the same for any dy"
    if _same(doubled, 4 * once):
        return "dy enters twice: a doubled dy gives four times the gradient"
    if not row.cause and not _same(doubled, 2 * once):
        return "backward is not linear in dy: a doubled dy does not double the gradient"
    return ""


def _same(a: Array, b: Array) -> bool:
    scale = float(np.max(np.abs(b), initial=0.0))
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= 1e-3 * CLOSE * scale))


def _check_moved(problem: Problem, claims: dict[str, Claim], settings: Settings) -> None:
    """Check along random directions at other values.

    Raises
    ------
    GradientCheckError
        If a gradient is wrong there; it says which given value hides that.
    """
    from elunet.testing._unclaimed import check_unclaimed

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
