"""What layers of several inputs share: checking a tuple, and broadcasting with its gradient.

Arrays fit together if they have the same batch and dtype, and each other axis has one length or is
1. An array of rows, (N, C), also fits images, (N, H, W, C): it is taken as (N, 1, 1, C). On the way
back, a number that was used in many places gets the sum of what comes from there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array, Shape
from elunet.layers.base import Layer, check_float


def checked(layer: Layer, x: Any) -> tuple[Array, ...]:
    """Return x, if it is a tuple of one or more float arrays of one dtype.

    Raises
    ------
    TypeError, ValueError
        If it is not.
    """
    if not isinstance(x, tuple) or not x:
        raise TypeError(f"{layer!r}: expected x as a tuple of arrays, got {type(x).__name__}")
    for place, array in enumerate(x):
        check_float(array, f"{layer!r}: expected x[{place}]")
        if array.dtype != x[0].dtype:
            raise unlike(layer, x, place)
    return x


def unlike(layer: Layer, x: tuple[Array, ...], place: int, but: str = "") -> ValueError:
    """Return the error that x[place] does not fit x[0]; `but` says where it may differ."""
    first, other = x[0], x[place]
    return ValueError(
        f"{layer!r}: expected x[{place}] like x[0], {first.dtype} of shape {first.shape}{but}, got"
        f" {other.dtype} of shape {other.shape}"
    )


def broadcast(layer: Layer, x: Any) -> tuple[Array, ...]:
    """Return the arrays with the same number of axes, ready to be broadcast.

    Raises
    ------
    TypeError, ValueError
        If x is not a tuple of float arrays, or they do not fit together.
    """
    arrays = checked(layer, x)
    if all(array.shape == arrays[0].shape for array in arrays):
        return arrays
    axes = max(array.ndim for array in arrays)
    shapes = [_spread(array.shape, axes) for array in arrays]
    for place, shape in enumerate(shapes):
        fits = len(shape) == axes and shape[:1] == shapes[0][:1]
        fits = fits and all(
            1 in sizes or len(sizes) == 1
            for sizes in map(set, zip(shape[1:], shapes[0][1:], strict=True))
        )
        if not fits:
            raise unlike(layer, arrays, place, ", or with axes of size 1")
    try:
        np.broadcast_shapes(*shapes)
    except ValueError as error:  # two others, where the first has 1
        sizes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(
            f"{layer!r}: expected x of shapes that differ by axes of size 1 only, got {sizes}"
        ) from error
    return tuple(array.reshape(shape) for array, shape in zip(arrays, shapes, strict=True))


def summed(dy: Array, shape: Shape) -> Array:
    """Return the gradient of an array of this shape that was broadcast to dy's: dy's sums."""
    if dy.shape == shape:
        return dy
    wide = _spread(shape, dy.ndim)
    axes = tuple(axis for axis, size in enumerate(wide) if size != dy.shape[axis])
    total = dy.sum(axis=axes, keepdims=True, dtype=np.float64)
    return np.asarray(total, dy.dtype).reshape(shape)


def _spread(shape: Shape, axes: int) -> Shape:
    """Return (N, 1, ..., 1, C) for rows, (N, C), that meet arrays of more axes."""
    return (shape[0], *(axes - 2) * (1,), shape[1]) if len(shape) == 2 else shape
