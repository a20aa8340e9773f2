"""A layer's passes as a problem: at other inputs and parameters, and as it was afterwards.

Parameters are changed where they are, as an optimizer does it, or replaced by other arrays: a layer
may have kept a copy, and is right only for one of the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._find.pairs import closest
from elunet.testing._find.places import numeric_places
from elunet.testing._find.returned import Claim
from elunet.testing._find.values import Value
from elunet.testing._perturb.layer_run import Runner
from elunet.testing._perturb.moves import moved
from elunet.testing._perturb.problem import Changed, Problem, Stage
from elunet.testing._perturb.side_effects import elsewhere

KEPT_X = "backward uses what an earlier forward kept"
KEPT_W = "backward uses something made from earlier parameters (a copy? a transpose?)"


def problem_of(run: Runner) -> Problem:
    """Return the problem of a runner whose passes have run once, so that it knows the gradients."""
    return _Passes(run).problem()


class _Passes:
    """One layer's passes at values that can be changed."""

    def __init__(self, run: Runner) -> None:
        self.run = run
        self.in_place = True
        self.parameters = {value.symbol: value for value in run.values}
        arrays = [array for array in run.held.original.values() if np.ndim(array)]
        self.seen_through = {
            name
            for name, value in self.parameters.items()
            if value.work.shape and value.is_seen_through(arrays)
        }
        names = {*run.labels, *self.parameters}
        self.unpaired = {f"self.{p}" if p in names else p: p for p in run.unpaired}

    def problem(self) -> Problem:
        """Return the problem."""
        run = self.run
        given = {label: x for label, x in zip(run.labels, run.inputs, strict=True)}
        learned = {name: value.given for name, value in self.parameters.items()}
        others = {name: run.unpaired[path] for name, path in self.unpaired.items()}
        trained = run.changes_in_training() if run.unpaired else set()
        return Problem(
            run.name,
            {**given, **learned, **others},
            self.output,
            self.claims,
            run.draw_dy,
            inputs=run.labels,
            statistics={name for name, path in self.unpaired.items() if path in trained},
            left_alone={run.labels[place] for place in run.left_alone},
            unnamed=set(self.unpaired),
            whole_are_settings=False,
            notes=run.notes,
            is_scored=run.is_loss,
            how=self.how,
            stages=self.stages,
            dtype=np.dtype(run.options.dtype),
        )

    def output(self, changed: Changed) -> Array:
        """Return forward's output."""
        with self._at(changed) as inputs:
            return self.run.forward_again(inputs).copy()

    def claims(self, changed: Changed, dy: Array) -> dict[str, Claim]:
        """Return the gradients; at the given values both passes ran before, and kept something."""
        run = self.run
        if changed:
            with self._at({}) as inputs:
                run.forward_again(inputs)
                run.backward(dy.copy())
        run.clear()
        with self._at(changed) as inputs:
            run.forward_again(inputs)
            dxs = run.backward(dy.copy())
            found = {
                label: Claim(f"d{label}", np.array(dx, dtype=np.float64))
                for place, (label, dx) in enumerate(zip(run.labels, dxs, strict=True))
                if place not in run.left_alone
            }
            for name, value in self.parameters.items():
                found[name] = Claim(value.name, run.gradient(value))
        return found

    @contextmanager
    def _at(self, changed: Changed) -> Iterator[list[Array]]:
        """Put other values in, and give the inputs; afterwards put the old ones back."""
        run = self.run
        run.frozen.restore()
        before: list[tuple[Value, Array]] = []
        try:
            for name, content in changed.items():
                if name in self.parameters:
                    value = self.parameters[name]
                    before.append((value, value.work.copy()))
                    if self.in_place or name in self.seen_through:
                        value.set(content)
                    else:
                        value.replace(content)
                elif name in self.unpaired:
                    number = not np.ndim(content)
                    self._put(self.unpaired[name], float(content) if number else content)
            inputs = zip(run.labels, run.inputs, strict=True)
            yield [np.array(changed.get(label, x)) for label, x in inputs]
        finally:
            for value, content in before:
                value.set(content)
            for name in changed.keys() & self.unpaired.keys():
                self._put(self.unpaired[name], run.unpaired[self.unpaired[name]])

    def _put(self, path: str, content: Any) -> None:
        for place in self.run.held.places[path]:
            with suppress(LookupError):  # the end of a list that forward makes longer
                place.set(content)

    def stages(self, rng: np.random.Generator) -> Iterator[Stage]:
        """Yield another x, then other parameters: other arrays, then the same ones changed."""
        inputs = dict(zip(self.run.labels, elsewhere(self.run.inputs), strict=True))
        yield Stage("at another x", inputs, KEPT_X)
        if not self.parameters:
            return
        names = list(self.parameters)
        for self.in_place, where in (
            (False, "after the parameters were replaced by other arrays"),
            (True, "after the parameters were changed in place, as by an optimizer"),
        ):
            others = {name: moved(value.work, rng) for name, value in self.parameters.items()}
            yield Stage(where, {**inputs, **others}, KEPT_W, names)

    def how(self, path: str) -> str:
        """Say how to name a value's gradient."""
        run, path = self.run, self.unpaired[path]
        values = {p: np.asarray(v) for p, v in run.held.original.items()}
        now = {p.path: np.asarray(p.get()) for p in numeric_places(run.root)}
        paired = {value.name for value in run.values} | {value.symbol for value in run.values}
        free = {p: v for p, v in now.items() if p not in paired and p != path}
        guesses = [guess for guess in closest(path, values, free) if guess not in values]
        found = f"; is it {' or '.join(guesses)}?" if guesses else ""
        last = path.rpartition(".")[2]
        example = guesses[0] if guesses else f"d{last}" if last.isidentifier() else "..."
        return (
            f"{found}\n  say where its gradient is: gradients={{{path!r}: {example!r}}}, or that "
            f"it is a constant: gradients={{{path!r}: None}}"
        )
