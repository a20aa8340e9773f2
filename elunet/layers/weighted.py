"""What Conv2D and Linear share: a weight W, a bias b, and their initialization."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from elunet._checks import is_masked, plain
from elunet._types import Array, Seed, Shape
from elunet.init import He, Initializer
from elunet.layers.base import FLOATS, as_dtype, describe
from elunet.layers.spans import Queue, SpanLayer, Sum, new_sums, total


class Weighted(SpanLayer):
    """A layer with ``params["W"]`` of a fixed shape and, if wanted, ``params["b"]``.

    Parameters
    ----------
    shape : tuple of int
        W's shape; its last axis is the output's.
    bias : bool
    init : Initializer or None
        What draws W, He's normal distribution by default; b starts at 0 unless it draws b too.
    seed : int, SeedSequence, Generator or None

    Raises
    ------
    TypeError, ValueError
        If `init` is not callable or gives another shape, or `seed` is not a valid seed.

    Examples
    --------
    >>> from elunet.layers import Linear, Weighted
    >>> isinstance(Linear(3, 2), Weighted), Linear(3, 2).params["W"].shape
    (True, (3, 2))
    """

    def __init__(self, shape: Shape, bias: bool, init: Initializer | None, seed: Seed) -> None:
        super().__init__(seed)
        self.shape = shape
        self.bias = bool(bias)
        self.init = He() if init is None else init
        if not callable(self.init) or isinstance(self.init, type):
            raise TypeError(
                f"{self!r}: expected init as a callable init(rng, shape), such as eln.init.He(),"
                f" got {init!r}"
            )
        self.reset(seed)

    def reset(self, seed: Seed) -> None:
        """Draw W again, and b if `init` has a method for it (else it is 0), both float32."""
        rng = np.random.default_rng(seed)
        W = plain(f"{self!r}", "init's array", self.init(rng, self.shape))
        if W.shape != self.shape:
            raise ValueError(
                f"{self!r}: expected init to give an array of shape {self.shape}, got {describe(W)}"
            )
        self.params["W"] = np.ascontiguousarray(W, np.float32)
        if self.bias:
            draw = getattr(self.init, "bias", None)
            b = np.zeros(self.shape[-1]) if draw is None else draw(rng, self.shape)
            self.params["b"] = np.asarray(b, np.float32)

    def common(self, x: Array) -> tuple[Any, ...]:
        """Return W and b in x's dtype."""
        b = self.parameter("b", self.shape[-1:], x.dtype) if self.bias else None
        return self.parameter("W", self.shape, x.dtype), b

    def remember(self, x: Array, arrays: tuple[Array, ...]) -> None:
        """Keep x, for the gradient of W, and W, for the gradient of x."""
        self.keep(x, self.parameter("W", self.shape, x.dtype))

    def backward_params(self, dy: Array) -> None:
        """Fill `grads`."""
        queue = Queue()
        self.start_gradient(queue, dy)
        queue.finish()

    def backward_input(self, dy: Array, weight: Array | None = None) -> Array:
        """Return dL/dx, or what `weight`, of W's shape, would give instead of W."""
        return self.run_backward(dy, weight)

    def tangent(self, dx: Array | None, dparams: Mapping[str, Array]) -> Array:
        """Return the layer of dx without b, plus that of x with dW and db in place of W and b."""
        x, W = self.recall()
        moving = {name: np.zeros_like(value, W.dtype) for name, value in self.params.items()}
        parts = [(dx, {**moving, "W": W})] if dx is not None else []
        if dparams:
            parts.append((x, {**moving, **dparams}))
        total: Any = 0
        for source, params in parts:
            twin = copy.copy(self)
            twin.params = params
            total = total + twin.forward(source, train=True)
        return np.asarray(total)

    def carried(self, weight: Array | None) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        """Return the weight of the backward pass: W, or a matrix of its shape that replaces it."""
        _, W = self.recall()
        if weight is None:
            return (), (W,)
        floats = isinstance(weight, np.ndarray) and weight.dtype in FLOATS
        masked = is_masked(weight)
        if not floats or masked or weight.shape != self.shape:
            raise ValueError(
                f"{self!r}: expected weight as a float array of W's shape {self.shape}, got "
                + describe(weight)
            )
        return (), (as_dtype(weight, W.dtype),)

    def start_gradient(self, queue: Queue, dy: Array) -> None:
        """Defer the work that fills `grads`: a sum for each worker, and their total."""
        x, _ = self.recall()
        dy, its = self.checked(dy)
        dtype, (workers, block) = its.dtype, its.split
        dW = self.new_sums(workers, bool(block) and block * workers < len(x), dtype)
        db = np.zeros((workers, its.y_shape[-1]))

        def work(start: int, stop: int, worker: int) -> None:
            self.gradient_span(x[start:stop], dy[start:stop], dW[worker], db[worker])

        def after() -> None:
            self.store_gradient("W", self.total(dW), dtype)
            if self.bias:
                self.store_gradient("b", db.sum(axis=0), dtype)

        queue.add(work, len(x), its.cost, workers, block, after)

    def gradient_span(self, x: Array, dy: Array, dW: Sum, db: Array) -> None:
        """Add some images' share of the parameters' gradients."""
        raise NotImplementedError(f"{self!r}: a layer has to define gradient_span(x, dy, dW, db)")

    def new_sums(self, workers: int, several: bool, dtype: np.dtype[Any]) -> list[Sum]:
        """Return the sums that `gradient_span` adds to, one for each worker."""
        return new_sums(workers, self.shape, dtype, several)

    def total(self, sums: list[Sum]) -> Array:
        """Return dW from the workers' sums."""
        return total(sums)
