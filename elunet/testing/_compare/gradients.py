"""A layer's gradients: entry by entry at the given values, and along one direction at others.

Each gradient is compared with differences of further forward passes. If it is wrong, a closer look
finds the cause. If it is right, it is checked again after x and the parameters have moved: zeros,
ones and equal values hide faults, and a value that a layer kept for too long is right only where it
was computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from elunet._types import Array
from elunet.testing._compare.collect import numeric_at
from elunet.testing._compare.differences import compare_gradients
from elunet.testing._compare.probe import Probe, Target
from elunet.testing._compare.settings import Settings
from elunet.testing._diagnose import Factor, batch_factor
from elunet.testing._find.places import is_number, lookup
from elunet.testing._find.values import Value
from elunet.testing._perturb.layer_run import Runner, Sample
from elunet.testing._perturb.moves import moved, only_while
from elunet.testing._perturb.side_effects import elsewhere, same
from elunet.testing._report import Row

ROUNDED = (
    "forward rounds to float32 inside, too coarse for differences: compute in x's dtype, or check "
    "with dtype=np.float32"
)


def rows_of(run: Runner, sample: Sample, settings: Settings) -> list[Row]:
    """Compare dx and every parameter's gradient with differences; one row for each."""
    targets = targets_of(run, sample, run.inputs)
    rows = compare_gradients(run.name, targets, sample.dy, settings)
    if all(row.ok for row in rows):
        return rows
    rows = _look_closer(run, sample, targets, rows, settings.rng(3))
    rows = _updated_too_early(run, sample, targets, rows, settings)
    return _only_a_part(run, sample, targets, rows, settings)


def check_elsewhere(run: Runner, sample: Sample, settings: Settings) -> None:
    """Check the gradients along a random direction, for another x and other parameters."""
    rng = settings.rng(5)
    inputs = elsewhere(run.inputs)
    there = _Elsewhere(run, settings, rng)
    there.check(inputs, "at another x", "backward uses what an earlier forward kept")
    if not sample.values:
        return
    originals = [value.work.copy() for value in sample.values]
    others = [moved(original, rng) for original in originals]
    kept = "backward uses something made from earlier parameters (a copy? a transpose?)"
    try:
        for place, (value, other) in enumerate(zip(sample.values, others, strict=True)):
            if value.is_seen_through(run.held.original.values()):
                value.set(other)
                others[place] = value.work
            else:
                value.replace(other)
        where = "after the parameters were replaced by other arrays"
        there.check(inputs, where, kept, originals)
        for value, other in zip(sample.values, others, strict=True):
            other[...] = moved(other, rng)
            value.replace(other)
        where = "after the parameters were changed in place, as by an optimizer"
        there.check(inputs, where, kept, originals)
    finally:
        for value, original in zip(sample.values, originals, strict=True):
            value.set(original)


class _Elsewhere:
    """Compares gradients along one direction, at other inputs and parameters."""

    def __init__(self, run: Runner, settings: Settings, rng: np.random.Generator) -> None:
        self.run, self.settings, self.rng = run, settings, rng

    def check(
        self,
        inputs: list[Array],
        where: str,
        kept: str,
        originals: list[Array] | None = None,
    ) -> None:
        """Raise an error if a gradient is wrong here.

        `originals` are the parameters' given values: whichever hides the fault is named.
        """
        found = self._wrong(inputs)
        if found is None:
            return
        target, index, row = found
        name = target.array
        special = self._special(inputs, name, originals) if originals else ""
        if special:
            cause = f": {row.cause}" if row and row.cause else ""
            text = f"{name} is right only while {special}{cause}"
        else:
            text = f"{name} is right at first, but wrong {where}, as at {index}: {kept}"
        raise self.run.error(text, name)

    def _sample(self, inputs: list[Array]) -> Sample:
        run = self.run
        run.clear()
        y = run.forward([value.copy() for value in inputs]).copy()
        dy = run.draw_dy(self.rng, y)
        dxs = [np.array(dx, dtype=np.float64) for dx in run.backward(dy.copy())]
        return Sample(y, dy, dxs, run.values, [run.gradient(value) for value in run.values])

    def _wrong(self, inputs: list[Array]) -> tuple[Target, list[int], Row | None] | None:
        """Return the first target that is wrong, with an entry and the full comparison."""
        sample = self._sample(inputs)
        targets = targets_of(self.run, sample, inputs)
        for target in targets:
            if target.analytic.shape != target.value.shape:
                continue
            place = Probe(target, sample.dy, self.settings).search(self.rng)
            if place is not None:
                few = replace(self.settings, skip_kinks=True)
                rows = compare_gradients(self.run.name, targets, sample.dy, few)
                row = next(row for row in rows if row.array == target.array)
                index = list(map(int, np.unravel_index(place, target.value.shape)))
                return target, index, row
        return None

    def _special(self, inputs: list[Array], name: str, originals: list[Array]) -> str:
        """Say which parameter's given value hides the fault of this gradient, "" if none does."""
        now = [value.content for value in self.run.values]
        for value, original, other in zip(self.run.values, originals, now, strict=True):
            words = only_while(value.symbol, original)
            if not words:
                continue
            value.set(original)
            found = self._wrong(inputs)
            value.set(other)
            if found is None or found[0].array != name:
                return words
        return ""


def targets_of(run: Runner, sample: Sample, inputs: list[Array]) -> list[Target]:
    """Return what is to be compared, dx first, with the current parameters."""
    targets = []
    numbers = {path: float(v) for path, v in run.unpaired.items() if is_number(v)}
    for place, (label, value, dx) in enumerate(zip(run.labels, inputs, sample.dxs, strict=True)):
        if place in run.left_alone:
            continue
        factors = _input_factors(run, value, sample.y)
        output = _with_input(run, inputs, place)
        targets.append(Target(f"d{label}", label, value, dx, output, factors, numbers=numbers))
    factors = _parameter_factors(run, sample.y)
    for parameter, gradient in zip(sample.values, sample.gradients, strict=True):
        value = parameter.content
        output = _with_parameter(run, inputs, parameter, value)
        name, symbol = parameter.name, parameter.symbol
        target = Target(name, symbol, value, gradient, output, factors, False, numbers=numbers)
        targets.append(target)
    return targets


def _with_input(run: Runner, inputs: list[Array], place: int) -> Callable[[Array], Array]:
    def output(v: Array) -> Array:
        given = [other.copy() for other in inputs]
        given[place] = v.copy()
        return run.forward(given).copy()

    return output


def _with_parameter(
    run: Runner, inputs: list[Array], parameter: Value, value: Array
) -> Callable[[Array], Array]:
    def output(v: Array) -> Array:
        array = parameter.places[0].get()
        if not isinstance(array, np.ndarray):
            array = parameter.work
        array[...] = v
        parameter.replace(array)
        try:
            return run.forward([other.copy() for other in inputs]).copy()
        finally:
            array[...] = value
            parameter.replace(array)

    return output


def _input_factors(run: Runner, x: Array, y: Array) -> list[Factor]:
    if run.is_loss:
        return _batch(run, x)
    factors = []
    area = next(
        (
            int(np.prod(np.broadcast_to(size, 2)))
            for name in ("size", "pool_size", "kernel_size")
            if isinstance(size := getattr(run.layer, name, None), int | tuple)
        ),
        0,
    )
    if area > 1:
        factors.append(
            Factor(
                area,
                f"a missing factor 1/{area}, the window's area: mean pooling's gradient is "
                "dy / (size * size)",
                f"{area}, the window's area, is divided by once too often",
            )
        )
    if y.size and x.size % y.size == 0 and x.size // y.size not in (1, area):
        inputs = x.size // y.size
        factors.append(
            Factor(
                inputs,
                f"a missing factor 1/{inputs}, as of a mean: there are {inputs} inputs to "
                "each output",
                f"{inputs}, the number of inputs to each output, is divided by once too often",
            )
        )
    if y.ndim > 1 and x.shape[:1] == y.shape[:1]:
        factors.append(batch_factor(len(x)))
    return factors


def _batch(run: Runner, x: Array) -> list[Factor]:
    return [batch_factor(x.shape[run.options.batch_axis])] if x.ndim > 1 else []


def _parameter_factors(run: Runner, y: Array) -> list[Factor]:
    if run.is_loss:
        return _batch(run, run.inputs[0])
    if y.ndim < 2:
        return []
    axis = run.options.batch_axis
    count, positions = y.shape[axis], math.prod(y.shape[1:-1])
    course = "if your course divides by it in the layer, pass averaged=True"
    factors = [
        Factor(
            count,
            f"multiplied by the batch size {count}",
            f"averaged over the batch of {count} instead of summed (the mean over the batch is in "
            f"dy, it comes from the loss; {course})",
        )
    ]
    columns = y.shape[-1]
    if y.ndim == 2 and axis == 0 and run.inputs[0].shape[-1:] == (columns,) and columns != count:
        text = f"the {columns} columns"
        factors.append(
            Factor(
                columns,
                f"multiplied by the number of {text}",
                f"averaged over {text}: if the columns are examples and your course divides by "
                "their number in the layer, pass batch_axis=1, averaged=True",
            )
        )
    for number, what in (
        (positions, f"the {positions} positions of an image"),
        (count * positions, f"the batch and its positions ({count} x {positions})"),
    ):
        if number not in [factor.number for factor in factors]:
            factors.append(
                Factor(
                    number,
                    f"multiplied by the number of {what}",
                    f"averaged over {what} instead of summed",
                )
            )
    return factors


def _is_rounded(target: Target, y: Array, rng: np.random.Generator) -> bool:
    """Whether forward computes in float32 for float64, so that the output moves in steps."""
    if y.dtype != np.float64:
        return False
    noise = rng.standard_normal(target.value.shape)
    near, nearest = (target.output(target.value * (1 + h * noise)) for h in (1e-3, 1e-12))
    if near.shape != y.shape or nearest.shape != y.shape or np.mean(near != y) < 0.5:
        return False
    return bool(np.array_equal(near, near.astype(np.float32)) or np.mean(nearest != y) < 0.1)


def _look_closer(
    run: Runner,
    sample: Sample,
    targets: list[Target],
    rows: list[Row],
    rng: np.random.Generator,
) -> list[Row]:
    """Look for causes without a pattern: rounding, and a backward that is not linear in dy."""
    rows = [
        row if row.ok or not _is_rounded(target, sample.y, rng) else replace(row, cause=ROUNDED)
        for row, target in zip(rows, targets, strict=True)
    ]
    if run.is_loss:
        return rows
    run.clear()
    run.forward(run.copies())
    doubled = run.differentiated(run.backward(2 * sample.dy))
    doubled += [run.gradient(value) for value in sample.values]
    closer = []
    analytic = [*run.differentiated(sample.dxs), *sample.gradients]
    for row, once, twice in zip(rows, analytic, doubled, strict=True):
        cause = row.cause
        if not row.ok and not cause and not same(twice, 2 * once):
            cause = "backward is not linear in dy: a doubled dy does not double the gradient"
            if same(twice, once):
                cause = f"backward ignores dy: {row.array} stays the same for any dy"
            elif same(twice, 4 * once):
                cause = "dy enters twice: a doubled dy gives four times the gradient"
        closer.append(replace(row, cause=cause))
    return closer


def _updated_too_early(
    run: Runner, sample: Sample, targets: list[Target], rows: list[Row], settings: Settings
) -> list[Row]:
    """Say so where dx is right for the parameters after backward's own update."""
    rate = run.rate_of_updates()
    if rate is None:
        return rows
    before = [value.content for value in sample.values]
    found = []
    for target, row in zip(targets, rows, strict=True):
        cause = row.cause
        if not row.ok and target.is_input and target.value.size <= settings.entries:
            for value, old, gradient in zip(sample.values, before, sample.gradients, strict=True):
                value.set(old - rate * gradient)
            everywhere = np.arange(target.value.size)
            there = numeric_at(target, sample.dy, settings, everywhere).reshape(target.value.shape)
            for value, old in zip(sample.values, before, strict=True):
                value.set(old)
            if same(target.analytic, there):
                cause = (
                    f"{target.array} is computed with the parameters after their update: compute "
                    "it first, then update"
                )
        found.append(replace(row, cause=cause))
    return found


def _only_a_part(
    run: Runner, sample: Sample, targets: list[Target], rows: list[Row], settings: Settings
) -> list[Row]:
    """Say so where one array is in several layers, and their gradients of it add up to the right.

    Tied weights: each layer keeps the part of its own.
    """
    tied = {value.name: value for value in sample.values if len(value.places) > 1}
    found = []
    for target, row in zip(targets, rows, strict=True):
        parts = {} if row.ok or target.array not in tied else _parts(run, sample, tied[row.array])
        if len(parts) > 1:
            total = np.sum([np.asarray(part) for part in parts.values()], axis=0)
            whole = Probe(replace(target, analytic=total), sample.dy, settings)
            if whole.search(settings.rng(6)) is None:
                layer = " + ".join(f"layer.{name}" for name in parts)
                cause = (
                    f"{' and '.join(parts)} are parts, right if they are added up: the layers "
                    f"share one array (check with gradients={{{target.symbol!r}: lambda layer: "
                    f"{layer}}})"
                )
                row = replace(row, cause=cause)
        found.append(row)
    return found


def _parts(run: Runner, sample: Sample, value: Value) -> dict[str, Array]:
    """Return the gradients that the owners of one array keep, each under the same name."""
    run.clear()
    run.forward(run.copies())
    run.backward(sample.dy.copy())
    last = value.name.rpartition(".")[2]
    parts: dict[str, Array] = {}
    for place in value.places:
        name = f"{place.path.rpartition('.')[0]}.{last}".lstrip(".")
        part = lookup(run.root, name)
        if np.shape(part) == value.work.shape and all(
            part is not other for other in parts.values()
        ):
            parts[name] = part
    return parts
