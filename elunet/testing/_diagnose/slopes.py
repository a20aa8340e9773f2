"""Mistakes with the slope of an elementwise layer, and with softmax's Jacobian."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Evidence, Jacobian
from elunet.testing._diagnose.numbers import distinct, either, has_both_signs

Named = tuple[Array | None, str]


def slope(e: Evidence) -> str:
    """Compare with what a wrong slope gives, where the output has the value's shape."""
    if e.dy is None or e.y is None or e.y.shape != e.value.shape or e.y.size < 3:
        return ""
    jacobian = e.jacobian
    if jacobian is None or len(jacobian.chosen) < len(e.indices) or distinct(e.a) < 3:
        return ""
    diagonal = jacobian.rows.reshape(len(e.indices), -1)[np.arange(len(e.indices)), e.indices]
    elementwise = e.same(diagonal * e.pick(e.dy), e.numeric) and _is_diagonal(e, jacobian, diagonal)
    with np.errstate(all="ignore"):
        candidates = (
            _elementwise(e, diagonal, e.pick(e.dy), e.pick(e.y))
            if elementwise
            else _mixing(e, diagonal, e.pick(e.dy))
        )
        texts = [text for array, text in candidates if array is not None and e.is_analytic(array)]
    return either(list(dict.fromkeys(texts)))


def _is_diagonal(e: Evidence, jacobian: Jacobian, diagonal: Array) -> bool:
    off = jacobian.rows.reshape(len(e.indices), -1).copy()
    off[np.arange(len(e.indices)), e.indices] = 0.0
    return float(np.max(np.abs(off))) <= e.close * float(np.max(np.abs(diagonal)))


def _elementwise(e: Evidence, s: Array, dy: Array, y: Array) -> Iterator[Named]:
    d, x = e.dy_name, e.symbol
    value = e.pick(e.value)
    yield s, f"backward ignores {d}: {e.array} stays the same for any {d}"
    yield dy * s * s, "the slope enters twice"
    yield dy + s, f"{d} and the slope are added, they belong multiplied"
    yield dy * dy * s, f"{d} enters twice: a doubled {d} gives four times the gradient"
    yield dy * y, "the output y is used as the slope"
    yield dy * value, f"the input {x} is used as the slope"
    if has_both_signs(dy):
        yield np.maximum(dy, 0), f"negative entries of {d} are set to 0, as by a ReLU of {d}"
        yield dy * (dy > 0) * s, f"entries with negative {d} are set to 0"
    if np.all(s != 0):
        yield dy / s, "dy is divided by the slope, it belongs multiplied"
    yield from _of_dy(e, s, dy, y)
    yield from _matrices(e, s)
    if e.again is not None and e.y is not None and e.dy is not None:
        ones = np.ones_like(e.dy)
        at_output = e.again(e.y, ones)
        if at_output is not None:
            text = f"the slope is taken at the output y, it belongs at the input {x}"
            yield dy * at_output, text
            yield dy * s * at_output, "the slope is applied twice, the second time at the output y"
            yield at_output, f"{d} is missing, and {text}"
        at_dy = e.again(e.dy, ones)
        if at_dy is not None:
            text = f"the slope is taken at {d}, it belongs at the input {x}"
            yield dy * at_dy, text
            yield at_dy, f"{text}, and multiplied by {d}"


def _of_dy(e: Evidence, s: Array, dy: Array, y: Array) -> Iterator[Named]:
    """Functions of dy where the layer is a sigmoid or a tanh."""
    d = e.dy_name
    for f, slope_text, right in (
        ("sigmoid", "y (1 - y)", y * (1 - y)),
        ("tanh", "1 - y**2", 1 - y * y),
    ):
        if not e.same(s, right):
            continue
        at = _sigmoid if f == "sigmoid" else np.tanh
        hint = f"the {f}'s derivative is {d} times {slope_text}, y the output"
        yield at(dy), f"analytic is {f}({d}): {hint}"
        yield dy * at(dy), f"analytic is {d} x {f}({d}): {hint}"
        yield at(1 - at(dy)), f"analytic is {f}(1 - {f}({d})): {hint}"
        yield 1 - at(dy), f"analytic is 1 - {f}({d}): {hint}"


def _sigmoid(v: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-v)))


def _matrices(e: Evidence, s: Array) -> Iterator[Named]:
    """Multiply dy and the slopes as matrices."""
    if e.dy is None or e.dy.ndim != 2 or not e.is_whole:
        return
    slopes = np.empty(e.value.shape)
    slopes.reshape(-1)[e.indices] = s
    text = f"{e.dy_name} and the slopes are multiplied as matrices, they belong elementwise"
    for one, other in ((e.dy, slopes), (slopes, e.dy)):
        for a in (one, one.T):
            for b in (other, other.T):
                if a.shape[1] == b.shape[0] and (a.shape[0], b.shape[1]) == e.value.shape:
                    yield e.pick(a @ b), text


def _mixing(e: Evidence, diagonal: Array, dy: Array) -> Iterator[Named]:
    x, d = e.symbol, e.dy_name
    yield (
        dy * diagonal,
        f"only the diagonal of the Jacobian is used (of a softmax s (1 - s)): each output depends "
        f"on several entries of {x}, and the terms between them are missing",
    )
    yield diagonal, f"{d} is missing, and only the diagonal of the Jacobian is used"
    if e.again is not None and e.y is not None and e.dy is not None:
        for at, name in ((e.y, "the output y"), (e.dy, d)):
            text = f"the Jacobian is taken at {name}, it belongs at the input {x}"
            yield e.again(at, e.dy), text
    yield from _softmax(e)


def _softmax(e: Evidence) -> Iterator[Named]:
    """Softmax's Jacobian made of something else than the output."""
    if e.y is None or e.dy is None:
        return
    y, dy, x = e.y, e.dy, e.value
    for axis in range(y.ndim):
        right = y * (dy - np.sum(y * dy, axis=axis, keepdims=True))
        if not e.same(e.pick(right), e.numeric):
            continue
        last = (slice(None),) * axis + (slice(-1, None),)
        is_last = np.zeros_like(dy)
        is_last[last] = 1.0
        loop = "and only its last column counts: overwritten in the loop (= for +=)?"
        for s, name in ((x, f"the input {e.symbol}"), (dy, e.dy_name), (y, "")):
            text = f"softmax's Jacobian is made of {name}, it belongs to the output"
            if name:
                yield e.pick(s * (dy - np.sum(s * dy, axis=axis, keepdims=True))), text
            text = f"{text}; {loop}" if name else f"of softmax's Jacobian {loop[4:]}"
            for t in (y, s) if name else (y,):
                column = t * (is_last - s[last])
                yield e.pick(column * dy[last]), text
                yield e.pick(column * dy), text
        yield e.pick(y * dy), "the term of softmax's Jacobian that mixes the entries is missing"
        yield (
            e.pick(y * (dy + np.sum(y * dy, axis=axis, keepdims=True))),
            "the term of softmax's Jacobian that mixes the entries has its sign flipped",
        )
        yield (
            e.pick(-y * np.sum(y * dy, axis=axis, keepdims=True)),
            "the diagonal term of softmax's Jacobian is missing",
        )
        exp = y / np.max(y, axis=axis, keepdims=True)
        yield e.pick(exp * dy), "the derivative of the sum in softmax's denominator is missing"
