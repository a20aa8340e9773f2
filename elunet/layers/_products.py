"""The sum of the workers' products: how a weight's gradient comes together, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet import deferred, parallel
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

    def total(self, matrix: Array | None = None) -> Array:
        """Return the sum over all workers; zeros if there was no block.

        With a matrix, its product with the sum, whose first axis counts rows: each worker
        multiplies its own share, which is large where the product is small.
        """
        deferred.finish()
        for worker, begun in enumerate(self.begun):
            if not begun:
                self.sums[worker] = 0
        if matrix is None:
            return np.asarray(self.sums.sum(axis=0))
        rows = self.sums.reshape(*self.sums.shape[:2], -1)
        shares = empty((len(rows), len(matrix), rows.shape[2]), rows.dtype)

        def work(start: int, stop: int, worker: int) -> None:
            np.matmul(matrix, rows[worker], out=shares[worker])

        parallel.run(work, len(rows), len(rows))
        return np.asarray(shares.sum(axis=0))
