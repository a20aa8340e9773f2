"""Run a forward and a backward function for a check, each time from the same state.

What the functions are given are copies, so that each write to an argument is seen, and so that any
of the values can be replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._call.functions import Call, apart, joined
from elunet.testing._call.passes import name_of
from elunet.testing._call.signatures import returned_names
from elunet.testing._diagnose import Factor
from elunet.testing._find.pairs import closest
from elunet.testing._find.places import is_number, numeric_places, unlooked
from elunet.testing._find.returned import Claim, Getter, UnmatchedError, claims_in, named_in
from elunet.testing._find.structures import Structure
from elunet.testing._perturb.moves import first_index, moved, real, stream
from elunet.testing._perturb.problem import Changed, Problem
from elunet.testing._perturb.snapshot import Randomness


class Run:
    """The two functions with their arguments, each call from the same random state."""

    averaged_over: int | None = None
    batch_axis = 0
    dtype: np.dtype[Any] = np.dtype(np.float64)

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        arguments: dict[str, Any],
        gradients: dict[str, Getter],
    ) -> None:
        self.forward, self.backward, self.gradients = forward, backward, gradients
        self.name = f"{name_of(forward)} and {name_of(backward)}"
        self.arguments = Structure(arguments)
        self.call = Call(forward, backward, list(arguments))
        self.shown = returned_names(backward)
        self.randomness = Randomness([forward, backward])

    def problem(self) -> Problem:
        """Settle how the functions are called, and look for side effects."""
        values = self._values()
        self.result = Problem(
            self.name,
            values,
            self.output,
            self.claims,
            lambda rng, y: rng.standard_normal(y.shape).astype(y.dtype),
            self.factors,
            constants={path for path, source in self.gradients.items() if source is None},
            dtype=self.dtype,
            how=self.how,
            parts=self.without,
        )
        self._settle_integers()
        result, named = self._forward({})
        self.call.settle(result, list(named.values()))
        self.result.dy_name = self._dy_names()[0]
        for note in (*self.call.notes, *self.arguments.unlooked, *unlooked(self.forward)):
            self.result.note(note)
        self._check_forward()
        self._note_hidden()
        return self.result

    def _values(self) -> dict[str, Any]:
        """Bring arrays into the check's dtype, and return all leaves."""

        def change(path: str, leaf: Any) -> Any:
            if is_number(leaf) and not isinstance(leaf, np.floating):
                return leaf
            if np.asarray(leaf).dtype.kind == "f":
                return real(leaf, f"check_functions: {path}").astype(self.dtype)[()]
            return leaf.copy()

        self.arguments = self.arguments.with_leaves(change)
        values = self.arguments.leaves
        if not values:
            raise TypeError(
                "check_functions: expected an array of real numbers among the arguments, got none"
            )
        for path in self.gradients:
            if path not in values:
                raise ValueError(
                    "check_functions: expected gradients= to name what forward takes "
                    f"({', '.join(values)}), got {path!r}"
                )
        return dict(values)

    def _settle_integers(self) -> None:
        """Take integer arrays as floats, where forward can."""
        problem = self.result
        floats = {}
        for path, value in problem.values.items():
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu":
                continue
            try:
                self._forward({path: value.astype(self.dtype)})
            except Exception:
                problem.left_alone.add(path)
                problem.note(f"{path} holds integers that forward takes as they are: not checked")
            else:
                floats[path] = value.astype(self.dtype)
        self.arguments = self.arguments.with_leaves(lambda path, leaf: floats.get(path, leaf))
        problem.integers = set(floats)
        problem.values.update(floats)

    def _forward(self, changed: Changed) -> tuple[Any, dict[str, Any]]:
        """Return what forward returned, and the arguments that it was given."""
        self.randomness.restore()
        named = self.arguments.copy(changed)
        return self.forward(*named.values()), named

    def output(self, changed: Changed) -> Array:
        """Return the differentiated outputs, as one new array."""
        return joined(self.call.output_of(self._forward(changed)[0])).copy()

    def claims(self, changed: Changed, dy: Array) -> dict[str, Claim]:
        """Run forward and backward, and return the gradients by path."""
        result, named = self._forward(changed)
        before = {**self.arguments.leaves, **changed}
        self._unchanged(named, before, "forward")
        dys = apart(dy, self.call.output_of(result))
        kept = Structure(dict(zip(self._dy_names(), dys, strict=True)))
        handed = kept.copy()
        returned = self.call.run_backward(list(named.values()), result, list(handed.values()))
        self._unchanged(named, before, "backward")
        self._unchanged(handed, kept.leaves, "backward")
        self.returned = returned
        values = {p: v for p, v in self.result.values.items() if p not in self.result.left_alone}
        try:
            found = claims_in(
                returned,
                values,
                self.shown,
                self.gradients,
                list(self.arguments.named),
                self.result.integers,
            )
        except UnmatchedError as error:
            text = f"backward {error}"
            raise self.result.error(text, text.rpartition(" for ")[2]) from None
        self.found = found
        if self.averaged_over is None:
            return found
        count, first = self._examples(), self._first()
        return {
            path: claim if path == first else Claim(claim.name, np.asarray(claim.gradient) * count)
            for path, claim in found.items()
        }

    def _dy_names(self) -> list[str]:
        """Return the names under which backward takes the outputs' gradients."""
        taken = {i: name for name, (kind, i) in self.call.roles.items() if kind == "dy"}
        return [taken.get(i, f"dout[{i}]") for i in range(len(self.call.outputs))]

    def without(self, dy: Array) -> dict[str, Array]:
        """Return for each output's gradient a dy in which it is 0."""
        dys = apart(dy, self.call.output_of(self._forward({})[0]))
        sizes = [
            sum(np.size(leaf) for leaf in Structure({"dy": one}).leaves.values()) for one in dys
        ]
        found, start = {}, 0
        for name, size in zip(self._dy_names(), sizes, strict=True):
            if size < dy.size:
                found[name] = dy.copy()
                found[name][start : start + size] = 0.0
            start += size
        return found

    def _unchanged(self, named: dict[str, Any], before: Changed, who: str) -> None:
        """Raise an error if a pass wrote into what it was given."""
        for path, now in Structure(named).leaves.items():
            old = before.get(path)
            if old is not None and not np.array_equal(now, old, equal_nan=True):
                differ = np.atleast_1d(np.asarray(now) != np.asarray(old))
                place = list(first_index(differ)) if np.shape(now) else ""
                raise self.result.error(f"{who} changed {path}{place} in place", path)

    def _check_forward(self) -> None:
        """Check that forward keeps to the dtype and gives the same again."""
        y = self.output({})
        if y.dtype != self.dtype:
            hint = ", or check code that is float32 with dtype=np.float32"
            raise self.result.error(
                f"forward returned {y.dtype} for arrays in {self.dtype}; expected {self.dtype}, in "
                "which differences are exact enough (compute in the arguments' dtype"
                f"{hint if y.itemsize < self.dtype.itemsize else ''})"
            )
        if not np.all(np.isfinite(y)):
            raise self.result.error("forward's output is not finite at the given values", "out")
        close = 1e-12 if y.dtype == np.float64 else 1e-5
        if not np.allclose(self.output({}), y, rtol=close, atol=close):
            raise self.result.error(
                "forward is not deterministic: the same arguments give another out", "out"
            )

    def _note_hidden(self) -> None:
        """Note what moves the output and is not an argument of forward: a closure variable."""
        y, hidden = self.output({}), []
        for place in numeric_places(self.forward):
            content = place.get()
            if np.asarray(content).dtype.kind != "f":
                continue
            near = moved(np.asarray(content), stream(0, 9))
            place.set(near if isinstance(content, np.ndarray) else float(near))
            try:
                other = self.output({})
                moves = other.shape == y.shape and not np.array_equal(other, y, equal_nan=True)
            except Exception:  # whatever another value makes of the code
                moves = False
            finally:
                place.set(content)
            if moves:
                hidden.append(place.path.replace("__self__", "self"))
        if hidden:
            self.result.note(
                f"{', '.join(hidden)}: moves the output, but is not an argument of "
                f"{name_of(self.forward)}, and was not checked (check_layer checks what an object "
                "holds)"
            )

    def _first(self) -> str:
        """Return the path of the first array: the input."""
        values = self.result.values.items()
        arrays = [p for p, v in values if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
        return arrays[0] if arrays else next(iter(self.result.values))

    def _examples(self) -> int:
        shape = np.shape(self.result.values[self._first()])
        return int(shape[self.batch_axis]) if len(shape) > self.batch_axis else 1

    def factors(self, path: str, y: Array) -> list[Factor]:
        """Return what factors would mean for this value's gradient."""
        shape = np.shape(self.result.values[self._first()])
        if not y.ndim or len(shape) < 2:
            return []
        count, other = self._examples(), int(shape[1 - self.batch_axis])
        course = "if your course divides by it in the layer, pass averaged=True"
        parameter = path != self._first() and self.averaged_over is None
        found = [
            Factor(
                count,
                f"multiplied by the batch size {count}",
                f"averaged over the batch of {count} instead of summed (the mean over the batch "
                f"is in dy, it comes from the loss{'; ' + course if parameter else ''})",
            )
        ]
        if parameter and len(shape) == 2 and y.shape[-1:] == shape[1:] and self.batch_axis == 0:
            text = f"the {other} columns"
            found.append(
                Factor(
                    other,
                    f"multiplied by the number of {text}",
                    f"averaged over {text}: if the columns are examples and your course divides by "
                    "their number in the layer, pass batch_axis=1, averaged=True",
                )
            )
        return found if other != count else found[-1:]

    def how(self, path: str) -> str:
        """Say how to name a value's gradient, with what backward returned besides the others."""
        matched = {id(claim.gradient) for claim in self.found.values()}
        free = {name: item for name, item in named_in(self.returned, self.shown).items()}
        free = {name: np.asarray(item) for name, item in free.items() if id(item) not in matched}
        value = {path: np.asarray(self.result.values[path])}
        guesses = closest(path, value, free)
        example = guesses[0] if guesses else f"d{path}" if path.isidentifier() else "[1]"
        return (f"; is it {' or '.join(guesses)}?" if guesses else "") + (
            "\n  say which part of backward's result its gradient is, by name or place: "
            f"gradients={{{path!r}: {example!r}}}, or that it is a constant: "
            f"gradients={{{path!r}: None}}"
        )
