"""Inner products in NumPy, in double precision. Compiled twins: `elunet.kernels.products`."""

from __future__ import annotations

import numpy as np

from elunet._types import Array


def inner_products(a: Array, b: Array) -> tuple[float, float, float]:
    """Return ``(a . a, a . b, b . b)``, each summed in float64."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    return float(x @ x), float(x @ y), float(y @ y)


def sum_of_squares(a: Array) -> float:
    """Return ``a . a``, summed in float64."""
    return float(np.square(a, dtype=np.float64).sum())
