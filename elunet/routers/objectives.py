"""Losses of one layer's output h, as gradients: how well classes can be read from it.

h is (N, features), or (N, H, W, C) for images; targets are rows of numbers, one-hot for labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array, Shape
from elunet.losses import SoftmaxCrossEntropy


def prediction_gradients(p: Array, C: Array, target: Array) -> tuple[Array, Array]:
    """Return the gradients of the cross-entropy of ``softmax(p C)``, with respect to C and p."""
    rows = p.reshape(len(p), -1)
    e = SoftmaxCrossEntropy()(rows @ C, target)[1]
    return rows.T @ e, (e @ C.T).reshape(p.shape)


def similarity_gradient(h: Array, target: Array) -> Array:
    """Return the gradient of ``mean((S(s) - S(target))^2)`` with respect to h.

    S(a), (N, N), holds the cosines between the rows of a, each minus its mean. s is h, or the
    standard deviation of each channel over positions, of images with more than 3 channels.
    """
    values = h.reshape(len(h), -1, h.shape[-1])
    _, positions, channels = values.shape
    if positions == 1 or channels < 4:
        return _rows_gradient(h.reshape(len(h), -1), target).reshape(h.shape)
    d = values - values.mean(axis=1, keepdims=True)
    s = np.sqrt((d * d).mean(axis=1))
    ds = _rows_gradient(s, target)
    dh: Array = d * (ds * _inverse(s) / positions)[:, None]
    return dh.reshape(h.shape)


def pooled(h: Array, grid: int) -> Array:
    """Return an image's means over ``grid`` x ``grid`` parts of it, and others unchanged."""
    for axis in range(1, h.ndim - 1):
        h = np.moveaxis(np.tensordot(h, means(h.shape[axis], grid, h.dtype), (axis, 1)), -1, axis)
    return h


def pooled_down(dp: Array, shape: Shape) -> Array:
    """Return the gradient with respect to what was `pooled`, an array of this shape."""
    for axis in range(1, len(shape) - 1):
        parts = means(shape[axis], dp.shape[axis], dp.dtype)
        dp = np.moveaxis(np.tensordot(dp, parts, (axis, 0)), -1, axis)
    return dp


def means(size: int, parts: int, dtype: np.dtype[Any]) -> Array:
    """Return the (parts, size) matrix of means over equal parts of a length, as near as can be.

    There are no more parts than positions.
    """
    edges = np.arange(min(parts, size) + 1) * size // min(parts, size)
    places = np.arange(size)
    inside = (edges[:-1, None] <= places) & (places < edges[1:, None])
    matrix: Array = inside / inside.sum(axis=1, keepdims=True)
    return matrix.astype(dtype)


def _rows_gradient(a: Array, target: Array) -> Array:
    """Return the gradient of ``mean((S(a) - S(target))^2)`` with respect to a."""
    (r, inverse), (t, _) = _units(a), _units(target)
    dr = 4 / len(a) ** 2 * (r @ r.T - (t @ t.T).astype(a.dtype)) @ r
    centered = (dr - r * (r * dr).sum(axis=1, keepdims=True)) * inverse
    gradient: Array = centered - centered.mean(axis=1, keepdims=True)
    return gradient


def _units(a: Array) -> tuple[Array, Array]:
    """Return each row minus its mean, made one long, and one over the length that it had."""
    centered = a - a.mean(axis=1, keepdims=True)
    inverse = _inverse(np.sqrt((centered * centered).sum(axis=1, keepdims=True)))
    return centered * inverse, inverse


def _inverse(lengths: Array) -> Array:
    """Return 1 / lengths, and 0 for what does not vary, which has no gradient."""
    return np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 1e-12)
