"""Vectors: some neighboring numbers that are loaded, compared, added and stored at once.

The compiler makes vectors of a loop over neighboring numbers by itself. But before each such loop
it asks whether the arrays overlap, and it takes the last few numbers one by one: for a loop over 6
or 16 channels that is most of the work. With these functions a kernel says what is one vector.

A vector is LANES numbers of a C-contiguous array of one dimension, wherever they begin. It may
reach beyond the channels that are meant: what is loaded there is of no use, and what is stored
there has to be written again later. It may not reach beyond the array's end, which nobody checks:
there a kernel says how many numbers of the vector are to be moved, which takes longer.

As they stand here, the functions run when the JIT is off. Compiled code gets those of
`elunet.kernels._intrinsics`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array

LANES = 16  # of float32 today's widest vector; a processor with narrower ones takes it in parts


def load(array: Array, place: Any, count: Any) -> Any:
    """Return the vector from a place on, or its first numbers and then zeros.

    Parameters
    ----------
    array : C-contiguous array of shape (n,)
    place : int
    count : int
        How many numbers to read; LANES or more for all.
    """
    vector = np.zeros(LANES, array.dtype)
    count = min(count, LANES)
    vector[:count] = array[place : place + count]
    return vector


def store(array: Array, place: Any, vector: Any, count: Any) -> None:
    """Write a vector, or its first numbers, from a place on.

    Parameters
    ----------
    array : C-contiguous array of shape (n,)
    place : int
    vector : vector of the array's dtype
    count : int
        How many numbers to write; LANES or more for all.
    """
    count = min(count, LANES)
    array[place : place + count] = vector[:count]


def fill(number: Any) -> Any:
    """Return a vector of equal numbers."""
    return np.full(LANES, number)


def below(count: Any) -> Any:
    """Return a vector of truths: true for the first so many numbers."""
    return np.arange(LANES) < count


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return a vector with a's numbers where the condition holds, and b's elsewhere."""
    return np.where(condition, a, b)


def multiply_add(a: Any, b: Any, c: Any) -> Any:
    """Return the vector ``a * b + c``, rounded once where the processor can."""
    return a * b + c


def widened(vector: Any) -> Any:
    """Return the vector in float64."""
    return vector.astype(np.float64)


def rounded(vector: Any, array: Array) -> Any:
    """Return a vector of float64 in an array's dtype."""
    return vector.astype(array.dtype)
