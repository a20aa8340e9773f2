"""The processes that compute a batch: by default one alone, or a group that shares its rows.

What a layer computes for a row depends on that row, and a gradient is a sum over rows. So a layer
or a rule needs to know of a group only where it asks for more: a mean over the batch, random
numbers for it, how many rows it has. They ask `Alone`, which answers for a single process;
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
        """Return whether a bucket is full, and can be sent, once it has this layer's gradients."""

    def send(self) -> None:
        """Send the bucket that is full; its gradients are there."""

    def poll(self) -> None:
        """Let the messages that were sent make progress."""

    def wait(self) -> None:
        """Return when all sums are there."""


class Alone:
    """One process, which has all rows of a batch.

    Attributes
    ----------
    rank, size : int
        Which process of how many.
    weight : float
        The share of the batch's rows that it has, during a step.
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
        """End the steps: what is computed from now on is not part of a batch."""

    def whole(self, count: int) -> int:
        """Return the number of values in all rows, given the `count` in this process's rows."""
        return count

    def sum_rows(self, array: Array) -> None:
        """Add the other processes' sums to the sum over this process's rows, in place."""

    def integers(self, rng: np.random.Generator, high: int, shape: Shape, dtype: Any) -> Array:
        """Draw integers below `high` for the whole batch; return the rows of this process."""
        return rng.integers(0, high, shape, dtype)

    def summing(self, layers: Sequence[Any], dtype: np.dtype[Any]) -> Summing | None:
        """Return an object that sums layers' gradients over processes; None for one process.

        Parameters
        ----------
        layers : sequence of Layer
            Those with parameters.
        dtype : dtype
            Of the walk.
        """
        return None

    def gather(self, value: Result) -> list[Result]:
        """Return the values of all processes, by rank."""
        return [value]

    def first(self, function: Callable[[], Result]) -> Result:
        """Call a function in the first process; return its result, or raise its error, in all."""
        return function()

    def barrier(self) -> None:
        """Wait until all processes have called this method."""


ALONE = Alone()
