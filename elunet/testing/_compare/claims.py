"""The gradients that some code claims, compared with differences of what it computes.

One row for each gradient; of a wrong one, a closer look at how it depends on dy.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from elunet._types import Array
from elunet.testing._compare.differences import compare_gradients
from elunet.testing._compare.probe import Target
from elunet.testing._compare.settings import Settings
from elunet.testing._diagnose import CLOSE
from elunet.testing._find.places import is_number
from elunet.testing._find.returned import Claim
from elunet.testing._perturb.problem import Changed, Problem
from elunet.testing._report import Row

__tracebackhide__ = True  # pytest shows the frames of the code that is checked

ROUNDED = (
    "forward rounds to float32 inside, too coarse for differences: compute in x's dtype, or check "
    "with dtype=np.float32"
)


def targets_of(
    problem: Problem, claims: dict[str, Claim], changed: Changed, y: Array
) -> list[Target]:
    """Return what is to be compared, in the values' order."""
    targets = []
    inputs = problem.inputs or [next(iter(problem.values))]
    now = {path: changed.get(path, v) for path, v in problem.values.items()}
    known = {path: np.asarray(v) for path, v in now.items() if path not in problem.unnamed}
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
                is_input=path in inputs,
                advice=problem.advice,
                dy_name=problem.dy_name,
                inputs=known,
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


def rows_of(problem: Problem, claims: dict[str, Claim], dy: Array, settings: Settings) -> list[Row]:
    """Compare the claims with differences, at the given values; one row for each."""
    y = problem.output({})
    targets = targets_of(problem, claims, {}, y)
    rows = compare_gradients(problem.name, targets, dy, settings)
    if all(row.ok for row in rows):
        return rows
    rng = settings.rng(3)
    for place, (row, target) in enumerate(zip(rows, targets, strict=True)):
        if not row.ok and _is_rounded(target, y, rng):
            rows[place] = dataclasses.replace(row, cause=ROUNDED)
    if not problem.is_scored:
        rows = _by_dy(problem, targets, rows, dy, settings)
    return rows if problem.look_closer is None else problem.look_closer(targets, rows, dy, settings)


def _is_rounded(target: Target, y: Array, rng: np.random.Generator) -> bool:
    """Whether forward computes in float32 for float64, so that the output moves in steps."""
    if y.dtype != np.float64:
        return False
    noise = rng.standard_normal(target.value.shape)
    near, nearest = (target.output(target.value * (1 + h * noise)) for h in (1e-3, 1e-12))
    if near.shape != y.shape or nearest.shape != y.shape or np.mean(near != y) < 0.5:
        return False
    return bool(np.array_equal(near, near.astype(np.float32)) or np.mean(nearest != y) < 0.1)


def _by_dy(
    problem: Problem, targets: list[Target], rows: list[Row], dy: Array, settings: Settings
) -> list[Row]:
    """Look at how wrong gradients depend on dy."""
    other = problem.draw(settings.rng(3), problem.output({}))
    again, twice = problem.claims({}, other), problem.claims({}, 2 * dy)
    closer = []
    for row, target in zip(rows, targets, strict=True):
        cause, path = row.cause, target.symbol
        if not row.ok and path in again and path in twice:
            cause = _linearity(row, target.analytic, again[path], twice[path]) or cause
            cause = _ignored(problem, target, dy, settings) or cause
        closer.append(dataclasses.replace(row, cause=cause))
    return closer


def _ignored(problem: Problem, target: Target, dy: Array, settings: Settings) -> str:
    """Say which output's gradient is ignored, if the gradient is right for the others'."""
    for name, without in problem.parts(dy).items():
        claim = problem.claims({}, without).get(target.symbol)
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
