"""Looking for NaN and infinity in NumPy. Compiled twin: `elunet.kernels.finite`."""

from __future__ import annotations

import numpy as np

from elunet._types import Array


def all_finite(x: Array) -> bool:
    """Return whether x has neither NaN nor infinity in it."""
    return bool(np.isfinite(x).all())
