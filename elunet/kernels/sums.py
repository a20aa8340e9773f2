"""Biases, and sums over rows in double precision: their gradients, and batch statistics.

A float32 running sum over 100,000 rows loses three digits; in float64 it loses none that count,
and at the speed of memory it costs the same.

A row of few numbers is a loop too short to be fast. But rows lie one after the other, so several of
them are taken as one long row. Sums are kept for each of its places and then added up, first row
first; the rows that are left over at the end are added one by one.
"""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit

SHORT = 128  # a row of fewer numbers is short
LONG = 256  # numbers that a long row has at least


@jit
def _long_rows(rows: int, columns: int) -> tuple[int, int]:
    """Return how many long rows to take, and how many rows are one of them.

    It is a multiple of 16 rows, whose numbers fill vectors exactly.
    """
    together = 16
    while 0 < together * columns < LONG:
        together *= 2
    return rows // together if 0 < columns < SHORT else 0, together


@jit
def add_to_rows(x: Array, row: Array) -> None:
    """Add ``row[c]`` to every ``x[n, c]``.

    Parameters
    ----------
    x : C-contiguous array of shape (N, C)
    row : array of shape (C,)
    """
    rows, columns = x.shape
    long, together = _long_rows(rows, columns)
    if long:
        repeated = np.empty((together, columns), row.dtype)
        for n in range(together):
            for c in range(columns):
                repeated[n, c] = row[c]
        numbers, many = repeated.reshape(-1), x[: long * together].reshape(long, -1)
        for n in range(long):
            for k in range(numbers.size):
                many[n, k] += numbers[k]
    for n in range(long * together, rows):
        for c in range(columns):
            x[n, c] += row[c]


@jit
def add_rows(x: Array, total: Array) -> None:
    """Add ``sum over n of x[n, c]`` to ``total[c]``.

    Parameters
    ----------
    x : C-contiguous array of shape (N, C)
    total : float64 array of shape (C,)
    """
    rows, columns = x.shape
    long, together = _long_rows(rows, columns)
    if long:
        sums, many = np.zeros(together * columns), x[: long * together].reshape(long, -1)
        for n in range(long):
            for k in range(sums.size):
                sums[k] += many[n, k]
        _add_up(sums.reshape(together, columns), total)
    for n in range(long * together, rows):
        for c in range(columns):
            total[c] += x[n, c]


@jit
def _add_up(sums: Array, total: Array) -> None:
    """Add the rows of `sums` to `total`."""
    rows, columns = sums.shape
    for n in range(rows):
        for c in range(columns):
            total[c] += sums[n, c]
