"""The product of two matrices: NumPy's, or in a browser that of SciPy's BLAS.

NumPy has no BLAS there, and its own loops are slow: with SciPy's, a train step takes 0.4 to 0.9 of
the time. It is taken once somebody has imported ``scipy.linalg``; elunet does not, since that is
20 MB to load.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from elunet._types import Array

BROWSER = sys.platform == "emscripten"
SCIPY = "scipy.linalg.blas"


def dot(a: Array, b: Array, out: Array) -> Array:
    """Write ``out = a @ b``, all of one dtype, `out` in row-major order; return it."""
    if BROWSER and SCIPY in sys.modules:
        return by_blas(sys.modules[SCIPY], a, b, out)
    return np.dot(a, b, out=out)


def is_fast() -> bool:
    """Return whether `dot` is BLAS's, so that a product takes less than to prepare for it."""
    return not BROWSER or SCIPY in sys.modules


def by_blas(blas: Any, a: Array, b: Array, out: Array) -> Array:
    """Do it by a library whose matrices are in column-major order: ``out^T = b^T a^T``."""
    gemm = {4: blas.sgemm, 8: blas.dgemm}.get(out.itemsize)
    if gemm is None or a.size == 0 or b.size == 0:  # it takes neither half precision nor nothing
        return np.dot(a, b, out=out)
    (left, turned_left), (right, turned_right) = _by_columns(b.T), _by_columns(a.T)
    gemm(1, left, right, 0, out.T, turned_left, turned_right, overwrite_c=1)
    return out


def _by_columns(x: Array) -> tuple[Array, bool]:
    """Return x or its transpose, whichever is in column-major order, and whether it is that."""
    return (x.T, True) if x.flags.c_contiguous else (np.asfortranarray(x), False)
