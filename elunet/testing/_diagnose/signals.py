"""Another signal in dy's place: the gradient is right for a dy' that is made of dy and y.

With rows J of the Jacobian such a gradient is J dy', whatever the layer is. Most mistakes with an
activation's slope at the end of a layer are of this kind: where the slope y (1 - y) of a sigmoid is
missing, dy' is dy / (y (1 - y)). Each formula is exact, with no free number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, product

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Evidence
from elunet.testing._diagnose.numbers import distinct, either, generic, has_both_signs, numbers_of

Signal = tuple[Array, str]
Function = Callable[[Array], Array]


def signal(e: Evidence) -> str:
    """Analytic = J dy' for another dy'."""
    if e.dy is None or e.y is None or e.y.size < 2 or e.y.shape != e.dy.shape:
        return ""
    jacobian = e.jacobian
    if jacobian is None or len(jacobian.chosen) < 2 or distinct(e.a[jacobian.chosen]) < 2:
        return ""
    rows = jacobian.rows.reshape(len(jacobian.chosen), -1)
    texts = []
    with np.errstate(all="ignore"):
        for family in (_replaced, _slopes, _parts, _sums):
            for other, text in family(e, e.dy, e.y):
                candidate = rows @ np.broadcast_to(other, e.y.shape).reshape(-1)
                if e.is_analytic(candidate, jacobian.chosen) and (
                    family is not _parts or _tells(e, jacobian.chosen, rows)
                ):
                    texts.append(text)
    return either(list(dict.fromkeys(texts)))


def _tells(e: Evidence, chosen: Array, rows: Array) -> bool:
    """Whether a part of dy that is left out shows otherwise than as 0 at a few entries."""
    lost = (e.a[chosen] == 0) & e.wrong[chosen]
    if np.any(e.wrong[chosen] & ~lost):
        return True
    # Entries that change the same outputs are lost together: they count once.
    rows = np.abs(rows[lost]) > e.close * np.max(np.abs(rows), initial=0.0)
    return len(np.unique(rows, axis=0)) >= 8


def _replaced(e: Evidence, dy: Array, y: Array) -> Iterator[Signal]:
    """Another array for dy, or a function of it."""
    d = e.dy_name
    yield np.ones_like(dy), f"backward ignores {d}: {e.array} stays the same for any {d}"
    yield dy * dy, f"{d} enters twice: a doubled {d} gives four times the gradient"
    if has_both_signs(dy):
        yield np.abs(dy), f"the gradient is that for the absolute value of {d}"
        yield np.maximum(dy, 0), f"negative entries of {d} are set to 0, as by a ReLU of {d}"
        yield np.sign(dy), f"only the sign of {d} is used"
    if generic(y):
        yield y, f"the output y is used instead of {d}"
        yield dy * y, f"{d} is multiplied by the output y"
        yield dy / y, f"{d} is divided by the output y"
    for name, array in e.inputs.items():
        for other in broadcast(array, y.shape):
            if generic(array):
                if np.shape(array) == y.shape and not np.array_equal(array, y):
                    yield other, f"{name} is used instead of {d}"
                yield dy * other, f"{d} is multiplied by {name} once too often"
                if np.all(other):
                    yield dy / other, f"the factor {name} is missing"


def broadcast(array: Array, shape: tuple[int, ...]) -> Iterator[Array]:
    """Yield the array as it broadcasts to a shape; a vector along each axis of its length."""
    array = np.asarray(array, np.float64)
    if array.size < 2 or array.ndim > len(shape):
        return
    if array.ndim == 1:
        for axis, length in enumerate(shape):
            if length == array.size:
                yield array.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    elif all(a in (1, b) for a, b in zip(array.shape[::-1], shape[::-1], strict=False)):
        yield array


def _sigmoid(v: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-v)))


def _of_sigmoid(h: Array) -> Array:
    return np.asarray(h * (1 - h))


def _of_tanh(h: Array) -> Array:
    return np.asarray(1 - h * h)


def _slopes(e: Evidence, dy: Array, y: Array) -> Iterator[Signal]:
    """Slopes of a sigmoid or a tanh at the output, in all the ways to get them wrong."""
    d = e.dy_name
    if not generic(y):
        return
    kinds: list[tuple[str, str, Array, Function, Function]] = []
    if np.all((y > 0) & (y < 1)):
        kinds.append(("sigmoid", "y (1 - y)", y * (1 - y), _sigmoid, _of_sigmoid))
    if np.all(np.abs(y) < 1):
        kinds.append(("tanh", "1 - y**2", 1 - y * y, np.tanh, _of_tanh))
    for kind, text, slope, function, of_output in kinds:
        yield dy / slope, f"the slope {text} of the {kind} at the output is missing"
        yield dy * slope, f"the slope {text} of the {kind} at the output enters twice"
        at_output = of_output(function(y))
        yield (
            dy * at_output / slope,
            f"the {kind}'s slope is taken at the output y, where it belongs at the {kind}'s input "
            f"(from the output it is {text})",
        )
        yield dy * y / slope, f"the output y is used as the {kind}'s slope, which is {text}"
        yield dy * (1 - y) / slope, f"1 - y is used as the {kind}'s slope, which is {text}"
        for h, name in ((dy, d), (function(dy), f"{kind}({d})"), (e.value, e.symbol)):
            if np.shape(h) != y.shape:
                continue
            wrong = f"made of {name} in place of the output y: the slope is {text}"
            yield dy * of_output(h) / slope, f"the {kind}'s slope is {wrong}"
            yield of_output(h) / slope, f"{d} is missing, and the {kind}'s slope is {wrong}"
        yield y / slope, f"{d} is missing, and the output y stands for the slope {text}"
    if len(kinds) == 2:
        (_, _, s, *_), (_, _, t, *_) = kinds
        yield dy * t / s, "a sigmoid's slope is y (1 - y), here it is 1 - y**2, a tanh's"
        yield dy * s / t, "a tanh's slope is 1 - y**2, here it is y (1 - y), a sigmoid's"


def _parts(e: Evidence, dy: Array, y: Array) -> Iterator[Signal]:
    """Only a part of dy: the first or last index of some axes, or all but one."""
    long = [axis for axis in range(y.ndim) if y.shape[axis] > 1]
    for count in range(1, min(len(long), 4) + 1):
        for axes in combinations(long, count):
            for place, name in ((0, "first"), (-1, "last")):
                index: list[slice | int] = [slice(None)] * y.ndim
                for axis in axes:
                    index[axis] = place
                mask = np.zeros_like(dy)
                mask[tuple(index)] = 1.0
                of = f"{name} index of {numbers_of(axes)} of {e.dy_name}"
                hint = (
                    "overwritten in a loop (= for +=)?"
                    if name == "last"
                    else "does the loop return, or stop, too early?"
                )
                yield dy * mask, f"only the {of} counts: {hint}"
                if count == 1 and y.shape[axes[0]] > 2:
                    yield dy * (1 - mask), f"the {of} does not count: one step of a loop is lost"


def _sums(e: Evidence, dy: Array, y: Array) -> Iterator[Signal]:
    """Dy averaged, reversed, shifted or transposed before it is used."""
    d = e.dy_name
    long = [axis for axis in range(y.ndim) if y.shape[axis] > 1]
    for axis in long:
        yield np.flip(dy, axis), f"{d} is used in reversed order along axis {axis}"
        for step, word in ((1, "before"), (-1, "after")):
            shifted = np.roll(dy, step, axis)
            edge: list[slice | int] = [slice(None)] * dy.ndim
            edge[axis] = 0 if step == 1 else -1
            shifted[tuple(edge)] = 0.0
            yield shifted, f"off by one along axis {axis}: {d} of the index {word} is used"
    for count in range(1, len(long) + 1):
        for axes in combinations(long, count):
            over = numbers_of(axes)
            yield (
                dy.mean(axis=axes, keepdims=True),
                f"{d} is averaged over {over} before it is used",
            )
            yield dy.sum(axis=axes, keepdims=True), f"{d} is summed over {over} before it is used"
    for i, j in product(long, long):
        if i < j and y.shape[i] == y.shape[j]:
            yield np.swapaxes(dy, i, j), f"axes {i} and {j} of {d} are swapped before it is used"
