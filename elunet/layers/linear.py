"""The fully connected layer, y = x W + b."""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._checks import integer
from elunet._types import Array, Seed, Shape
from elunet.init import Initializer
from elunet.kernels.dot import dot
from elunet.kernels.sums import add_rows, add_to_rows
from elunet.layers.spans import PRODUCT, Queue, Split, workers_for
from elunet.layers.weighted import Weighted

ROWS = 64  # that each worker has at least: fewer are faster than to bring it all of W


class Linear(Weighted, spans=True):
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

    def check(self, x: Array) -> Array:
        """Return x, of shape (N, in_features)."""
        return self.check_input(x, ("N", self.in_features))

    def output_shape(self, x_shape: Shape) -> Shape:
        """Return (N, out_features)."""
        return x_shape[0], self.out_features

    def forward_span(self, x: Array, y: Array, W: Array, b: Array | None) -> None:
        """Write ``y = x W + b``."""
        dot(x, W, y)
        if b is not None:
            add_to_rows(y, b)

    def backward_span(self, dy: Array, dx: Array, weight: Array) -> None:
        """Write ``dx = dy W^T``."""
        dot(dy, weight.T, dx)

    def cost(self, x_shape: Shape, y_shape: Shape) -> float:
        """Return the elementary operations of a pass."""
        product = self.in_features * self.out_features / PRODUCT
        return x_shape[0] * (self.in_features + self.out_features + product)

    def split(self, x_shape: Shape, dtype: np.dtype[Any]) -> Split:
        """Return one block for each worker: a product of few rows is slow."""
        rows = x_shape[0]
        workers = workers_for(rows // ROWS, self.cost(x_shape, ()))
        return Split(workers, -(-rows // workers))

    def start_gradient(self, queue: Queue, dy: Array) -> None:
        """Defer the work that writes ``dW = x^T dy``, and db, the sum of dy's rows.

        It is split over W's rows, so that nothing has to be added up.
        """
        x, _ = self.recall()
        dy, its = self.checked(dy)
        dW = self.gradient_array("W", self.shape, its.dtype)

        workers = its.split.workers
        multiply = dot if workers == 1 else np.matmul  # dot would copy some of x's columns

        def work(start: int, stop: int, worker: int) -> None:
            multiply(x[:, start:stop].T, dy, out=dW[start:stop])
            if start == 0 and self.bias:
                db = np.zeros(self.out_features)
                add_rows(dy, db)
                self.store_gradient("b", db, its.dtype)

        queue.add_last(work, self.in_features, its.cost, workers)

    def __repr__(self) -> str:
        return f"Linear({self.in_features}->{self.out_features})"
