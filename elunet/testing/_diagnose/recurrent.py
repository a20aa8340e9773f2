"""A recurrent layer's gradient with the wrong step's state.

The layer is recognized from its numbers: h[t] = f(x[t] Wx + h[t-1] Wh + b), where y holds every
h[t] or the last one. Then the mistakes are computed and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Evidence

ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (np.tanh, lambda h: 1 - h * h),
    "sigmoid": (lambda a: np.asarray(1 / (1 + np.exp(-a))), lambda h: h * (1 - h)),
    "relu": (lambda a: np.maximum(a, 0), lambda h: np.asarray(h > 0, np.float64)),
}
SMALL = 20_000


@dataclass(frozen=True)
class Unrolled:
    """A recurrent layer over time, all arrays with time first: (T, N, ...)."""

    x: Array
    h: Array
    """(T + 1, N, H), h[0] is the initial state."""
    Wx: Array
    Wh: Array
    slope: Array
    """f' at each step, from h."""
    names: dict[str, str]


def recurrent(e: Evidence) -> str:
    """Compare with h[t] in place of h[t-1], and with a gradient that stops after a step."""
    if e.dy is None or e.y is None or e.dy.size < 2 or e.y.size > SMALL:
        return ""
    with np.errstate(all="ignore"):
        for layer, dh in _recognized(e):
            text = _named(e, layer, dh)
            if text:
                return text
    return ""


def _recognized(e: Evidence) -> Iterator[tuple[Unrolled, Array]]:
    """Yield layers that give the output, with dy for each step."""
    if e.y is None or e.dy is None:
        return
    arrays = {name: np.asarray(v, np.float64) for name, v in e.inputs.items()}
    squares = [n for n, v in arrays.items() if v.ndim == 2 and v.shape[0] == v.shape[1]]
    for x_name, time in product(arrays, (0, 1)):
        x = arrays[x_name]
        if x.ndim not in (2, 3) or (x.ndim == 2 and time == 1) or x_name in squares:
            continue
        steps = np.moveaxis(x, time, 0)
        steps = steps[:, None] if x.ndim == 2 else steps
        for Wh_name in squares:
            Wh = arrays[Wh_name]
            outputs = _outputs(e.y, e.dy, steps, len(Wh), time)
            if outputs is None:
                continue
            y, dh = outputs
            for Wx_name, W in arrays.items():
                if W.shape == (x.shape[-1], len(Wh)) and Wx_name != Wh_name:
                    names = {"x": x_name, "Wx": Wx_name, "Wh": Wh_name}
                    yield from _run(arrays, steps, y, dh, W, Wh, names)


def _outputs(
    y: Array, dy: Array, steps: Array, width: int, time: int
) -> tuple[Array, Array] | None:
    """Return the known states (NaN for those not given) and their gradients, time first."""
    T, N = steps.shape[:2]
    states, dh = np.full((T, N, width), np.nan), np.zeros((T, N, width))
    if y.shape[-1] != width:
        return None
    if y.ndim == 3 and y.size == states.size:
        return np.moveaxis(y, time, 0), np.moveaxis(dy, time, 0)
    if y.ndim == 2 and N == 1 and y.size == states.size:
        return y[:, None], dy[:, None]
    if y.size == N * width:
        states[-1], dh[-1] = y.reshape(N, width), dy.reshape(N, width)
        return states, dh
    return None


def _run(
    arrays: dict[str, Array],
    x: Array,
    y: Array,
    dh: Array,
    Wx: Array,
    Wh: Array,
    names: dict[str, str],
) -> Iterator[tuple[Unrolled, Array]]:
    width = len(Wh)
    T, N = x.shape[:2]
    biases = [v.reshape(-1) for v in arrays.values() if v.size == width and v.ndim < 3]
    starts = [v for v in arrays.values() if v.shape == (N, width)]
    for b, start in product([np.zeros(width), *biases], [np.zeros((N, width)), *starts]):
        for f, slope in ACTIVATIONS.values():
            h = np.zeros((T + 1, N, width))
            h[0] = start
            for t in range(T):
                h[t + 1] = f(x[t] @ Wx + h[t] @ Wh + b)
            known = np.isfinite(y)
            if np.allclose(h[1:][known], y[known], rtol=1e-9, atol=1e-12):
                yield Unrolled(x, h, Wx, Wh, slope(h[1:]), names), dh
                return


def _signals(layer: Unrolled, dh: Array, through_time: bool = True) -> Array:
    """Return the gradient at what goes into f, for each step."""
    T = len(layer.x)
    da, carried = np.zeros_like(dh), np.zeros_like(dh[0])
    for t in reversed(range(T)):
        da[t] = (dh[t] + carried) * layer.slope[t]
        carried = da[t] @ layer.Wh.T if through_time else np.zeros_like(carried)
    return da


def _product(a: Array, b: Array) -> Array:
    return np.asarray(np.einsum("tni,tnj->ij", a, b))


def _named(e: Evidence, layer: Unrolled, dh: Array) -> str:
    da, cut = _signals(layer, dh), _signals(layer, dh, through_time=False)
    h, x, names = layer.h, layer.x, layer.names
    if e.symbol == names["Wh"]:
        if not e.same(e.pick(_product(h[:-1], da)), e.numeric):
            return ""
        late = f"the gradient of {e.symbol} at step t takes h[t], it belongs to h[t-1]"
        shifted = _product(h[:-2], da[1:]) if len(da) > 1 else np.zeros_like(layer.Wh)
        early = _product(np.concatenate([h[:1], h[:-2]]), da)
        return _first(
            e,
            (_product(h[1:], da), f"off by one in time: {late}"),
            (_product(h[1:-1], da[:-1]), f"off by one in time: {late}"),
            (shifted, "off by one in time: the gradient takes h[t-2], it belongs to h[t-1]"),
            (early, "off by one in time: the gradient takes h[t-2], it belongs to h[t-1]"),
            (_product(h[:-1], cut), _through(e)),
            (_product(h[1:], cut), f"off by one in time: {late}; and {_through(e)}"),
        )
    if e.symbol == names["Wx"]:
        if not e.same(e.pick(_product(x, da)), e.numeric):
            return ""
        return _first(
            e,
            (_product(x[1:], da[:-1]), "off by one in time: x[t+1] is taken for x[t]"),
            (_product(x[:-1], da[1:]), "off by one in time: x[t-1] is taken for x[t]"),
            (_product(x, cut), _through(e)),
        )
    return ""


def _through(e: Evidence) -> str:
    return "the part that comes back through later steps' states is missing"


def _first(e: Evidence, *candidates: tuple[Array, str]) -> str:
    for array, text in candidates:
        if text and array.shape == e.value.shape and e.is_analytic(e.pick(array)):
            return text
    return ""
