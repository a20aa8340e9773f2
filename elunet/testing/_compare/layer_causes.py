"""What may be wrong with a layer's gradient, beside the patterns: known factors, and its design.

A backward pass may have updated the parameters before it used them, and tied weights have gradients
that only add up to the right one.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from elunet._types import Array
from elunet.testing._compare.collect import numeric_at
from elunet.testing._compare.probe import Probe, Target
from elunet.testing._compare.settings import Settings
from elunet.testing._diagnose import Factor, batch_factor
from elunet.testing._find.places import lookup
from elunet.testing._find.values import Value
from elunet.testing._perturb.layer_run import Runner
from elunet.testing._perturb.side_effects import same
from elunet.testing._report import Row


def factors_of(run: Runner, path: str, y: Array) -> list[Factor]:
    """Return what factors would mean for the gradient of an input or a parameter."""
    if path in run.labels:
        return _input_factors(run, run.inputs[run.labels.index(path)], y)
    return _parameter_factors(run, y)


def look_closer(
    run: Runner, targets: list[Target], rows: list[Row], dy: Array, settings: Settings
) -> list[Row]:
    """Look for causes that lie in the layer's design."""
    rows = _updated_too_early(run, targets, rows, dy, settings)
    return _only_a_part(run, targets, rows, dy, settings)


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


def _updated_too_early(
    run: Runner, targets: list[Target], rows: list[Row], dy: Array, settings: Settings
) -> list[Row]:
    """Say so where dx is right for the parameters after backward's own update."""
    rate = run.rate_of_updates()
    if rate is None:
        return rows
    before = [value.content for value in run.values]
    gradients = {one.symbol: one.analytic for one in targets}
    found = []
    for target, row in zip(targets, rows, strict=True):
        cause = row.cause
        if not row.ok and target.is_input and target.value.size <= settings.entries:
            for value, old in zip(run.values, before, strict=True):
                value.set(old - rate * gradients[value.symbol])
            everywhere = np.arange(target.value.size)
            there = numeric_at(target, dy, settings, everywhere).reshape(target.value.shape)
            for value, old in zip(run.values, before, strict=True):
                value.set(old)
            if same(target.analytic, there):
                cause = (
                    f"{target.array} is computed with the parameters after their update: compute "
                    "it first, then update"
                )
        found.append(replace(row, cause=cause))
    return found


def _only_a_part(
    run: Runner, targets: list[Target], rows: list[Row], dy: Array, settings: Settings
) -> list[Row]:
    """Say so where one array is in several layers, and their gradients of it add up to the right.

    Tied weights: each layer keeps the part of its own.
    """
    tied = {value.name: value for value in run.values if len(value.places) > 1}
    found = []
    for target, row in zip(targets, rows, strict=True):
        parts = {} if row.ok or target.array not in tied else _parts(run, dy, tied[row.array])
        if len(parts) > 1:
            total = np.sum([np.asarray(part) for part in parts.values()], axis=0)
            whole = Probe(replace(target, analytic=total), dy, settings)
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


def _parts(run: Runner, dy: Array, value: Value) -> dict[str, Array]:
    """Return the gradients that the owners of one array keep, each under the same name."""
    run.clear()
    run.forward(run.copies())
    run.backward(dy.copy())
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
