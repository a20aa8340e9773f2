"""Deferred work: the passes of several layers run together, one part of the batch at a time.

To have two threads meet takes as long as a small layer. But what most layers compute for an image
depends on that image only, so nobody has to wait between two layers: each worker can take its share
of the batch through one after the other. A network therefore queues the work of such layers, and
has it done when somebody is going to look at the numbers. Once it is at it, a worker takes a few
images at a time through a product and the cheap passes around it, while they are in its cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from elunet._quiet import quiet
from elunet.engine import threads
from elunet.engine.threads import Work

ENOUGH = 30_000_000  # elementary operations, some milliseconds: more would only hold more memory


class Queue:
    """Deferred work, in order, all on as many items.

    They form groups, which a worker goes through with a few items at a time: as many as the group's
    one product wants.
    """

    owner: Any = None
    """The layer whose work is being deferred, so that an error can name it."""

    failed: Any = None

    def __init__(self) -> None:
        self.items = self.workers = 0
        self.cost = 0.0
        self.groups: list[tuple[list[tuple[Work, Any]], int]] = []
        self.afterwards: list[tuple[Callable[[], None], Any]] = []
        self.last: list[tuple[Work, Any, int, float, int]] = []

    def add(
        self,
        work: Work,
        items: int,
        cost: float,
        workers: int = 0,
        block: int = 0,
        after: Callable[[], None] | None = None,
        apart: bool = False,
    ) -> None:
        """Defer work.

        Parameters
        ----------
        work : callable
            ``work(start, stop, worker)`` does the items from start to stop.
        items : int
            Images of the batch, or rows of the one image.
        cost : float
            Of all items, in elementary operations; see `elunet.engine.threads.run`.
        workers : int
            Among how many shares the items are split; 0 where the numbers do not depend on it.
        block : int
            How many items a matrix product takes at once; 0 for other work, which takes any span.
        after : callable, optional
            Called once all items are done, by the thread that has them done.
        apart : bool
            Whether an item needs more than the same item of the work before.
        """
        if self.groups:
            fits = items == self.items and (workers or self.workers) == (self.workers or workers)
            if not fits or apart or (block and self.cost > ENOUGH):
                self._run()
        self.items, self.workers = items, workers or self.workers
        self.cost += cost
        if self.groups and not (block and self.groups[-1][1]):
            works, its = self.groups[-1]
            works.append((work, self.owner))
            self.groups[-1] = works, block or its
        else:
            self.groups.append(([(work, self.owner)], block))
        if after is not None:
            self.afterwards.append((after, self.owner))

    def add_last(self, work: Work, items: int, cost: float, workers: int) -> None:
        """Defer work that no other work needs, until the rest is done."""
        self.last.append((work, self.owner, items, cost, workers))

    def finish(self) -> None:
        """Do what was deferred."""
        if self.groups:
            self._run()
        if self.last:
            self._run_last()

    @quiet
    def _run(self) -> None:
        groups, afterwards, cost = self.groups, self.afterwards, self.cost
        workers = self.workers or threads.workers_for(self.items, cost)
        self.groups, self.afterwards, self.cost, self.workers = [], [], 0.0, 0

        def share(start: int, stop: int, worker: int) -> None:
            owner: Any = None
            try:
                for works, block in groups:
                    step = block or stop - start
                    for first in range(start, stop, step):
                        last = min(first + step, stop)
                        for work, owner in works:  # noqa: B007
                            work(first, last, worker)
            except BaseException:
                self.failed = owner
                raise

        threads.run(share, self.items, workers, cost=cost)
        for function, owner in afterwards:
            self.failed = owner
            function()
        self.failed = None

    @quiet
    def _run_last(self) -> None:
        tasks, self.last = self.last, []
        workers = max(among for *_, among in tasks)
        parts: list[list[tuple[Work, Any, int, int, int]]] = [[] for _ in range(workers)]
        load = [0.0] * workers
        for work, owner, items, cost, among in sorted(tasks, key=lambda task: -task[4]):
            for part in range(among):
                least = part if among > 1 else load.index(min(load))
                span = items * part // among, items * (part + 1) // among
                parts[least].append((work, owner, *span, part))
                load[least] += cost / among

        def share(start: int, stop: int, worker: int) -> None:
            for work, owner, *span in parts[worker]:
                try:
                    work(*span)
                except BaseException:
                    self.failed = owner
                    raise

        threads.run(share, workers, workers, cost=sum(load))


def over(function: Callable[..., None], arrays: Sequence[Any], *others: Any) -> Work:
    """Return the work of calling a function with spans of arrays, then with the others whole."""
    items = len(arrays[0])

    def work(start: int, stop: int, worker: int) -> None:
        if stop - start == items:
            function(*arrays, *others)
        else:
            function(*(array[start:stop] for array in arrays), *others)

    return work
