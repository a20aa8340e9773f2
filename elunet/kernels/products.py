"""Inner products of two arrays, in double precision whatever theirs is."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit

LANES = 64


@jit
def inner_products(a: Array, b: Array) -> tuple[float, float, float]:
    """Return ``(a . a, a . b, b . b)``, each summed in float64, in one pass.

    Parameters
    ----------
    a, b : arrays of shape (n,)
    """
    aa = ab = bb = 0.0
    for i in range(a.size):
        x, y = np.float64(a[i]), np.float64(b[i])
        aa += x * x
        ab += x * y
        bb += y * y
    return aa, ab, bb


@jit
def sum_of_squares(a: Array) -> float:
    """Return ``a . a``, summed in float64.

    In `LANES` sums side by side, since one sum has to wait for each addition before the next.

    Parameters
    ----------
    a : array of shape (n,)
    """
    sums = np.zeros(LANES)
    for start in range(0, a.size, LANES):
        part = a[start : start + LANES]
        for i in range(part.size):
            x = np.float64(part[i])
            sums[i] += x * x
    total = 0.0
    for i in range(LANES):
        total += sums[i]
    return total
