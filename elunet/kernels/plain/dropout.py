"""Dropout's pass in NumPy. Compiled twin: `elunet.kernels.dropout`."""

from __future__ import annotations

from typing import Any

from elunet._types import Array


def drop(x: Array, bits: Array, dropped: int, scale: Any) -> None:
    """Multiply x by scale where bits >= dropped and by 0 elsewhere."""
    x *= (bits >= dropped) * x.dtype.type(scale)
