"""Normalization of channels in NumPy. Compiled twins: `elunet.kernels.normalization`."""

from __future__ import annotations

import numpy as np

from elunet._types import Array


def add_centered_squares(x: Array, mean: Array, total: Array) -> None:
    """Add ``sum over n of (x[n, c] - mean[c])^2`` to ``total[c]``."""
    total += np.square(x - mean).sum(axis=0)


def normalize(
    x: Array, mean: Array, rstd: Array, gamma: Array, beta: Array, x_hat: Array, y: Array
) -> None:
    """Write ``x_hat[n, c] = (x[n, c] - mean[c]) rstd[c]`` and ``y = gamma[c] x_hat + beta[c]``."""
    near = mean.astype(x.dtype)
    np.subtract(x, near, out=x_hat)
    x_hat -= (mean - near).astype(x.dtype)
    x_hat *= rstd
    np.multiply(gamma, x_hat, out=y)
    y += beta


def add_gradient_sums(dy: Array, x_hat: Array, products: Array, sums: Array) -> None:
    """Add ``sum over n of dy[n, c] x_hat[n, c]`` to ``products[c]``, and that of dy to ``sums``."""
    products += np.multiply(dy, x_hat, dtype=np.float64).sum(axis=0)
    sums += dy.sum(axis=0, dtype=np.float64)


def normalize_backward(
    dy: Array, x_hat: Array, slope: Array, along: Array, shift: Array, dx: Array
) -> None:
    """Write ``dx[n, c] = slope[c] (dy[n, c] - shift[c] - along[c] x_hat[n, c])``."""
    np.multiply(slope, dy - shift - along * x_hat, out=dx, casting="same_kind")
