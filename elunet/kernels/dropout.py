"""Dropout's pass over the numbers, the same in both directions."""

from __future__ import annotations

from typing import Any

from elunet._types import Array
from elunet.kernels._jit import jit


@jit
def drop(x: Array, bits: Array, dropped: int, scale: Any) -> None:
    """Multiply x by scale where bits >= dropped and by 0 elsewhere.

    Parameters
    ----------
    x : array of shape (n,)
    bits : uint16 array of shape (n,)
    dropped : int
    scale : number of x's dtype
    """
    zero = x.dtype.type(0)
    for i in range(x.size):
        x[i] *= scale if bits[i] >= dropped else zero
