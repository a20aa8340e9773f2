"""The fully connected layer, y = x W + b."""

from __future__ import annotations

import numpy as np

from elunet import deferred
from elunet._checks import integer
from elunet._types import Array, Seed
from elunet.init import Initializer
from elunet.kernels.sums import add_rows
from elunet.layers.base import ieee
from elunet.layers.weighted import Weighted
from elunet.parallel import PRODUCT, Work, workers_for
from elunet.workspace import empty


class Linear(Weighted):
    """Fully connected layer on rows: ``y = x W + b``.

    Parameters
    ----------
    in_features, out_features : int
        Lengths of a row of x and of y.
    bias : bool, default True
    init : Initializer, optional
        Draws W, by default `elunet.init.He()`; b starts at 0.
    seed : int, SeedSequence, Generator or None, optional

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1.

    Notes
    -----
    ``params["W"]`` is (in_features, out_features), ``params["b"]`` (out_features,).

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import Linear
    >>> Linear(3, 2, seed=0).forward(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        init: Initializer | None = None,
        seed: Seed = None,
    ) -> None:
        self.in_features = integer("Linear", "in_features", in_features)
        self.out_features = integer("Linear", "out_features", out_features)
        super().__init__((self.in_features, self.out_features), bias, init, seed)

    @deferred.deferrable
    @ieee
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return ``x W + b`` of shape (N, out_features) for x of shape (N, in_features)."""
        x = self.check_input(x, ("N", self.in_features))
        W, b = self._weights(x.dtype)
        y = empty((len(x), self.out_features), x.dtype)

        def work(start: int, stop: int, worker: int) -> None:
            np.matmul(x[start:stop], W, out=y[start:stop])
            if b is not None:
                y[start:stop] += b

        self._run(work, len(x), workers_for(len(x)))
        self.keep(x, W)
        return y

    @deferred.deferrable
    @ieee
    def backward_params(self, dy: Array) -> None:
        """Fill ``dW = x^T dy`` and ``db = sum over the rows of dy``."""
        x, _ = self.recall()
        dy = self.check_gradient(dy, (len(x), self.out_features), x.dtype)
        workers = workers_for(len(x))
        dW = empty((workers, *self.shape), x.dtype)
        if not len(x):
            dW[...] = 0  # without rows, nobody writes it
        db = np.zeros((workers, self.out_features))

        def work(start: int, stop: int, worker: int) -> None:
            np.matmul(x[start:stop].T, dy[start:stop], out=dW[worker])
            if self.bias:
                add_rows(dy[start:stop], db[worker])

        self._run(work, len(x), workers)
        deferred.finish()
        self.store_gradient("W", dW.sum(axis=0), x.dtype)
        if self.bias:
            self.store_gradient("b", db.sum(axis=0), x.dtype)

    @deferred.deferrable
    @ieee
    def backward_input(self, dy: Array, weight: Array | None = None) -> Array:
        """Return ``dx = dy W^T``; `weight`, of W's shape, stands in for W if it is given."""
        x, W = self.recall()
        dy = self.check_gradient(dy, (len(x), self.out_features), x.dtype)
        down = self._sent_through(weight, W).T
        dx = empty(x.shape, x.dtype)

        def work(start: int, stop: int, worker: int) -> None:
            np.matmul(dy[start:stop], down, out=dx[start:stop])

        self._run(work, len(x), workers_for(len(x)))
        return dx

    def _run(self, work: Work, rows: int, workers: int) -> None:
        product = self.in_features * self.out_features / PRODUCT
        operations = rows * (self.in_features + self.out_features + product)
        share = -(-rows // workers)  # whole: a product of few rows is slow
        deferred.by_picture(work, rows, workers, operations, share)

    def __repr__(self) -> str:
        return f"Linear({self.in_features}->{self.out_features})"
