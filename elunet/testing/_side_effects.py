"""Side effects: the same x gives the same y, and no pass writes to arrays that are not its own.

A layer with the right formula may still overwrite its neighbors' numbers, or its own from a step
before. Here each pass is run next to copies of all arrays, and everything is compared afterwards.
"""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.testing._contents import Parameter, held_arrays
from elunet.testing._diagnose import CLOSE
from elunet.testing._differences import first_index
from elunet.testing._runner import Runner, Sample


def same(a: Array, b: Array) -> bool:
    """Whether two results are the same up to rounding (float32 results included)."""
    if a.shape != b.shape or np.array_equal(a, b, equal_nan=True):
        return a.shape == b.shape
    scale = float(np.max(np.abs(b), initial=0.0))
    tolerance = CLOSE if a.dtype != np.float64 else 1e-9
    return bool(np.all(np.abs(a - b) <= tolerance * scale))


def check_forward(run: Runner) -> Array:
    """Return a copy of y; check that forward is deterministic and changes no other array."""
    given = run.copies()
    y = run.forward(given)
    _unchanged(run, given, run.inputs, "forward", run.labels)
    if y.dtype != np.float64:
        raise run.error(
            f"forward returned {y.dtype} for x in float64; expected float64, in which "
            "differences are exact enough (compute in x's dtype)"
        )
    if not np.all(np.isfinite(y)):
        index = first_index(~np.isfinite(y))
        raise run.error(f"forward returned {y[index]} at y{list(index)}")
    first = y.copy()
    again = run.forward(run.copies())
    if again.shape != first.shape or not np.allclose(again, first, rtol=1e-12, atol=1e-12):
        raise run.error(
            "forward is not deterministic: the same x gives another y although the random "
            "state was restored (keep the generator in an attribute, such as self.rng)"
        )
    run.forward(moved(run.inputs))
    if not np.array_equal(y, first):
        raise run.error(
            "forward changed an earlier result: y is a buffer that is used again; "
            "return a new array"
        )
    if not same(run.forward(run.copies()), first):
        raise run.error(
            "forward depends on an earlier call: the same x gives another y after a different x "
            "(is something kept from the last pass?)"
        )
    return first


def moved(arrays: list[Array]) -> list[Array]:
    """Return other arrays nearby: each entry scaled by another factor, 0.9 to 1.1."""
    return [v * np.linspace(0.9, 1.1, v.size).reshape(v.shape) for v in arrays]


def check_backward(run: Runner, y: Array, dy: Array) -> Sample:
    """Return what backward gives; check that it changes no array that is not its own."""
    given = run.copies()
    out = run.forward(given)
    values = [parameter.value.copy() for parameter in run.candidates]
    kept = held_arrays(run.parts)
    dy_given = dy.copy()
    returned = run.backward(dy_given)
    _unchanged(run, [dy_given], [dy], "backward", ["dy"])
    _unchanged(run, given, run.inputs, "backward", run.labels)
    _unchanged(run, [out], [y], "backward", ["y, which forward returned,"])
    dxs = [np.array(dx, dtype=np.float64) for dx in returned]
    for label, dx in zip(run.labels, returned, strict=True):
        if dx.dtype != np.float64:
            run.notes.append(f"d{label} is {dx.dtype} although x was float64")
    parameters, gradients = run.gradients()
    _unchanged(
        run,
        [parameter.value for parameter in run.candidates if parameter in parameters],
        [v for v, p in zip(values, run.candidates, strict=True) if p in parameters],
        "backward",
        [parameter.symbol for parameter in parameters],
        " (leave the update to the optimizer)",
    )
    own = {id(parameter.gradient()) for parameter in parameters}
    changed = [
        name
        for name, array, copy in kept
        if id(array) not in own and not np.array_equal(array, copy, equal_nan=True)
    ]
    sample = Sample(y, dy, dxs, parameters, gradients)
    _check_views(run, sample, dy_given)
    _check_again(run, sample, returned, changed)
    return sample


def check_halves(run: Runner, sample: Sample, rng: np.random.Generator) -> None:
    """Check that backward is backward_params and backward_input, with any weight."""
    params_half, input_half, takes_weight = run.halves()
    if params_half:
        run.forward(run.copies())
        run.layer.backward_params(sample.dy.copy())
        for parameter, gradient in zip(sample.parameters, sample.gradients, strict=True):
            if not same(np.asarray(parameter.gradient()), gradient):
                raise run.error(
                    f"backward_params(dy) gives another {parameter.name} than backward(dy)",
                    parameter.name,
                )
    if not input_half:
        return
    text = "backward_input(dy) gives another {} than backward(dy)"
    _agree(run, run.send(sample.dy), sample.dxs, text)
    weight = next((p for p in sample.parameters if p.symbol == "params['W']"), None)
    if weight is None or not takes_weight:
        return
    own = weight.value
    text = "backward_input(dy, weight=W) gives another {} than backward_input(dy)"
    _agree(run, run.send(sample.dy, weight=own.copy()), sample.dxs, text)
    stand_in = rng.standard_normal(own.shape)
    claimed = [np.array(dx) for dx in run.send(sample.dy, weight=stand_in)]
    weight.set(stand_in)
    try:
        expected = run.send(sample.dy)
    finally:
        weight.set(own)
    text = "backward_input(dy, weight=B) gives another {} than a layer whose W is B"
    _agree(run, claimed, expected, text)


def _unchanged(
    run: Runner,
    now: list[Array],
    before: list[Array],
    method: str,
    labels: list[str],
    hint: str = "",
) -> None:
    for array, copy, label in zip(now, before, labels, strict=True):
        if not np.array_equal(array, copy):
            index = first_index(array != copy)
            raise run.error(
                f"{method} changed {label} in place (first at {list(index)}: "
                f"{copy[index]:.8g} became {array[index]:.8g}){hint}",
                label,
            )


def _check_views(run: Runner, sample: Sample, dy_given: Array) -> None:
    """Write to dy, as the layer above may: stored gradients must not change."""
    dy_given += 1.0
    following = [
        parameter
        for parameter, gradient in zip(sample.parameters, sample.gradients, strict=True)
        if not np.array_equal(_gradient(parameter), gradient, equal_nan=True)
    ]
    dy_given[...] = sample.dy
    for parameter in following:
        raise run.error(
            f"{parameter.name} is a view of dy: it changes when dy is written to afterwards; "
            "store a copy",
            parameter.name,
        )


def _check_again(run: Runner, sample: Sample, returned: list[Array], changed: list[str]) -> None:
    """Run backward a second time: it must give the same again."""
    try:
        again = [np.array(dx) for dx in run.backward(sample.dy.copy())]
    except Exception as error:  # a layer may drop what it kept
        run.notes.append(f"backward runs once for each forward ({type(error).__name__})")
        return
    for label, dx, old in zip(run.labels, again, sample.dxs, strict=True):
        if not same(dx, old):
            text = f"backward gives another d{label} when it is run twice: does it draw?"
            if changed:
                text = (
                    f"backward changed in place what forward kept: run twice, its d{label} "
                    f"differs; changed: {', '.join(changed)}"
                )
            raise run.error(text, f"d{label}")
    for label, dx, old in zip(run.labels, returned, sample.dxs, strict=True):
        if not same(np.asarray(dx), old):
            raise run.error(
                f"backward changed an earlier result: d{label} is a buffer that is used again; "
                "return a new array",
                f"d{label}",
            )
    for parameter, old in zip(sample.parameters, sample.gradients, strict=True):
        gradient = _gradient(parameter)
        if not same(gradient, old) and not hasattr(run.layer, "zero_grad"):
            doubled = same(gradient, 2 * old)
            raise run.error(
                f"{parameter.name} differs when backward runs twice"
                + (
                    ": it is added up; overwrite it, or give the layer a zero_grad()"
                    if doubled
                    else ": backward changed what forward kept"
                ),
                parameter.name,
            )


def _gradient(parameter: Parameter) -> Array:
    return np.array(parameter.gradient(), dtype=np.float64)


def _agree(run: Runner, got: list[Array], expected: list[Array], text: str) -> None:
    for label, one, other in zip(run.labels, got, expected, strict=True):
        if not same(one, other):
            raise run.error(text.format(f"d{label}"), f"d{label}")
