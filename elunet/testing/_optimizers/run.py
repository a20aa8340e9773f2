"""Steps of an optimizer, each compared with the rule's, and the error that says which is wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._optimizers.calls import Design, Step
from elunet.testing._optimizers.causes import explain
from elunet.testing._optimizers.record import Moment, Record
from elunet.testing._report import CheckResult, GradientCheckError, Row
from elunet.testing.updates import Update

MORE = 3
"""Steps after the first wrong one, for the likely cause."""


class Run:
    """An optimizer's steps, each compared with the rule's from where it was."""

    def __init__(
        self, label: str, design: Design, rules: dict[str, Update], rtol: float, atol: float
    ) -> None:
        self.label, self.design, self.rtol, self.atol = label, design, rtol, atol
        self.record = Record(rules, [], design.returns)
        self.states: dict[str, dict[str, Any]] = {name: {} for name in rules}
        self.errors = dict.fromkeys(rules, (0.0, 0.0))

    def call(
        self, step: Step, before: dict[str, Array], gradients: dict[str, Array], t: int
    ) -> dict[str, Array]:
        """Take a step, and return copies of the parameters after it."""
        live, handed = step({name: g.copy() for name, g in gradients.items()}, t)
        after = {}
        for name in before:
            array = np.asarray(live[name])
            if array.shape != before[name].shape or array.dtype.kind not in "fiu":
                raise TypeError(
                    f"expected {name} of shape {before[name].shape} after the step, got"
                    f" {array.dtype} of shape {array.shape}"
                )
            after[name] = array.astype(np.float64)
        for name, g in gradients.items():
            if not np.array_equal(handed[name], g):
                raise GradientCheckError(
                    f"{self.label}: step changed the gradient of {name} in place; an optimizer may"
                    " only read it",
                    name,
                )
        return after

    def compare(
        self,
        before: dict[str, Array],
        after: dict[str, Array],
        gradients: dict[str, Array],
        t: int,
    ) -> None:
        """Add a step to the record, with what the rule makes of it."""
        expected, wrong = {}, {}
        for name, rule in self.record.rules.items():
            w, g = before[name], gradients[name]
            new = np.asarray(rule(w.copy(), g.copy(), self.states[name], t))
            if new.shape != w.shape:
                raise ValueError(
                    f"check_optimizer: expected update to return shape {w.shape}, got {new.shape}"
                )
            expected[name], change = new, np.abs(new - w)
            gap = np.abs(after[name] - new)
            wrong[name] = ~(gap <= self.atol + self.rtol * change)
            longest = float(np.max(change, initial=0.0)) or 1.0
            error, old = float(np.max(gap, initial=0.0)), self.errors[name]
            self.errors[name] = max(old[0], error), max(old[1], error / longest)
        self.record.moments.append(Moment(before, after, gradients, expected, wrong))

    def finish(self, step: Step, draw: Callable[[], dict[str, Array]], steps: int) -> None:
        """Take the other steps; after a wrong one some more, whatever they do."""
        t = 1
        while t < (steps if self.record.wrong is None else self.record.wrong + MORE):
            t += 1
            before, gradients = self.record.moments[-1].after, draw()
            try:
                with warnings.catch_warnings(), np.errstate():
                    if self.record.wrong is not None:
                        warnings.simplefilter("ignore")
                    after = self.call(step, before, gradients, t)
                    self.compare(before, after, gradients, t)
            except Exception:
                if self.record.wrong is None:
                    raise
                return

    def result(self, steps: int) -> CheckResult:
        """Return the result, or raise the error."""
        t = self.record.wrong
        if t is not None:
            raise _error(self.label, t, self.record)
        rules = self.record.rules
        sizes = {name: steps * after.size for name, after in self.record.moments[0].after.items()}
        rows = [Row(name, *self.errors[name], sizes[name], sizes[name]) for name in rules]
        notes = [f"{steps} steps"]
        if self.design.said != "step(net)":
            notes.append(f"called as {self.design.said}")
        return CheckResult(self.label, tuple(rows), tuple(notes))


def _error(label: str, t: int, record: Record) -> GradientCheckError:
    moment = record.moments[t - 1]
    name = next(name for name, mask in moment.wrong.items() if mask.any())
    wrong, before, after = moment.wrong[name], moment.before[name], moment.after[name]
    gap = np.where(wrong, np.abs(after - moment.expected[name]), -1.0)
    gap = np.where(wrong & ~np.isfinite(gap), np.inf, gap)
    near = gap >= gap.max() * (1 - 1e-6)  # within rounding of the worst: the first of them
    place = tuple(map(int, np.unravel_index(np.argmax(near), gap.shape)))
    cause = explain(record)
    message = (
        f"{label}: step {t} differs from the update rule for {name}, at {int(wrong.sum())} of"
        f" {wrong.size} entries\n"
        f"  worst at {name}{list(place)}: {before[place]:.8g} became {after[place]:.8g}, expected"
        f" {moment.expected[name][place]:.8g}" + (f"\n  likely cause: {cause}" if cause else "")
    )
    return GradientCheckError(message, name, place, cause)
