"""Who computes a batch: by default one process alone, or a group of which each has some rows.

What a layer computes for a row depends on that row, and a gradient is a sum over rows. So a layer
or a rule needs to know of a group only where it asks for more: a mean over the batch, random
numbers for it, how many rows it has. They ask `Alone`, which answers as if nobody else were there;
`elunet.distributed.Group` answers for several processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from elunet._types import Array, Shape

Result = TypeVar("Result")


class Summing(Protocol):
    """The sum over ranks of a backward walk's gradients, which begins during the walk."""

    def fills(self, layer: Any) -> bool:
        """Return whether with this layer's gradients a bucket is full and can be sent."""

    def send(self) -> None:
        """Send the bucket that is full; its gradients are there."""

    def poll(self) -> None:
        """Let what was sent move on."""

    def wait(self) -> None:
        """Return when all sums are there."""


class Alone:
    """One process, which has all rows of a batch.

    Attributes
    ----------
    rank, size : int
        Which process of how many.
    weight : float
        The share of the batch's rows that it has, while a step is under way.
    about : str
        What carries messages.
    """

    rank = 0
    size = 1
    weight = 1.0
    about = ""

    def share(self, count: int) -> slice:
        """Return which of a batch's rows are this process's, from now to the end of the step."""
        return slice(0, count)

    def leave(self) -> None:
        """End the steps: what is computed now is no part of a batch."""

    def whole(self, count: int) -> int:
        """Return how many values all rows have, where this process's have `count`."""
        return count

    def sum_rows(self, array: Array) -> None:
        """Add to a sum over own rows those over the others', in place, in a step."""

    def integers(self, rng: np.random.Generator, high: int, shape: Shape, dtype: Any) -> Array:
        """Return own rows of random integers below `high` that are drawn for the whole batch."""
        return rng.integers(0, high, shape, dtype)

    def summing(self, layers: Sequence[Any], dtype: np.dtype[Any]) -> Summing | None:
        """Return what sums the gradients of layers, in the order of a walk; None if nothing has to.

        Parameters
        ----------
        layers : sequence of Layer
            Those with parameters.
        dtype : dtype
            Of the walk.
        """
        return None

    def gather(self, value: Result) -> list[Result]:
        """Return what each process has, by rank."""
        return [value]

    def first(self, function: Callable[[], Result]) -> Result:
        """Have the first process call a function; return what it returned, or raise what it did."""
        return function()

    def barrier(self) -> None:
        """Return when all processes are here."""


ALONE = Alone()
