"""Inner products of two arrays, in double precision whatever theirs is."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit


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
