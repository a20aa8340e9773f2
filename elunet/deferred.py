"""Work that waits for company: several layers' passes in one go, picture by picture.

Waking a second thread takes as long as a small layer. But what most layers compute for a picture
depends on that picture only, so nobody has to wait between two layers: each worker can take its
share of the batch through one after the other. A network therefore lets such layers queue their
work, and has it done when somebody is going to look at the numbers.

A pass that may be put off is marked `deferrable`: it touches the numbers of its arrays only in what
it hands to `by_picture`. Of anything else, a user's layer or a rule that looks at its signals,
the queue knows nothing, and is finished before. Once it is at it, a worker takes a few pictures at
a time through a product and the cheap passes around it, while they are still in its cache.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from elunet import parallel
from elunet._types import Array
from elunet.workspace import give_up

ENOUGH = 30_000_000  # elementary operations, some milliseconds: more would only hold more memory
AT_ONCE = 1 << 17  # numbers, so few that what was copied is still in the cache

Function = TypeVar("Function", bound=Callable[..., Any])


def deferrable(function: Function) -> Function:
    """Mark a pass that touches the numbers of its arrays in `by_picture` only.

    What it returns is new, or is one of the arrays that it was given, or a view of one.
    """
    function.deferrable = function  # type: ignore[attr-defined]  # a wrapper's copy of it is not the wrapper
    return function


def is_deferrable(function: Callable[..., Any]) -> bool:
    """Return whether it is a marked function itself, or a marked method of the very class.

    An override, a wrapper or a stand-in is not, nor is what a subclass inherits: the subclass may
    have put something else in place of what the method calls.
    """
    plain = getattr(function, "__func__", function)
    if getattr(plain, "deferrable", None) is not plain:
        return False
    owner = getattr(function, "__self__", None)
    return owner is None or vars(type(owner)).get(function.__name__) is plain


class Queue:
    """Work put off, in order; each piece is for a span of pictures, and all for as many pictures.

    The pieces form groups, which a worker goes through with a few pictures at a time: as many as
    the group's one product wants.
    """

    def __init__(self) -> None:
        self.pictures = self.workers = 0
        self.operations = 0.0
        self.groups: list[tuple[list[parallel.Work], int]] = []

    def call(
        self, function: Function, *arguments: Any, spare: Array | None = None, **named: Any
    ) -> Any:
        """Call a function, with the queue open if it may put off its work, else finished.

        `spare` is an array that it may write over.
        """
        if not is_deferrable(function):
            self.finish()
            return function(*arguments, **named)
        before = _open.queue
        try:
            _open.queue = self
            give_up(spare)
            return function(*arguments, **named)
        finally:
            _open.queue = before
            give_up(None)

    def add(
        self, work: parallel.Work, pictures: int, workers: int, operations: float, block: int
    ) -> None:
        """Put work off; the `block` of a product is above 0 if there is any row."""
        same = (pictures, workers) == (self.pictures, self.workers)
        if not same or (block and self.operations > ENOUGH):
            self.finish()
        self.pictures, self.workers = pictures, workers
        self.operations += operations
        if self.groups and not (block and self.groups[-1][1]):
            works, own = self.groups[-1]
            self.groups[-1] = ([*works, work], block or own)
        else:
            self.groups.append(([work], block))

    def finish(self) -> None:
        """Do what was put off."""
        groups, self.groups = self.groups, []
        operations, self.operations = self.operations, 0.0
        if not groups:
            return

        def share(start: int, stop: int, worker: int) -> None:
            for works, block in groups:
                step = block or stop - start
                for first in range(start, stop, step):
                    for work in works:
                        work(first, min(first + step, stop), worker)

        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            parallel.run(share, self.pictures, self.workers, operations=operations)


class _Open(threading.local):
    queue: Queue | None = None


_open = _Open()


def by_picture(
    work: parallel.Work, pictures: int, workers: int, operations: float, block: int = 0
) -> None:
    """Call ``work(start, stop, worker)`` until all pictures are covered, now or put off.

    It comes to the same shares as in `parallel.run`, so to the same numbers. A matrix product says
    how many pictures it wants in one `block` at most; other work takes spans of any size.
    """
    if _open.queue is None:
        parallel.run(work, pictures, workers, block, operations)
    else:
        _open.queue.add(work, pictures, workers, operations, block)


def finish() -> None:
    """Do what was put off, in a pass that is about to look at what its work gave."""
    if _open.queue is not None:
        _open.queue.finish()


def elementwise(kernel: Callable[..., None], x: Array, y: Array, *others: Array) -> None:
    """Make y of x, number by number, both contiguous and of one shape; y may be x.

    What ``kernel(numbers, *others)`` is called with is a span of y in which those of x stand, and
    spans of the other arrays that match it, flattened.
    """
    size = max(1, x[:1].size)
    step = x.shape[0] if y is x else max(1, AT_ONCE // size)

    def work(start: int, stop: int, worker: int) -> None:
        for first in range(start, stop, step):
            last = min(first + step, stop)
            if y is not x:
                y[first:last] = x[first:last]
            kernel(*(array[first:last].reshape(-1) for array in (y, *others)))

    by_picture(work, len(x), parallel.workers_for(len(x)), x.size)
