"""Sums over a batch that several workers share: one array each, added up in order at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from elunet._types import Array, Shape
from elunet.engine.memory import empty
from elunet.kernels.dot import dot


class Sum:
    """One worker's sum of products ``a @ b``.

    The first product is written in place; only where there is more than one does it take a pass
    over memory to add.

    Parameters
    ----------
    array : array
        Where the sum comes together; what is in it does not count.
    several : bool
        Whether there may be more than one product.
    """

    def __init__(self, array: Array, several: bool) -> None:
        self.array = array
        self.product = empty(array.shape, array.dtype) if several else None
        self.begun = False

    def add(self, a: Array, b: Array) -> None:
        """Add ``a @ b``."""
        # For matrices dot, since matmul keeps the interpreter lock where the product is small.
        multiply: Any = dot if a.ndim == 2 else np.matmul
        if not self.begun:
            multiply(a, b, out=self.array)
            self.begun = True
        else:
            multiply(a, b, out=self.product)
            self.array += self.product

    def value(self) -> Array:
        """Return the sum, zeros if there was no product."""
        if not self.begun:
            self.array[...] = 0
        return self.array


def new_sums(workers: int, shape: Shape, dtype: npt.DTypeLike, several: bool) -> list[Sum]:
    """Return a sum for each worker."""
    return [Sum(array, several) for array in empty((workers, *shape), dtype)]


def total(sums: Sequence[Sum]) -> Array:
    """Return the sum of the workers' sums."""
    first = sums[0].value()
    if len(sums) == 1:
        return first
    out = empty(first.shape, first.dtype)
    np.add(first, sums[1].value(), out=out)
    for part in sums[2:]:
        out += part.value()
    return out
