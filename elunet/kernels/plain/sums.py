"""Biases, and sums over rows, in NumPy. Compiled twins: `elunet.kernels.sums`."""

from __future__ import annotations

import numpy as np

from elunet._types import Array


def add_to_rows(x: Array, row: Array) -> None:
    """Add ``row[c]`` to every ``x[n, c]``."""
    x += row


def add_rows(x: Array, total: Array) -> None:
    """Add ``sum over n of x[n, c]`` to ``total[c]``."""
    total += x.sum(axis=0, dtype=np.float64)
