"""Side effects: the same x has to give the same y, and no pass may write to others' arrays.

A layer with the right formula may still overwrite its neighbors' numbers, or its own from a step
before. Here each pass is run next to copies of all arrays, and everything is compared afterwards.
"""

from __future__ import annotations

import copy

import numpy as np

from elunet._types import Array
from elunet.layers.base import Layer
from elunet.testing._diagnose import CLOSE
from elunet.testing._find.places import numeric_places, walk
from elunet.testing._find.values import Held, contents
from elunet.testing._perturb.layer_pairs import pair_values, settle_values
from elunet.testing._perturb.layer_run import Runner, Sample
from elunet.testing._perturb.moves import first_index, moved, stream
from elunet.testing._perturb.snapshot import Snapshot

__tracebackhide__ = True  # pytest shows the frames of the code that is checked

TANGENT = ("tangent", "linear", "symmetric")
PASSES = ("forward", "backward_input", "forward_span", "backward_span", "apply", "apply_slope")


def same(a: Array, b: Array) -> bool:
    """Whether two results are the same up to rounding (float32 results included)."""
    if a.shape != b.shape or np.array_equal(a, b, equal_nan=True):
        return a.shape == b.shape
    scale = float(np.max(np.abs(b), initial=0.0))
    tolerance = CLOSE if a.dtype != np.float64 else 1e-9
    return bool(np.all(np.abs(a - b) <= tolerance * scale))


def check_forward(run: Runner) -> Array:
    """Return a copy of y; check that forward is deterministic and changes no other array.

    Afterwards the runner knows what the layer holds and forward leaves alone.
    """
    given = run.copies()
    before = Snapshot(run.root)
    y = run.forward(given)
    for sequence, length in before.grown():
        run.frozen.shorten(sequence, length)
    _unchanged(run, given, run.inputs, "forward", run.labels)
    dtype = np.dtype(run.options.dtype)
    if y.dtype != dtype:
        raise run.error(
            f"forward returned {y.dtype} for x in {dtype}; expected {dtype}, in which differences "
            "are exact enough (compute in x's dtype"
            + (", or check code that is float32 with dtype=np.float32)" if y.itemsize < 8 else ")")
        )
    if not np.all(np.isfinite(y)):
        index = first_index(~np.isfinite(y))
        raise run.error(f"forward returned {y[index]} at y{list(index)}")
    first, held = y.copy(), contents(run.root)
    again = run.forward(run.copies())
    if not same(again, first):
        culprit = _carried(run, before, first)
        what = "the loss" if run.is_loss else "forward"
        raise run.error(
            f"{what} is not deterministic: the same x gives another "
            f"{'value' if run.is_loss else 'y'} although the random state was restored "
            + (culprit or "(keep the generator in an attribute, such as self.rng)")
        )
    run.forward(elsewhere(run.inputs))
    if not np.array_equal(y, first):
        raise run.error(
            "forward changed an earlier result: y is a buffer that is used again; "
            "return a new array"
        )
    run.held = Held.between(run.root, held, run.options.dtype)
    if not same(run.forward(run.copies()), first):
        culprit = _carried(run, before, first)
        raise run.error(
            "forward depends on an earlier call: the same x gives another y after a different x "
            + (culprit or "(is something kept from the last pass?)")
        )
    return first


def elsewhere(inputs: list[Array]) -> list[Array]:
    """Return other inputs near these; integers are exchanged among each other."""
    rng = stream(0, 7)
    return [
        np.roll(v.reshape(-1), 1).reshape(v.shape) if v.dtype.kind in "iu" else moved(v, rng)
        for v in inputs
    ]


def shaped(value: object) -> bool:
    """Whether value is an array, not a number."""
    return isinstance(value, np.ndarray)


def _carried(run: Runner, before: Snapshot, expected: Array) -> str:
    """Say which attribute, restored alone, gives the expected output again."""
    for path, value in before.changed():
        place = next((p for p in walk(run.root) if p.path == path), None)
        if place is None:
            continue
        now = place.get()
        place.set(copy.deepcopy(value))
        if same(run.forward(run.copies()), expected):
            return (
                f"({path} is kept from call to call: set it again in each forward pass, or, if it "
                f"is carried on purpose, pass state=[{path!r}], and each pass starts from its "
                "value)"
            )
        place.set(now)
    return ""


def check_backward(run: Runner, y: Array, dy: Array) -> Sample:
    """Return what backward gives; check that it changes no array that is not its own."""
    before = Snapshot(run.root)
    run.forward(run.copies())
    run.backward(dy.copy())
    pair_values(run)
    before.restore()
    settle_values(run)
    given = run.copies()
    out = run.forward(given)
    values = [value.work.copy() for value in run.values]
    kept = {id(a): (p.path, a, a.copy()) for p in numeric_places(run.root) if shaped(a := p.get())}
    dy_given = dy.copy()
    returned = run.backward(dy_given)
    if any(np.may_share_memory(dx, dy_given) for dx in returned):
        returned = _written_into_dy(run, returned, dy_given, dy)
    else:
        _unchanged(run, [dy_given], [dy], "backward", ["dy"])
    _unchanged(run, given, run.inputs, "backward", run.labels)
    _unchanged(run, [out], [y], "backward", ["y, which forward returned,"])
    dxs = [np.array(dx, dtype=np.float64) for dx in returned]
    for label, dx in zip(run.labels, returned, strict=True):
        if dx.dtype != np.dtype(run.options.dtype):
            run.note(f"d{label} is {dx.dtype} although x was {np.dtype(run.options.dtype)}")
    for value in run.values:
        if not value.is_in_place:
            raise run.error(f"the passes replaced {value.symbol} by another array", value.name)
    _unchanged(
        run,
        [value.work for value in run.values],
        values,
        "backward",
        [value.symbol for value in run.values],
        " (leave the update to the optimizer)",
    )
    gradients = [run.gradient(value) for value in run.values]
    own = {id(value.gradient()) for value in run.values}
    changed = [
        name
        for name, array, old in kept.values()
        if id(array) not in own and not np.array_equal(array, old, equal_nan=True)
    ]
    sample = Sample(y, dy, dxs, run.values, gradients)
    _check_views(run, sample, dy_given)
    _check_again(run, sample, returned, changed)
    return sample


def _written_into_dy(run: Runner, returned: list[Array], dy_given: Array, dy: Array) -> list[Array]:
    """Return copies of a dx that lies in dy's memory; note it if dy was written to."""
    copies = [dx.copy() for dx in returned]
    if not np.array_equal(dy_given, dy):
        run.note(
            "backward writes dx into dy and returns it: right in a chain; if other code"
            " still reads dy (a sum, a branch), copy it first"
        )
        dy_given[...] = dy
    return copies


def check_halves(run: Runner, sample: Sample, rng: np.random.Generator) -> None:
    """Check that backward is backward_params and backward_input, with any weight."""
    params_half, input_half, takes_weight = run.halves()
    if params_half:
        run.forward(run.copies())
        run.layer.backward_params(sample.dy.copy())
        for value, gradient in zip(sample.values, sample.gradients, strict=True):
            if not same(run.gradient(value), gradient):
                raise run.error(
                    f"backward_params(dy) gives another {value.name} than backward(dy)",
                    value.name,
                )
    if not input_half:
        return
    text = "backward_input(dy) gives another {} than backward(dy)"
    _agree(run, run.send(sample.dy), sample.dxs, text)
    weight = next((p for p in sample.values if p.symbol == "params['W']"), None)
    if weight is None or not takes_weight:
        return
    own = weight.work.copy()
    text = "backward_input(dy, weight=W) gives another {} than backward_input(dy)"
    _agree(run, run.send(sample.dy, weight=own.copy()), sample.dxs, text)
    stand_in = rng.standard_normal(own.shape)
    claimed = [np.array(dx) for dx in run.send(sample.dy, weight=stand_in)]
    if not _is_affine(run, sample):
        # What forward kept depends on W too, so no other layer's dx is the one to expect.
        if all(same(dx, got) for dx, got in zip(sample.dxs, claimed, strict=True)):
            raise run.error("backward_input(dy, weight=B) gives what W itself does", "dx")
        return
    weight.set(stand_in)
    try:
        expected = run.send(sample.dy)
    finally:
        weight.set(own)
    text = "backward_input(dy, weight=B) gives another {} than a layer whose W is B"
    _agree(run, claimed, expected, text)


def _is_affine(run: Runner, sample: Sample) -> bool:
    """Whether y goes along a straight line when x does, so that dx depends on W and dy alone."""
    rng = np.random.default_rng(0)  # of its own, so that a check draws what it always drew
    moves = [rng.standard_normal(x.shape).astype(x.dtype) for x in run.inputs]
    with np.errstate(all="ignore"):
        above, below = (
            run.forward([x + sign * move for x, move in zip(run.inputs, moves, strict=True)]).copy()
            for sign in (1, -1)
        )
    run.forward(run.copies())
    return same((above + below) / 2, sample.y)


def check_tangent(run: Runner, sample: Sample, rng: np.random.Generator) -> None:
    """Check that a layer's `tangent`, if it has one, is backward's Jacobian from the other side.

    For all directions, <dy, J dx + J_W dW> = <dx of backward, dx> + <dW of backward, dW>. A layer
    that has it from a base class whose passes it replaced gets a note, no error.
    """
    layer = run.layer
    if not isinstance(layer, Layer) or run.left_alone:
        return
    run.forward(run.copies())
    dxs = [rng.standard_normal(x.shape).astype(x.dtype) for x in run.inputs]
    moves = {name: rng.standard_normal(w.shape) for name, w in layer.params.items()}
    try:
        moved_y = np.asarray(layer.tangent(tuple(dxs) if run.many else dxs[0], moves))
    except NotImplementedError:
        return
    if moved_y.shape != sample.y.shape:
        raise run.error(
            f"tangent(dx, dparams) gives shape {moved_y.shape}, expected y's, {sample.y.shape}",
            "tangent",
        )
    expected = sum(float(np.vdot(a, b)) for a, b in zip(sample.dxs, dxs, strict=True))
    run.forward(run.copies())
    layer.backward(sample.dy.copy())
    expected += sum(float(np.vdot(layer.grads[name], w)) for name, w in moves.items())
    got = float(np.vdot(sample.dy, moved_y))
    size = float(np.linalg.norm(sample.dy) * np.linalg.norm(moved_y)) + abs(expected)
    if abs(got - expected) > (1e-6 if moved_y.dtype == np.float64 else CLOSE) * size:
        if _depth(layer, TANGENT) > _depth(layer, PASSES):
            run.note(
                "tangent, which a base class defines, does not fit these passes: net.jvp would"
                " be wrong"
            )
            return
        raise run.error(
            f"tangent(dx, dparams) is not backward's Jacobian: <dy, tangent> is {got:.6g}, and"
            f" backward's gradients along the same direction give {expected:.6g}",
            "tangent",
        )


def _depth(layer: Layer, names: tuple[str, ...]) -> int:
    """Return which of a layer's classes, from its own upwards, is the first to define a name."""
    return next(k for k, kind in enumerate(type(layer).__mro__) if {*names} & {*vars(kind)})


def _unchanged(
    run: Runner,
    now: list[Array],
    before: list[Array],
    method: str,
    labels: list[str],
    hint: str = "",
) -> None:
    for array, old, label in zip(now, before, labels, strict=True):
        if not np.array_equal(array, old):
            index = first_index(array != old)
            raise run.error(
                f"{method} changed {label} in place (first at {list(index)}: "
                f"{old[index]:.8g} became {array[index]:.8g}){hint}",
                label,
            )


def _check_views(run: Runner, sample: Sample, dy_given: Array) -> None:
    """Write to dy, as the next layer may: stored gradients must not change."""
    dy_given += 1.0
    following = [
        value
        for value, gradient in zip(sample.values, sample.gradients, strict=True)
        if gradient.shape == value.work.shape
        and not np.array_equal(run.gradient(value), gradient, equal_nan=True)
    ]
    dy_given[...] = sample.dy
    for value in following:
        raise run.error(
            f"{value.name} is a view of dy: it changes when dy is written to afterwards; "
            "store a copy",
            value.name,
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
    twice = [run.gradient(value) for value in sample.values]
    may_add_up = run.clear()
    for value, old, gradient in zip(sample.values, sample.gradients, twice, strict=True):
        if same(gradient, old):
            continue
        added = same(gradient, 2 * old)
        if added and value.adds_up:
            run.note(f"{value.name} is added up: set it to 0 before each step")
        elif not (added and may_add_up):
            raise run.error(
                f"{value.name} differs when backward runs twice"
                + (
                    ": it is added up; overwrite it, or give the layer a zero_grad()"
                    if added
                    else ": backward changed what forward kept"
                ),
                value.name,
            )


def _agree(run: Runner, got: list[Array], expected: list[Array], text: str) -> None:
    for label, one, other in zip(run.labels, got, expected, strict=True):
        if not same(one, other):
            raise run.error(text.format(f"d{label}"), f"d{label}")
