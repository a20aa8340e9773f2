"""Normalization of channels: sums around their means, the normalized numbers, and the gradient.

In float32 a sum over 100,000 rows would lose three digits, and what is left of x after a large mean
would lose more. So sums and gradients are computed in float64, number by number: no array of
float64 is written for it.

A row of few channels is a loop too short to be fast. But rows lie one after the other. So all of x
is taken as one long line and cut into stretches of some whole rows, and what belongs to a channel
is repeated until it is as long as a stretch. The last stretch may be shorter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit

LONG = 256  # numbers that a stretch has at least


@jit
def _stretch(columns: int) -> int:
    """Return how many numbers a stretch has: those of 1, 2, 4, ... rows."""
    size = columns
    while 0 < size < LONG:
        size *= 2
    return size


@jit
def _repeated(row: Array, size: int, dtype: Any) -> Array:
    """Return a row's numbers again and again, until there are so many."""
    numbers = np.empty(size, dtype)
    for k in range(size):
        numbers[k] = row[k % row.size]
    return numbers


@jit
def _add_up(sums: Array, total: Array) -> None:
    """Add a stretch's sums to their channels'."""
    for first in range(0, sums.size, total.size):
        for c in range(total.size):
            total[c] += sums[first + c]


@jit
def add_centered_squares(x: Array, mean: Array, total: Array) -> None:
    """Add ``sum over n of (x[n, c] - mean[c])^2`` to ``total[c]``.

    Parameters
    ----------
    x : C-contiguous array of shape (N, C)
    mean, total : float64 arrays of shape (C,)
    """
    numbers, size = x.reshape(-1), _stretch(mean.size)
    means, sums = _repeated(mean, size, np.float64), np.zeros(size)
    for first in range(0, numbers.size, size):
        part = numbers[first : first + size]
        for k in range(part.size):
            centered = part[k] - means[k]
            sums[k] += centered * centered
    _add_up(sums, total)


@jit
def normalize(
    x: Array, mean: Array, rstd: Array, gamma: Array, beta: Array, x_hat: Array, y: Array
) -> None:
    """Write ``x_hat[n, c] = (x[n, c] - mean[c]) rstd[c]`` and ``y = gamma[c] x_hat + beta[c]``.

    The mean is taken off exactly: first what x's dtype can hold of it, then the rest.

    Parameters
    ----------
    x, x_hat, y : C-contiguous arrays of shape (N, C), three different ones
    mean : float64 array of shape (C,)
    rstd, gamma, beta : arrays of shape (C,), of x's dtype
    """
    numbers, x_hats, ys = x.reshape(-1), x_hat.reshape(-1), y.reshape(-1)
    size, dtype = _stretch(mean.size), x.dtype
    near = _repeated(mean, size, dtype)
    rest = _repeated(mean - near[: mean.size], size, dtype)
    rstds = _repeated(rstd, size, dtype)
    gammas, betas = _repeated(gamma, size, dtype), _repeated(beta, size, dtype)
    for first in range(0, numbers.size, size):
        part, part_hat = numbers[first : first + size], x_hats[first : first + size]
        part_y = ys[first : first + size]
        for k in range(part.size):
            part_hat[k] = ((part[k] - near[k]) - rest[k]) * rstds[k]
        for k in range(part.size):  # apart: so the compiler takes several numbers at once
            part_y[k] = gammas[k] * part_hat[k] + betas[k]


@jit
def add_gradient_sums(dy: Array, x_hat: Array, products: Array, sums: Array) -> None:
    """Add ``sum over n of dy[n, c] x_hat[n, c]`` to ``products[c]``, and that of dy to ``sums[c]``.

    Parameters
    ----------
    dy, x_hat : C-contiguous arrays of shape (N, C)
    products, sums : float64 arrays of shape (C,)
    """
    dys, x_hats, size = dy.reshape(-1), x_hat.reshape(-1), _stretch(sums.size)
    part_products, part_sums = np.zeros(size), np.zeros(size)
    for first in range(0, dys.size, size):
        part, part_hat = dys[first : first + size], x_hats[first : first + size]
        for k in range(part.size):
            number = np.float64(part[k])
            part_products[k] += number * np.float64(part_hat[k])
            part_sums[k] += number
    _add_up(part_products, products)
    _add_up(part_sums, sums)


@jit
def normalize_backward(
    dy: Array, x_hat: Array, slope: Array, along: Array, shift: Array, dx: Array
) -> None:
    """Write ``dx[n, c] = slope[c] (dy[n, c] - shift[c] - along[c] x_hat[n, c])``.

    The bracket is in float64: it may be small beside dy, and its mean is 0.

    Parameters
    ----------
    dy, x_hat, dx : C-contiguous arrays of shape (N, C)
    slope, along, shift : float64 arrays of shape (C,)
    """
    dys, x_hats, dxs = dy.reshape(-1), x_hat.reshape(-1), dx.reshape(-1)
    size = _stretch(slope.size)
    slopes, alongs = _repeated(slope, size, np.float64), _repeated(along, size, np.float64)
    shifts = _repeated(shift, size, np.float64)
    for first in range(0, dys.size, size):
        part, part_hat = dys[first : first + size], x_hats[first : first + size]
        part_dx = dxs[first : first + size]
        for k in range(part.size):
            part_dx[k] = slopes[k] * ((part[k] - shifts[k]) - alongs[k] * part_hat[k])
