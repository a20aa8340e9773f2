"""A layer's gradients: entry by entry at one x, and along one direction at another.

Each gradient is compared with differences of further forward passes. If it is wrong, a closer look
finds the cause. If it is right, it is checked again after x and the parameters have changed: a
value that a layer kept for too long is right only where it was computed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from elunet._types import Array
from elunet.testing._contents import Parameter
from elunet.testing._diagnose import Factor, batch_factor
from elunet.testing._differences import Probe, Settings, Target, compare_gradient
from elunet.testing._report import Row
from elunet.testing._runner import Runner, Sample
from elunet.testing._side_effects import moved, same


def rows_of(run: Runner, sample: Sample, settings: Settings) -> list[Row]:
    """Compare dx and every parameter's gradient with differences; one row for each."""
    rows = [
        compare_gradient(run.name, target, sample.dy, settings)
        for target in targets_of(run, sample, run.inputs)
    ]
    if all(row.ok for row in rows):
        return rows
    return _look_closer(run, sample, rows, settings.rng(3))


def check_elsewhere(run: Runner, sample: Sample, settings: Settings) -> None:
    """Check the gradients along a random direction, for another x and other parameters."""
    rng = settings.rng(5)
    inputs = moved(run.inputs)
    _check_there(run, sample, inputs, settings, rng, "at another x", "what an earlier forward kept")
    if not sample.parameters:
        return
    kept = "something made from earlier parameters (a copy? a transpose?)"
    others = moved([parameter.value for parameter in sample.parameters])
    try:
        for parameter, value in zip(sample.parameters, others, strict=True):
            parameter.set(value)
        where = "after the parameters were replaced by other arrays"
        _check_there(run, sample, inputs, settings, rng, where, kept)
        for value in others:
            value *= 1.05
        where = "after the parameters were changed in place, as by an optimizer"
        _check_there(run, sample, inputs, settings, rng, where, kept)
    finally:
        for parameter in sample.parameters:
            parameter.set(parameter.value)


def _check_there(
    run: Runner,
    sample: Sample,
    inputs: list[Array],
    settings: Settings,
    rng: np.random.Generator,
    where: str,
    kept: str,
) -> None:
    """Take a sample with the current parameters, and compare it along one direction."""
    if hasattr(run.layer, "zero_grad"):
        run.layer.zero_grad()
    added = [_is_added_up(run, parameter) for parameter in sample.parameters]
    y = run.forward([value.copy() for value in inputs]).copy()
    dy = rng.standard_normal(y.shape)
    dxs = [np.array(dx, dtype=np.float64) for dx in run.backward(dy.copy())]
    gradients = [np.array(p.gradient(), dtype=np.float64) for p in sample.parameters]
    there = Sample(y, dy, dxs, sample.parameters, gradients)
    skipped = [False] * len(inputs) + added
    for target, skip in zip(targets_of(run, there, inputs), skipped, strict=True):
        if skip or target.analytic.shape != target.value.shape:
            continue
        place = Probe(target, dy, settings).search(rng)
        if place is not None:
            index = list(map(int, np.unravel_index(place, target.value.shape)))
            raise run.error(
                f"{target.array} is right at first, but wrong {where}, as at {index}: backward "
                f"uses {kept}",
                target.array,
            )


def _is_added_up(run: Runner, parameter: Parameter) -> bool:
    """Whether this gradient is not 0 although the layer's zero_grad was called."""
    return hasattr(run.layer, "zero_grad") and bool(np.any(parameter.gradient()))


def targets_of(run: Runner, sample: Sample, inputs: list[Array]) -> list[Target]:
    """Return what is to be compared, dx first, with the current parameters."""
    targets = []
    for place, (label, value, dx) in enumerate(zip(run.labels, inputs, sample.dxs, strict=True)):
        factors = _input_factors(run, value, sample.y)
        output = _with_input(run, inputs, place)
        targets.append(Target(f"d{label}", label, value, dx, output, factors))
    factors = _parameter_factors(sample.y)
    for parameter, gradient in zip(sample.parameters, sample.gradients, strict=True):
        value = parameter.locations[0].get()
        output = _with_parameter(run, inputs, parameter, value)
        name, symbol = parameter.name, parameter.symbol
        targets.append(Target(name, symbol, value, gradient, output, factors, is_input=False))
    return targets


def _with_input(run: Runner, inputs: list[Array], place: int) -> Callable[[Array], Array]:
    def output(v: Array) -> Array:
        given = [other.copy() for other in inputs]
        given[place] = v.copy()
        return run.forward(given).copy()

    return output


def _with_parameter(
    run: Runner, inputs: list[Array], parameter: Parameter, value: Array
) -> Callable[[Array], Array]:
    def output(v: Array) -> Array:
        parameter.set(v)
        try:
            return run.forward([other.copy() for other in inputs]).copy()
        finally:
            parameter.set(value)

    return output


def _input_factors(run: Runner, x: Array, y: Array) -> list[Factor]:
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


def _parameter_factors(y: Array) -> list[Factor]:
    if y.ndim < 2:
        return []
    count, positions = len(y), math.prod(y.shape[1:-1])
    factors = [batch_factor(count)]
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


def _look_closer(
    run: Runner, sample: Sample, rows: list[Row], rng: np.random.Generator
) -> list[Row]:
    """Look for causes without a pattern: rounding, and a backward that is not linear in dy."""
    near = [v * (1 + 1e-3 * rng.standard_normal(v.shape)) for v in run.inputs]
    y = run.forward(near)
    if np.any(y != sample.y) and np.array_equal(y, y.astype(np.float32)):
        cause = "forward rounds to float32 inside, too coarse for differences"
        return [row if row.ok else dataclasses.replace(row, cause=cause) for row in rows]
    run.forward(run.copies())
    doubled = run.backward(2 * sample.dy)
    doubled += [np.asarray(parameter.gradient()) for parameter in sample.parameters]
    closer = []
    analytic = [*sample.dxs, *sample.gradients]
    for row, once, twice in zip(rows, analytic, doubled, strict=True):
        cause = row.cause
        if not row.ok and not cause and not same(twice, 2 * once):
            cause = "backward is not linear in dy: a doubled dy does not double the gradient"
            if same(twice, once):
                cause = f"backward ignores dy: {row.array} stays the same for any dy"
            elif same(twice, 4 * once):
                cause = "dy enters twice: a doubled dy gives four times the gradient"
        closer.append(dataclasses.replace(row, cause=cause))
    return closer
