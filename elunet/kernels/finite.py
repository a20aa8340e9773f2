"""Looking for NaN and infinity."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit

BLOCK = 4096


@jit
def all_finite(x: Array) -> bool:
    """Return whether x has neither NaN nor infinity in it.

    Block by block, so that it ends soon after the first; within a block without a branch, so that
    one instruction looks at many numbers.

    Parameters
    ----------
    x : array of shape (n,)
    """
    for start in range(0, x.size, BLOCK):
        part = x[start : start + BLOCK]
        bad = False
        for i in range(part.size):
            bad |= not np.isfinite(part[i])
        if bad:
            return False
    return True
