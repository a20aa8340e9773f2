"""Bringing a signal from the positions of one picture to those of a finer or coarser one."""

from __future__ import annotations

import numpy as np

from elunet._types import Array, Shape


def spread(g: Array, shape: Shape) -> Array:
    """Share a gradient's numbers out among the positions of a shape; their sum stays.

    Parameters
    ----------
    g : (N, ..., C) array
    shape : tuple of int
        N, the positions wanted, and C. If it has another number of axes than g, what g has at all
        positions is summed first.
    """
    if g.ndim != len(shape):
        summed = g.sum(axis=tuple(range(1, g.ndim - 1)))
        g = summed.reshape(len(g), *(1,) * (len(shape) - 2), g.shape[-1])
    for axis, size in enumerate(shape[1:-1], start=1):
        if g.shape[axis] != size:
            shares = nearest(g.shape[axis], size).astype(g.dtype)
            g = np.moveaxis(np.tensordot(g, shares, (axis, 0)), -1, axis)
    return g


def nearest(above: int, below: int) -> Array:
    """Return the (above, below) matrix that shares each number out among the nearest positions.

    Positions are the middles of equal parts of one length; each of the many goes with the nearest
    of the few. Rows sum to 1.
    """
    many, few = max(above, below), min(above, below)
    places = np.arange(many)
    partners = (2 * places + 1) * few // (2 * many)
    shares = np.zeros((above, below))
    shares[(places, partners) if above == many else (partners, places)] = 1
    shares /= shares.sum(axis=1, keepdims=True)
    return shares
