"""Anything may be passed: each call gives a right result or a documented error, and nothing else.

    ELUNET_FUZZ=10000 python -m pytest tests/test_fuzz.py

draws that many examples for each test. A crash, a hang, a warning (they are errors here), another
kind of exception, a changed input, or a result other than the plain formula's is a finding.
"""

from __future__ import annotations

# ruff: noqa: PT017 (an error is one of two good outcomes here)
import copy
import json
import math
import os
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cifar_files import archive_bytes, batch_pickle, entry
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from small_runs import Stop, blobs, build, everything

import elunet as eln
from elunet import layers as L
from elunet import losses
from elunet.data import cifar10, load_cifar10
from elunet.storage.archive import decode, encode
from elunet.storage.weights import network_arrays
from elunet.testing import check_layer, strategies

EXAMPLES = int(os.environ.get("ELUNET_FUZZ", 0))


def fuzz(few: int) -> Any:
    """Run a test on as many examples as wanted, `few` by default."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=EXAMPLES or few, suppress_health_check=slow, deadline=None)


# What may come -------------------------------------------------------------------------------

HUGE = 2**62  # no memory is large enough: NumPy's own MemoryError or ValueError
SIZES = st.one_of(
    st.integers(1, 4),
    st.integers(1, 4).map(np.int8),
    st.sampled_from(
        [0, -1, 7, HUGE, -(2**70), 1.0, 2.5, math.nan, math.inf, True, None, "2", "", b"2"]
    ),
    st.sampled_from([[2], (2,), (2, 3), (1, 0), (2, 2, 2), {2}, {}, 2j, np.array(2), np.ones(2)]),
)
NUMBERS = st.one_of(
    st.floats(0, 1),
    st.floats(),
    st.integers(-3, 3),
    st.sampled_from([True, None, "0.5", (0.5,), np.float32(0.5), np.array(0.5), 1j, HUGE]),
)
PADDINGS = st.one_of(
    st.sampled_from(["same", "valid", "SAME", "full", 0, 1, (0, 1), (2, 1), (1,), None]), SIZES
)
ANY_SEED = st.sampled_from([0, 1, None, -1, 1.5, "a", True, np.random.SeedSequence(3)])


def good_or_any(good: st.SearchStrategy[Any], anything: st.SearchStrategy[Any]) -> Any:
    """Draw what will do most of the time, so that layers get built."""
    return st.integers(0, 15).flatmap(lambda i: anything if i == 0 else good)


SIZE = good_or_any(st.integers(1, 4), SIZES)
SMALL = good_or_any(st.integers(1, 3), SIZES)
PADDING = good_or_any(st.sampled_from(["same", "valid", 0, 1, (0, 1), (2, 1)]), PADDINGS)
SEED = good_or_any(st.integers(0, 9), ANY_SEED)
RATE = good_or_any(st.floats(0, 0.99), NUMBERS)
POSITIVE = good_or_any(st.floats(0.001, 10), NUMBERS)
BOOL = st.booleans()
EPS = good_or_any(st.floats(1e-6, 1), NUMBERS)

ARGUMENTS: dict[type[L.Layer], dict[str, Any]] = {
    L.Conv2D: {
        "in_channels": SMALL,
        "out_channels": SMALL,
        "kernel_size": good_or_any(st.integers(1, 3) | st.tuples(st.integers(1, 3), SMALL), SIZES),
        "stride": SMALL,
        "padding": PADDING,
        "bias": BOOL,
        "seed": SEED,
        "algorithm": st.sampled_from(["auto", "auto", "im2col", "winograd"]),
        "groups": good_or_any(st.sampled_from([1, 1, 1, 2]), SIZES),
        "dilation": good_or_any(st.sampled_from([1, 1, 2, (1, 2)]), SIZES),
        "padding_mode": st.sampled_from(["zeros", "zeros", "reflect", "replicate", "wrap"]),
    },
    L.LocallyConnected2D: {
        "image_size": good_or_any(st.integers(1, 4) | st.tuples(st.integers(1, 4), SMALL), SIZES),
        "in_channels": SMALL,
        "out_channels": SMALL,
        "kernel_size": SMALL,
        "stride": SMALL,
        "padding": PADDING,
        "bias": BOOL,
        "seed": SEED,
    },
    L.Linear: {"in_features": SIZE, "out_features": SIZE, "bias": BOOL, "seed": SEED},
    L.ELU: {"alpha": POSITIVE, "slope_from": st.sampled_from(["y", "y", "x", "z"])},
    L.ReLU: {},
    L.LeakyReLU: {"slope": good_or_any(st.floats(-2, 2), NUMBERS)},
    L.ShiftedReLU: {},
    L.Tanh: {},
    L.Sigmoid: {},
    L.Softplus: {},
    L.SiLU: {},
    L.GELU: {"tanh": BOOL},
    L.SELU: {},
    L.CELU: {"alpha": good_or_any(st.floats(0.1, 10), NUMBERS)},
    L.ClippedReLU: {"limit": good_or_any(st.floats(0.1, 10), NUMBERS)},
    L.HardTanh: {
        "low": good_or_any(st.floats(-2, 0), NUMBERS),
        "high": good_or_any(st.floats(0.1, 2), NUMBERS),
    },
    L.LogSoftmax: {},
    L.Softmax: {},
    L.MaxPool2D: {
        "size": SMALL,
        "stride": st.none() | SMALL,
        "padding": good_or_any(st.sampled_from([0, 0, 1, "same", (0, 1)]), PADDINGS),
        "ceil_mode": BOOL,
    },
    L.MeanPool2D: {
        "size": SMALL,
        "stride": st.none() | SMALL,
        "padding": good_or_any(st.sampled_from([0, 0, 1, "same", (0, 1)]), PADDINGS),
        "ceil_mode": BOOL,
        "count_include_pad": BOOL,
    },
    L.GlobalMeanPool2D: {},
    L.GlobalMaxPool2D: {},
    L.AdaptiveMeanPool2D: {"size": SMALL},
    L.Dropout: {"rate": RATE, "seed": SEED},
    L.BatchNorm: {
        "channels": SIZE,
        "momentum": good_or_any(st.floats(0.01, 1), NUMBERS),
        "eps": EPS,
        "affine": BOOL,
    },
    L.LayerNorm: {"channels": SIZE, "affine": BOOL, "eps": EPS},
    L.GroupNorm: {"groups": SMALL, "channels": SIZE, "affine": BOOL, "eps": EPS},
    L.InstanceNorm: {"channels": SIZE, "affine": BOOL, "eps": EPS},
    L.PReLU: {"channels": SIZE, "alpha": good_or_any(st.floats(-2, 2), NUMBERS)},
    L.AlphaDropout: {"rate": RATE, "seed": SEED},
    L.Pad: {
        "padding": good_or_any(
            st.sampled_from([0, 1, (0, 1), (2, 1), ((0, 1), (2, 0)), ((3, 1), (1, 1))]), PADDINGS
        ),
        "mode": good_or_any(
            st.sampled_from(["zeros", "reflect", "replicate"]), st.sampled_from(["edge", None, 1])
        ),
    },
    L.Flatten: {},
    L.Add: {},
    L.Multiply: {},
    L.Concat: {"axis": good_or_any(st.sampled_from([-1, -2, 1, 2]), SIZES)},
}

SPATIAL = (
    L.Conv2D,
    L.LocallyConnected2D,
    L.MaxPool2D,
    L.MeanPool2D,
    L.AdaptiveMeanPool2D,
    L.GlobalMeanPool2D,
    L.GlobalMaxPool2D,
    L.Pad,
)
MEETING = (L.Add, L.Multiply, L.Concat)
GROUPED = L.LayerNorm | L.GroupNorm | L.InstanceNorm
ODD_DTYPES = ["f2", "g", "i1", "i8", "u1", "?", "c8", "c16", "O", "U3", "S2", "M8[s]", ">f4", ">f8"]
FILLS = ("small", "small", "ties", "nan", "infinite", "huge", "tiny", "zero")


@st.composite
def arrays(draw: st.DrawFn, dims: int | None = None, last: Any = None) -> np.ndarray:
    """Draw an array of any kind, mostly one with these dimensions and this last side."""
    count = draw(st.integers(0, 5)) if dims is None or draw(st.integers(0, 9)) == 0 else dims
    shape = [draw(st.integers(0, 6)) if draw(st.integers(0, 5)) else 1 for _ in range(count)]
    if shape and type(last) is int and 0 <= last < 9 and draw(st.integers(0, 9)):
        shape[-1] = last
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    fill = draw(st.sampled_from(FILLS))
    dtype = np.dtype(draw(st.sampled_from(["f4", "f8"])))
    x = filled(rng, fill, tuple(shape), dtype)
    if draw(st.integers(0, 11)) == 0:
        with np.errstate(all="ignore"):
            x = np.asarray(np.nan_to_num(x)).astype(draw(st.sampled_from(ODD_DTYPES)))
    return laid_out(x, draw(st.sampled_from(LAYOUTS)))


def filled(
    rng: np.random.Generator, fill: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray:
    """Return values of a kind."""
    x = rng.normal(size=shape).astype(dtype)
    limits = np.finfo(dtype)
    some = np.asarray(rng.random(shape) < 0.3)
    match fill:
        case "ties":
            x = np.sign(x)
        case "nan":
            x = np.where(some, dtype.type(np.nan), x)
        case "infinite":
            x = np.where(some, np.copysign(dtype.type(np.inf), x), x)
        case "huge":
            x = np.where(some, np.copysign(limits.max, x), x)
        case "tiny":
            x = np.copysign(limits.smallest_subnormal, x)
        case "zero":
            x = np.copysign(dtype.type(0), x)
    return np.asarray(x, dtype)


def strided(x: np.ndarray) -> np.ndarray:
    """Return every other element of a larger array."""
    big = np.empty(tuple(2 * side for side in x.shape), x.dtype)
    view = big[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def frozen(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def backwards(x: np.ndarray) -> np.ndarray:
    turn = tuple(slice(None, None, -1) for _ in x.shape)
    return np.ascontiguousarray(x[turn])[turn].reshape(x.shape)


LAYOUTS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda x: x,
    np.asfortranarray,
    strided,
    frozen,
    backwards,
    lambda x: np.broadcast_to(x[:1], x.shape) if x.ndim and len(x) else x,
]


def laid_out(x: np.ndarray, layout: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return layout(x) if x.ndim else x


NO_ARRAYS = [None, 3, 2.5, "x", b"x", [[1.0, 2.0]], (1.0,), {}, object(), np.float32(1), ()]


@st.composite
def layer_and_input(draw: st.DrawFn) -> tuple[type[L.Layer], dict[str, Any], Any]:
    """Draw a kind of layer, arguments for it, and something to put in."""
    kind = draw(st.sampled_from([*ARGUMENTS, *3 * SPATIAL, L.Conv2D, L.BatchNorm]))
    arguments = {name: draw(one) for name, one in ARGUMENTS[kind].items()}
    dims = 4 if kind in SPATIAL else 2 if kind is L.Linear else None
    last = next(
        (
            arguments[name]
            for name in ("in_channels", "in_features", "channels")
            if name in arguments
        ),
        None,
    )
    if kind in MEETING:
        first = draw(arrays())
        alike = [first, first[..., :1]] if first.ndim > 1 else [first]
        alike += [first[:, 0, 0]] if first.ndim == 4 and first.shape[1] * first.shape[2] else []
        others = draw(st.lists(st.sampled_from(alike) | arrays(), max_size=2))
        return kind, arguments, draw(st.sampled_from([(first, *others), (first,), first, [first]]))
    x = draw(arrays(dims, last)) if draw(st.integers(0, 15)) else draw(st.sampled_from(NO_ARRAYS))
    return kind, arguments, x


# What should come out ------------------------------------------------------------------------


def expected(layer: L.Layer, x: Any, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a layer's output by the plain formula, in float64, and how large its terms are."""
    if isinstance(x, tuple):
        wide = [one.astype(np.float64) for one in x]
        if isinstance(layer, L.Concat):
            y = np.concatenate(wide, axis=layer.axis)
            return y, np.abs(y)
        axes = max(one.ndim for one in wide)
        wide = [
            np.expand_dims(one, tuple(range(1, axes - 1))) if one.ndim == 2 else one for one in wide
        ]
        sizes = [np.abs(one) for one in wide]
        if isinstance(layer, L.Multiply):  # in the order in which overflow may come
            return math.prod(wide[1:], start=wide[0]), math.prod(
                [np.maximum(size, 1) for size in sizes]
            )
        return sum(wide[1:], wide[0]), sum(sizes[1:], sizes[0])
    x = x.astype(np.float64)
    size = np.abs(x)
    params = {name: value.astype(np.float64) for name, value in layer.params.items()}
    match layer:
        case L.Conv2D():
            y, bound = convolved(layer, x, params["W"]), convolved(layer, size, abs(params["W"]))
            return y + params.get("b", 0), bound
        case L.Linear():
            return x @ params["W"] + params.get("b", 0), size @ np.abs(params["W"])
        case L.ELU():
            y = np.where(x > 0, x, layer.alpha * np.expm1(np.minimum(x, 0)))
            return y, np.maximum(size, layer.alpha)
        case L.ReLU():
            return np.maximum(x, 0), size
        case L.LeakyReLU():
            return np.where(x > 0, x, layer.slope * x), size * max(1, abs(layer.slope))
        case L.ShiftedReLU():
            return np.maximum(x, -1), size
        case L.Tanh():
            return np.tanh(x), np.ones(x.shape)
        case L.Sigmoid():
            return np.exp(-np.logaddexp(0, -x)), np.ones(x.shape)
        case L.Softplus():
            return np.logaddexp(0, x), size + 1
        case L.SiLU():
            return x * np.exp(-np.logaddexp(0, -x)), size
        case L.GELU():
            inner = math.sqrt(2 / math.pi) * x * (1 + 0.044715 * x * x)
            exact = np.array([math.erfc(-v / math.sqrt(2)) for v in x.reshape(-1)])
            return x * ((1 + np.tanh(inner)) if layer.tanh else exact.reshape(x.shape)) / 2, size
        case L.SELU():
            y = np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))
            return 1.0507009873554805 * y, np.maximum(size, 2) * 2
        case L.CELU():
            y = np.where(x > 0, x, layer.alpha * np.expm1(np.minimum(x, 0) / layer.alpha))
            return y, np.maximum(size, layer.alpha)
        case L.ClippedReLU():
            return np.clip(x, 0, layer.limit), size
        case L.HardTanh():
            return np.clip(x, layer.low, layer.high), size + abs(layer.low) + abs(layer.high)
        case L.LogSoftmax():
            top = x - x.max(axis=-1, keepdims=True)
            return top - np.log(np.exp(top).sum(axis=-1, keepdims=True)), size + 1 + np.abs(top)
        case L.Softmax():
            z = np.exp(x - x.max(axis=-1, keepdims=True))
            return z / z.sum(axis=-1, keepdims=True), np.ones(x.shape)
        case L.LocallyConnected2D():
            W = params["W"]
            y, bound = unshared(layer, x, W), unshared(layer, size, np.abs(W))
            return y + params.get("b", np.zeros(W.shape[-1])).reshape(y.shape[1:]), bound
        case L.MaxPool2D():
            return pooled(layer, x, np.max), pooled(layer, size, np.max)
        case L.MeanPool2D():
            counted = layer.count_include_pad
            return pooled(layer, x, np.mean, counted), pooled(layer, size, np.sum)
        case L.AdaptiveMeanPool2D():
            return spread_over(layer, x, np.mean), spread_over(layer, size, np.sum)
        case L.GlobalMaxPool2D():
            return x.max(axis=(1, 2)), size.max(axis=(1, 2))
        case L.GlobalMeanPool2D():
            return x.mean(axis=(1, 2)), size.sum(axis=(1, 2))
        case L.BatchNorm():
            axes = tuple(range(x.ndim - 1))
            mean, var = layer.state["running_mean"], layer.state["running_var"]
            if train:
                mean, var = x.mean(axis=axes), x.var(axis=axes)
            y = (x - mean) / np.sqrt(var + layer.eps)
            bound = (size + np.abs(mean)) / np.sqrt(var + layer.eps)
            return params.get("gamma", 1.0) * y + params.get("beta", 0.0), bound + 1
        case L.LayerNorm() | L.GroupNorm() | L.InstanceNorm() if x.size:
            groups = {L.LayerNorm: 1, L.InstanceNorm: layer.channels}.get(type(layer))
            split = (*x.shape[:-1], groups or layer.groups, -1)
            parts = x.reshape(split)
            axes = () if isinstance(layer, L.LayerNorm) else tuple(range(1, x.ndim - 1))
            axes = (*axes, parts.ndim - 1)
            mean, var = parts.mean(axis=axes, keepdims=True), parts.var(axis=axes, keepdims=True)
            y = ((parts - mean) / np.sqrt(var + layer.eps)).reshape(x.shape)
            bound = np.abs(parts).max(axis=axes, keepdims=True, initial=0) / np.sqrt(
                var + layer.eps
            )
            bound = np.broadcast_to(bound, parts.shape).reshape(x.shape)
            gamma, beta = params.get("gamma", 1.0), params.get("beta", 0.0)
            return gamma * y + beta, bound + 1
        case L.PReLU():
            slopes = params["alpha"]
            return np.where(x > 0, x, slopes * x), size * np.maximum(1, np.abs(slopes))
        case L.Pad():
            mode = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}[layer.mode]
            around = ((0, 0), *layer.padding, (0, 0))
            return np.pad(x, around, mode), np.pad(size, around, mode)
        case L.Flatten():
            flat = len(x), math.prod(x.shape[1:])
            return x.reshape(flat), size.reshape(flat)
    return x, size


def around(layer: Any, shape: tuple[int, ...], kernel: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the padding before and after, in height and in width."""
    found, strides = [], pair(layer.stride)
    for axis in (0, 1):
        size = shape[1 + axis]
        needed = (math.ceil(size / strides[axis]) - 1) * strides[axis] + kernel[axis] - size
        needed = max(needed, 0)
        match layer.padding:
            case "same":
                found.append((needed // 2, needed - needed // 2))
            case "valid":
                found.append((0, 0))
            case sides:
                found.append(pair(pair(sides)[axis]))
    return found


def pair(value: Any) -> Any:
    return value if isinstance(value, tuple) else (value, value)


def convolved(layer: L.Conv2D, x: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return every window's product with the kernel."""
    high, wide = layer.dilations
    reach = (W.shape[0] - 1) * high + 1, (W.shape[1] - 1) * wide + 1
    mode = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}[layer.padding_mode]
    padded = np.pad(x, [(0, 0), *around(layer, x.shape, reach), (0, 0)], mode)
    down, right = layer.strides
    seen = sliding_window_view(padded, reach, axis=(1, 2))[:, ::down, ::right, :, ::high, ::wide]
    parts, units = layer.groups, W.shape[-1] // layer.groups
    seen = seen.reshape(*seen.shape[:3], parts, seen.shape[3] // parts, *seen.shape[4:])
    y = np.einsum("nhwgcij,ijcgo->nhwgo", seen, W.reshape(*W.shape[:3], parts, units))
    return y.reshape(*y.shape[:3], W.shape[-1])


def unshared(layer: L.LocallyConnected2D, x: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return every window's product with the kernel of its place."""
    padded = np.pad(x, [(0, 0), *around(layer, x.shape, layer.kernel_size), (0, 0)])
    down, right = pair(layer.stride)
    seen = sliding_window_view(padded, layer.kernel_size, axis=(1, 2))[:, ::down, ::right]
    W = W.reshape(*W.shape[:3], *seen.shape[1:3], -1)
    return np.einsum("nhwcij,ijchwo->nhwo", seen, W)


def pooled(layer: Any, x: np.ndarray, of: Any, counted: bool = False) -> np.ndarray:
    """Return a function of each window, one after the other, as PyTorch lays them."""
    sizes, strides, sides = (
        pair(layer.size),
        pair(layer.stride),
        around(layer, x.shape, pair(layer.size)),
    )
    spans = []
    for axis in (0, 1):
        n, size, stride, (before, after) = (
            x.shape[1 + axis],
            sizes[axis],
            strides[axis],
            sides[axis],
        )
        room = n + before + after - size
        last = -(-room // stride) if layer.ceil_mode else room // stride
        if layer.ceil_mode and last * stride >= n + before:
            last -= 1
        starts = [i * stride - before for i in range(last + 1)]
        spans.append([(start, min(start + size, n + after), n) for start in starts])
    y = np.empty((len(x), len(spans[0]), len(spans[1]), x.shape[3]))
    for i, (top, bottom, height) in enumerate(spans[0]):
        for j, (left, right, width) in enumerate(spans[1]):
            window = x[:, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
            y[:, i, j] = of(window, axis=(1, 2))
            if counted:
                y[:, i, j] = window.sum(axis=(1, 2)) / ((bottom - top) * (right - left))
    return y


def spread_over(layer: L.AdaptiveMeanPool2D, x: np.ndarray, of: Any) -> np.ndarray:
    """Return a function of windows that cover the image."""
    (high, wide), (height, width) = pair(layer.size), x.shape[1:3]
    y = np.empty((len(x), high, wide, x.shape[3]))
    for i, j in np.ndindex(high, wide):
        rows = slice(math.floor(i * height / high), math.ceil((i + 1) * height / high))
        columns = slice(math.floor(j * width / wide), math.ceil((j + 1) * width / wide))
        y[:, i, j] = of(x[:, rows, columns], axis=(1, 2))
    return y


def check_values(layer: L.Layer, x: Any, y: np.ndarray, train: bool) -> None:
    """Compare with the formula, wherever no intermediate sum can overflow."""
    first = x[0] if isinstance(x, tuple) else x
    assert y.dtype == first.dtype
    with np.errstate(all="ignore"):
        wanted, bound = expected(layer, x, train)
        assert y.shape == wanted.shape
        limits = np.finfo(first.dtype)
        sure = ~(bound > limits.max / 64)
        constant = getattr(layer, "alpha", getattr(layer, "slope", 0.0))
        sure &= abs(constant) < limits.max / 64  # x's dtype has to hold it
        if isinstance(layer, GROUPED) or (
            isinstance(layer, L.BatchNorm) and train
        ):  # the squares must not overflow either
            sure &= not (np.abs(first) > 1e15).any()
        if isinstance(layer, L.Conv2D) and layer.algorithm == "winograd":
            # Its sums mix a whole tile: a NaN spreads over it, and so does the rounding error.
            sure &= bool(np.isfinite(bound).all()) and bool(sure.all())
            bound = np.full(bound.shape, 64 * np.max(bound, initial=0))
        if isinstance(layer, L.AlphaDropout) and train and layer._dropped():
            share, scale = layer._dropped() / 65536, 1.7580993408473766
            factor = 1 / math.sqrt((1 - share) * (1 + share * scale**2))
            low = (-scale + scale * share) * factor
            dropped = np.abs(y - low) <= 1e-5 * abs(low)
            wanted = np.where(dropped, y, (wanted + scale * share) * factor)
            bound = (bound + 2) * factor
            sure = np.isfinite(wanted) & (np.abs(wanted) < limits.max / 64)
        elif isinstance(layer, L.Dropout) and train:
            kept = y != 0
            dropped = min(round(layer.rate * 65536), 65535)
            wanted = np.where(kept | np.isnan(wanted), wanted * 65536 / (65536 - dropped), 0)
            sure = np.isfinite(wanted) & (np.abs(wanted) < limits.max / 64)
        tolerance = 64 * limits.eps * np.where(np.isfinite(bound), bound, 1) + 1e-37
        if isinstance(layer, L.ELU | L.Softmax | L.Tanh):
            tolerance = (
                1e-6 * np.maximum(np.abs(wanted), 1e-30) if first.dtype == "f4" else tolerance
            )
        same = (y == wanted) | (np.isnan(y) & np.isnan(wanted)) | (np.abs(y - wanted) <= tolerance)
    assert same[sure].all(), f"{layer!r}: {y[sure & ~same]} is not {wanted[sure & ~same]}"


def complains_well(error: Exception, kind: type) -> None:
    """Check that a message names the layer, what was expected and what came."""
    text = str(error)
    assert kind.__name__ in text, text
    assert "expected" in text, text
    assert "got" in text, text


def has_huge(arguments: dict[str, Any]) -> bool:
    return any(
        isinstance(size, int) and size >= HUGE
        for value in arguments.values()
        for size in (value if isinstance(value, tuple) else (value,))
    )


# Layers --------------------------------------------------------------------------------------


@fuzz(300)
@given(layer_and_input(), st.booleans(), st.data())
def test_layers(drawn, train, data):
    kind, arguments, x = drawn
    try:
        layer = kind(**arguments)
    except (TypeError, ValueError, MemoryError) as error:
        if not has_huge(arguments):
            complains_well(error, kind)
        return
    given_before = snapshot(x)
    params = {name: value.copy() for name, value in layer.params.items()}
    twin = copy.deepcopy(layer)
    try:
        y = layer.forward(x, train)
    except (TypeError, ValueError, MemoryError) as error:
        if not has_huge(arguments):
            complains_well(error, kind)
        assert snapshot(x) == given_before
        with pytest.raises(RuntimeError, match="before the backward pass, got none"):
            layer.backward_input(np.zeros((1, 1), np.float32))
        return
    assert snapshot(x) == given_before
    event(f"{kind.__name__} ran")
    state = copy.deepcopy(twin.state)
    before = copy.deepcopy(layer)
    before.state = state
    check_values(before, x, y, train)

    clean = tuple(map(fresh, x)) if isinstance(x, tuple) else fresh(x)
    assert twin.forward(clean, train).tobytes() == y.tobytes()  # whatever the memory layout
    rng = np.random.default_rng(0)
    dy = laid_out(
        filled(rng, data.draw(st.sampled_from(FILLS)), y.shape, y.dtype),
        data.draw(st.sampled_from(LAYOUTS)),
    )
    dy_before, y_before = snapshot(dy), snapshot(y)
    dx, dx_twin = layer.backward(dy), twin.backward(fresh(dy))
    assert (snapshot(x), snapshot(dy), snapshot(y)) == (given_before, dy_before, y_before)
    for got, again, source in zip(
        *(one if isinstance(one, tuple) else (one,) for one in (dx, dx_twin, x)), strict=True
    ):
        assert (got.shape, got.dtype) == (source.shape, source.dtype)
        assert got.tobytes() == again.tobytes()
    for name, value in layer.params.items():
        assert value.tobytes() == params[name].tobytes()
        assert layer.grads[name].tobytes() == twin.grads[name].tobytes()

    wrong = data.draw(arrays() | st.sampled_from(NO_ARRAYS))
    if getattr(wrong, "shape", None) == y.shape and wrong.dtype in (np.float32, np.float64):
        return
    with pytest.raises((TypeError, ValueError)) as caught:
        layer.backward(wrong)
    complains_well(caught.value, kind)


def snapshot(x: Any) -> Any:
    """Return what an input is, to see later whether it still is."""
    if isinstance(x, tuple | list):
        return [snapshot(one) for one in x]
    if isinstance(x, np.ndarray):
        return x.shape, x.strides, x.dtype, [*x.flat] if x.dtype == object else x.tobytes()
    return repr(x)


def fresh(x: np.ndarray) -> np.ndarray:
    return np.array(x, order="C")


@fuzz(40)
@given(strategies.layers())
def test_gradients(pair):
    check_layer(*pair)


LOSSES = [
    losses.SoftmaxCrossEntropy(),
    losses.CrossEntropy(),
    losses.MeanSquaredError(),
    losses.MeanAbsoluteError(),
    losses.Huber(0.5),
    losses.BinaryCrossEntropy(),
    losses.Hinge(),
    losses.KullbackLeibler(),
    losses.SoftmaxCrossEntropy(0.1, ignore=-1),
]


@fuzz(200)
@given(st.sampled_from(LOSSES), arrays(2), arrays(1) | arrays(2), st.data())
def test_losses(loss, prediction, target, data):
    if prediction.ndim == 2 and data.draw(st.integers(0, 3)):
        n, classes = prediction.shape
        labels = data.draw(st.lists(st.integers(-1, classes), min_size=n, max_size=n))
        target = np.array(labels, int)
    before = snapshot(prediction), snapshot(target)
    try:
        value, dy = loss(prediction, target)
    except (TypeError, ValueError) as error:
        complains_well(error, type(loss))
    else:
        assert (dy.shape, dy.dtype) == (prediction.shape, prediction.dtype)
        assert type(value) is float
        if largest(prediction) < 1e18 and largest(target) < 1e18:
            assert math.isfinite(value)
            assert np.isfinite(dy).all()
    assert (snapshot(prediction), snapshot(target)) == before


def largest(x: np.ndarray) -> float:
    """Return the largest size of a number; infinity if one is NaN."""
    return float(np.max(np.where(np.isnan(x), np.inf, np.abs(x)), initial=0))


# Networks ------------------------------------------------------------------------------------


@fuzz(60)
@given(arrays(4, 2) | st.sampled_from(NO_ARRAYS), arrays(1), st.booleans())
def test_a_network(x, labels, train):
    """Any input to a whole network: a result, or an error that says what was expected."""
    net = copy.deepcopy(NETWORKS[0])
    before = snapshot(x)
    try:
        y = net.forward(x, train)
        if train:
            _, dy = losses.SoftmaxCrossEntropy()(y, labels)
            net.backward(dy)
    except (TypeError, ValueError) as error:
        assert "expected" in str(error)
        assert "got" in str(error)
    else:
        assert y.shape == (len(x), 3)
    assert snapshot(x) == before


NETWORKS = [build().net]


# Checkpoints ---------------------------------------------------------------------------------


@st.composite
def damage(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw a damaged form of a file."""
    kind = draw(st.sampled_from(["bits", "cut", "insert", "header", "random", "swap", "repeat"]))
    size = len(content)
    if kind == "bits":
        changed = bytearray(content)
        for place in draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4)):
            changed[place] ^= draw(st.integers(1, 255))
        return bytes(changed)
    if kind == "cut":
        return content[: draw(st.integers(0, size - 1))]
    if kind == "insert":
        place = draw(st.integers(0, size))
        return content[:place] + draw(st.binary(min_size=1, max_size=20)) + content[place:]
    if kind == "header":
        length = struct.pack("<Q", draw(st.integers(0, 2**64 - 1) | st.integers(0, size)))
        return length + content[8:]
    if kind == "swap":
        place = draw(st.integers(0, size))
        return content[place:] + content[:place]
    if kind == "repeat":
        return content * 2
    return draw(st.binary(max_size=200))


@pytest.fixture(scope="module", name="files")
def _files(tmp_path_factory):
    """A file of weights and one of a run, what they hold, and a place for damaged ones."""
    folder = tmp_path_factory.mktemp("files")
    trainer = build(callbacks=[eln.Checkpoints(folder), Stop(3)])
    with pytest.raises(eln.Interrupted):
        trainer.fit(blobs())
    eln.save(trainer.net, folder / "weights")
    arrays = {name: value.copy() for name, value in network_arrays(trainer.net).items()}
    contents = [(folder / name).read_bytes() for name in ("weights", "latest.safetensors")]
    return Files(*contents, arrays, folder / "damaged")


class Files:
    """Two good files; no dataclass, as hypothesis would print all of one with a failing example."""

    def __init__(self, weights: bytes, run: bytes, arrays: dict[str, Any], place: Path) -> None:
        self.weights, self.run, self.arrays, self.place = weights, run, arrays, place


@fuzz(150)
@given(data=st.data())
def test_damaged_weights(files, data):
    weights, run, arrays, file = files.weights, files.run, files.arrays, files.place
    file.write_bytes(data.draw(damage(data.draw(st.sampled_from([weights, run])))))
    net = build().net
    before = {name: value.tobytes() for name, value in network_arrays(net).items()}
    try:
        eln.load(net, file)
    except ValueError as error:
        assert str(error).startswith("load: expected ")
        assert {name: value.tobytes() for name, value in network_arrays(net).items()} == before
    else:  # what was hurt meant nothing: the numbers are those that were saved
        if b'"elunet":"1 sha256:' not in file.read_bytes():
            return  # hit so often that it looks like another framework's, which has no SHA-256
        for name, value in network_arrays(net).items():
            np.testing.assert_array_equal(value, arrays[name])


@fuzz(100)
@given(data=st.data())
def test_damaged_runs(files, data):
    run, arrays, file = files.run, files.arrays, files.place
    file.write_bytes(data.draw(damage(run)))
    trainer = build()
    before = everything(trainer)
    try:
        trainer.resume(file)
    except ValueError as error:
        assert str(error).startswith("Trainer.resume: expected ")
        assert everything(trainer) == before
    else:
        for name, value in network_arrays(trainer.net).items():
            np.testing.assert_array_equal(value, arrays[name])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@fuzz(150)
@given(data=st.data())
def test_runs_that_make_no_sense(files, data):
    """Content that anybody may have made, with a right SHA-256: refused, or it can be resumed."""
    run, file = files.run, files.place
    found, note = decode("test", file, run)
    tree = json.loads(note)
    for _ in range(data.draw(st.integers(1, 3))):
        mangle(tree, data)
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(found)))
        found[name] = data.draw(st.sampled_from([np.zeros(3), found[name] * 2, np.int32([1])]))
    file.write_bytes(encode(found, json.dumps(tree)))
    trainer = build()
    before = everything(trainer)
    try:
        trainer.resume(file, allow=["elunet", "python", "numpy", "numba", "machine", "threads"])
    except ValueError as error:
        assert str(error).startswith("Trainer.resume: expected ")
        assert everything(trainer) == before
        return
    try:
        trainer.fit(blobs())
    except (ValueError, eln.DivergenceError) as error:
        assert "expected" in str(error)


def mangle(tree: Any, data: Any) -> None:
    """Change something somewhere in a tree."""
    while True:
        places = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not places:
            return
        place = data.draw(st.sampled_from(places))
        inner = tree[place]
        if isinstance(inner, dict | list) and inner and data.draw(st.integers(0, 3)):
            tree = inner
            continue
        if data.draw(st.booleans()):
            tree[place] = data.draw(JSON)
        else:
            del tree[place]
        return


# CIFAR-10 ------------------------------------------------------------------------------------


@st.composite
def hostile_pickles(draw: st.DrawFn) -> bytes:
    """Draw a batch with opcodes in it that would run something, or with damage."""
    planes = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072)
    good = batch_pickle(planes, [3, 9])
    if draw(st.booleans()):
        return draw(damage(good))
    place = draw(st.integers(0, 60) | st.integers(len(good) - 60, len(good)) | st.integers(0, 6300))
    parts = [
        b"cos\nsystem\n",
        b"(U\x04true",
        b"tR",
        b"R",
        b"0",
        b"2",
        b"i",
        b"o",
        b"b",
        b"\x81",
        b".",
    ]
    parts += [
        b"cbuiltins\neval\n",
        b"\x93",
        b"\x95" + b"\xff" * 8,
        b"B\xff\xff\xff\xff",
        b"(",
        b"e",
        b"u",
    ]
    evil = b"".join(draw(st.lists(st.sampled_from(parts), min_size=1, max_size=5)))
    return good[:place] + evil + good[place:]


WATCHED: dict[str, list[str]] = {"events": []}


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if "on" in WATCHED and (
        event in ("os.system", "subprocess.Popen", "os.exec", "pickle.find_class", "os.rename")
        or (event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"))
    ):
        WATCHED["events"].append(f"{event} {arguments}")


@pytest.fixture(name="watched", scope="module")
def _watched():
    """Return a context in which running or writing anything fails the test."""
    import sys
    from contextlib import contextmanager

    sys.addaudithook(watch)  # for good; it looks only inside the context

    @contextmanager
    def watched():
        WATCHED["events"].clear()
        WATCHED["on"] = []
        try:
            yield
        finally:
            del WATCHED["on"]
        assert WATCHED["events"] == []

    return watched


@pytest.fixture(name="tiny", scope="module")
def _tiny():
    """Two images a file, and whatever archive comes is the official one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10, "_RECORDS", 2)
        patch.setattr(cifar10, "_LARGEST_PICKLE", 8000)
        patch.setattr(cifar10.official, "check_archive", lambda *rest: None)
        yield


def loads_or_complains(watched, place, labels=None):
    """Check that a place loads, or that the message is ours, and that nothing else happens."""
    with watched():
        try:
            (x, y), (_, y_test) = load_cifar10(place)
        except ValueError as error:
            assert str(error).startswith("load_cifar10: expected ")
            return
    assert (x.shape, x.dtype, y.shape) == ((10, 32, 32, 3), np.uint8, (10,))
    assert set(y) | set(y_test) <= set(range(10))


@fuzz(150)
@given(evil=hostile_pickles(), which=st.integers(0, 5))
def test_hostile_pickles(tmp_path_factory, tiny, watched, evil, which):
    folder = python_folder(tmp_path_factory)
    (folder / cifar10._PYTHON.files[which]).write_bytes(evil)
    try:
        loads_or_complains(watched, folder)
    finally:
        (folder / cifar10._PYTHON.files[which]).write_bytes(GOOD)


GOOD = batch_pickle(np.zeros((2, 3072), np.uint8), [0, 1])


def python_folder(tmp_path_factory, made=[]):  # noqa: B006
    if not made:
        made.append(tmp_path_factory.mktemp("python"))
        for name in cifar10._PYTHON.files:
            (made[0] / name).write_bytes(GOOD)
    return made[0]


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """Draw an archive with members that it should not have, or with damage."""
    names = [f"cifar-10-batches-bin/{name}" for name in cifar10._BINARY.files]
    entries = [entry(name, b"\1" * 2 * 3073) for name in names]
    odd = [
        "../x",
        "/tmp/x",
        "a/../../x",
        "C:x",
        "..\\x",
        "x",
        names[0],
        "",
        ".",
        "a" * 300,
        "\u20ac",
    ]
    kinds = [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
    kinds += [tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, b"Z"]
    for _ in range(draw(st.integers(0, 3))):
        content = bytes(draw(st.sampled_from([0, 1, 512, 6146, 7000])))
        more = entry(
            draw(st.sampled_from(odd)),
            content,
            type=draw(st.sampled_from(kinds)),
            linkname=draw(st.sampled_from(["", "/etc/passwd", "../../x", names[0]])),
        )
        entries.insert(draw(st.integers(0, len(entries))), more)
    if draw(st.integers(0, 3)) == 0:
        entries.pop(draw(st.integers(0, len(entries) - 1)))
    raw = archive_bytes(entries, "w")
    if draw(st.integers(0, 2)) == 0:
        raw = draw(damage(raw))
    packed = zlib.compress(raw, 1, wbits=31)
    return draw(damage(packed)) if draw(st.integers(0, 2)) == 0 else packed


@fuzz(100)
@given(content=archives())
def test_hostile_archives(tmp_path_factory, tiny, watched, content):
    archive = tmp_path_factory.getbasetemp() / "cifar-10-binary.tar.gz"
    archive.write_bytes(content)
    loads_or_complains(watched, archive)


@fuzz(40)
@given(content=st.binary(max_size=2 * 3073 + 5) | st.integers(0, 7000).map(bytes))
def test_binary_batches(tmp_path_factory, tiny, watched, content):
    folder = tmp_path_factory.getbasetemp() / "binary"
    folder.mkdir(exist_ok=True)
    for name in cifar10._BINARY.files:
        (folder / name).write_bytes(content)
    loads_or_complains(watched, folder)
