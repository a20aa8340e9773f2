"""The gradients that some code claims, compared with differences of what it computes.

`check_functions`, `check_gradient` and `check_loss` differ in how the code is called. Each brings
it into one form, a `Problem`: an output as a function of named values, and claims about its
gradients. `_claims_check` then looks at all of them.
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
    Settings,
    Target,
    compare_gradients,
    moved,
)
from elunet.testing._find import is_number
from elunet.testing._report import GradientCheckError, Row

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
    parts: Callable[[Array], dict[str, Array]] = lambda dy: {}
    """``parts(dy) -> {name: dy without this output's gradient}``, if there are several outputs."""
    dtype: Any = np.float64

    def error(self, message: str, array: str = "") -> GradientCheckError:
        """Return an error that names what is checked."""
        return GradientCheckError(f"{self.name}: {message}", array, cause=message)

    def note(self, text: str) -> None:
        """Add a note to the result, once."""
        if text not in self.notes:
            self.notes.append(text)


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
            cause = _ignored(problem, target, changed, dy, settings) or cause
        closer.append(dataclasses.replace(row, cause=cause))
    return closer


def _ignored(
    problem: Problem, target: Target, changed: Changed, dy: Array, settings: Settings
) -> str:
    """Say which output's gradient is ignored, if the gradient is right for the others'."""
    for name, without in problem.parts(dy).items():
        claim = problem.claims(changed, without).get(target.symbol)
        if claim is None or not _same(np.asarray(claim.gradient), target.analytic):
            continue
        few = dataclasses.replace(settings, entries=min(settings.entries, 20))
        if compare_gradients(problem.name, [target], without, few)[0].ok:
            return f"backward ignores {name}: {target.array} is right for a {name} of 0"
    return ""


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
