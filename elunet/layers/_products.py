"""The sum of the workers' products: how a weight's gradient comes together, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array, Shape
from elunet.workspace import empty


class SumOfProducts:
    """A sum over blocks of ``a @ b``, kept per worker, since two may not add to one array.

    A worker's first product is written in place; only where there is more than one block does it
    take a pass over memory to add.
    """

    def __init__(self, workers: int, blocks: int, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.sums = empty((workers, *shape), dtype)
        self.product = empty((workers, *(shape if blocks > 1 else (0,))), dtype)
        self.begun = [False] * workers

    def add(self, worker: int, a: Array, b: Array) -> None:
        """Add ``a @ b`` to this worker's sum."""
        if not self.begun[worker]:
            np.matmul(a, b, out=self.sums[worker])
            self.begun[worker] = True
        else:
            np.matmul(a, b, out=self.product[worker])
            self.sums[worker] += self.product[worker]

    def total(self) -> Array:
        """Return the sum over all workers; zeros if there was no block."""
        for worker, begun in enumerate(self.begun):
            if not begun:
                self.sums[worker] = 0
        return np.asarray(self.sums.sum(axis=0))
