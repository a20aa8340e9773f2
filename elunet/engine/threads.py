"""Two cores, one idea: each worker takes a share of the batch through one layer, or several.

The workers are plain Python threads. They truly run side by side because kernels and BLAS both let
go of the interpreter lock. While they run, BLAS itself keeps to one thread per worker, so no second
pool competes for the cores; afterwards it has its own threads back. No worker starts before the
first large enough layer runs, and a forked child starts its own.

Between two layers a worker stays awake for a moment (`AWAKE`), since waking it takes as long as a
small layer; after that it sleeps.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from functools import cache, partial
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np
import threadpoolctl

from elunet._checks import integer
from elunet.kernels.waiting import say_and_wait

SMALL = 150_000  # elementary operations; a second worker for fewer costs more than it gains
PRODUCT = 12  # multiply-adds of a matrix product that take as long as one elementary operation

LOOK = 3_000  # looks at a number in memory that take about a microsecond
AWAKE = 0 if numba.config.DISABLE_JIT else 200 * LOOK  # how long a worker looks before it sleeps
FOREVER = 1 << 62
APART = 10 * LOOK  # between two threads' starts: who finds Python's lock taken loses more

Work = Callable[[int, int, int], None]
"""``work(start, stop, worker)`` does the items from start to stop."""


class _Worker:
    """A thread that does what it is given.

    `given` and `done` count. Who waits for the other's counter looks at it for a moment, and then
    sleeps until there is a token in the queue, which is put there before the counter moves.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.given, self.done = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self.start: SimpleQueue[tuple[Context, Callable[[], None]] | None] = SimpleQueue()
        self.end: SimpleQueue[None] = SimpleQueue()
        self.thread = threading.Thread(target=self._live, name=f"elunet_{number}", daemon=True)
        self.thread.start()

    def give(self, todo: tuple[Context, Callable[[], None]]) -> None:
        """Have something done; `wait` has to follow."""
        self.start.put(todo)
        self.given[0] += 1

    def wait(self) -> None:
        """Return when what was given last is done."""
        given = self.given[0]
        say_and_wait(self.given, given, self.done, given - 1, AWAKE, 0)
        self.end.get()
        say_and_wait(self.given, given, self.done, given - 1, FOREVER, 0)

    def dismiss(self) -> None:
        """Have the thread end after what it is at, and wait for that."""
        self.start.put(None)
        self.thread.join()

    def _live(self) -> None:
        _here.is_worker = True
        _set([(library, 1) for library in _blas()[0]])
        number = 0
        while True:
            # Its first kernel comes a little after the other threads', which hold Python's lock.
            say_and_wait(self.done, number, self.given, number, AWAKE, self.number * APART)
            todo = self.start.get()
            if todo is None:
                return
            context, function = todo
            context.run(function)
            del todo, context, function  # so that the memory of arrays in them can be lent again
            number += 1
            self.end.put(None)


class _Pool:
    """The worker threads, and what BLAS was set to before they took over."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads
        self.workers: list[_Worker] = []
        self.busy: Any = threading.RLock()  # held by the one thread that has the workers
        self.lock = threading.Lock()
        self.users: set[int] = set()  # threads that hold BLAS at one thread
        self.shared: list[tuple[Any, int]] = []


def _nobody() -> None:
    return None


class _Here(threading.local):
    """What is true of one Python thread."""

    # The outermost `single_threaded_blas`; weak, for one that an interrupt kept from leaving.
    holder: Callable[[], object] = staticmethod(_nobody)
    is_worker = False
    shares_out = False  # whether it has the workers


_pool = _Pool()
_here = _Here()


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def get_num_threads() -> int:
    """Return how many threads elunet computes with.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.get_num_threads() >= 1
    True
    """
    if _pool.threads is None:
        _pool.threads = _available_cores()
    return _pool.threads


def set_num_threads(threads: int) -> None:
    """Compute with this many threads from now on.

    The default is the number of cores that this process may use. Results are reproducible to the
    bit for one number of threads; between numbers they may differ in the last bits, because partial
    sums are added in another order.

    Parameters
    ----------
    threads : int
        At least 1.

    Raises
    ------
    TypeError, ValueError
        If `threads` is not an integer of at least 1.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.set_num_threads(1)
    >>> eln.get_num_threads()
    1
    """
    threads = integer("set_num_threads", "threads", threads)
    with _pool.busy:  # until the workers have finished what they are at
        _pool.threads = threads
        workers, _pool.workers = _pool.workers, []
    for worker in workers:
        worker.dismiss()


class single_threaded_blas:  # noqa: N801 - reads as a word: with single_threaded_blas()
    """Hold BLAS at one thread per caller inside a block; the last one to leave restores it."""

    outermost = False

    def __enter__(self) -> None:
        if _here.holder() is None:
            self.own = _hold()
            _here.holder = weakref.ref(self)
            self.outermost = True

    def __exit__(self, *error: object) -> None:
        if self.outermost:
            _here.holder = _nobody
            _release(self.own)


def _hold() -> list[tuple[Any, int]]:
    """Set BLAS to one thread; return what to restore in this Python thread."""
    private, shared = _blas()
    with _pool.lock:
        if not _pool.users:
            _pool.shared = [(library, library.get_num_threads()) for library in shared]
        _pool.users.add(threading.get_ident())
        _set([(library, 1) for library in shared])
    own = [(library, library.get_num_threads()) for library in private]
    _set([(library, 1) for library in private])
    return own


def _release(own: Sequence[tuple[Any, int]]) -> None:
    _set(own)
    with _pool.lock:
        _pool.users.discard(threading.get_ident())
        if not _pool.users:
            _set(_pool.shared)


def _set(limits: Sequence[tuple[Any, int]]) -> None:
    for library, threads in limits:
        library.set_num_threads(threads)


class _OpenBlas:
    """OpenBLAS's own two functions.

    Through threadpoolctl they take ten times as long, and since its version 3.8 it obeys only the
    first thread that sets a limit; here a lock decides.
    """

    def __init__(self, library: Any) -> None:
        def function(verb: str) -> Any:
            names = (f"{start}openblas_{verb}_num_threads{end}" for start, end in AFFIXES)
            return next(filter(None, (getattr(library.dynlib, name, None) for name in names)))

        self.get_num_threads, self.set_num_threads = function("get"), function("set")


AFFIXES = [(start, end) for start in ("scipy_", "") for end in ("64_", "", "_64")]


@cache
def _blas() -> tuple[list[Any], list[Any]]:
    """Return BLAS libraries whose limit is each thread's own, and those with one for all.

    Looked up once: finding the loaded libraries takes a while.
    """
    libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
    private: list[Any] = []
    shared: list[Any] = []
    for library in libraries:
        layer = getattr(library, "threading_layer", "")
        if library.internal_api == "mkl" or layer == "openmp":
            private.append(library)
        else:
            shared.append(_OpenBlas(library) if library.internal_api == "openblas" else library)
    return private, shared


def workers_for(count: int, cost: float = math.inf, threads: int | None = None) -> int:
    """Return how many workers share so many items, which take so many elementary operations."""
    threads = get_num_threads() if threads is None else threads
    return 1 if cost < SMALL else max(1, min(threads, count))


def run(work: Work, count: int, workers: int, block: int = 0, cost: float = math.inf) -> None:
    """Call ``work(start, stop, worker)`` until the range of `count` items is covered.

    Each worker takes one contiguous share, in blocks of at most `block` items (0: all at once),
    always the same items for the same arguments, so sums kept per worker are reproducible.

    Where all is less than SMALL elementary operations, or the threads are at somebody else's work,
    this thread does the shares itself, one by one. An elementary operation is to read, compute and
    write one number; in a matrix product `PRODUCT` multiply-adds count as one.
    """

    def share(worker: int) -> None:
        first, end = count * worker // workers, count * (worker + 1) // workers
        step = block or end - first
        while first < end:
            last = min(first + step, end)
            work(first, last, worker)
            first = last

    # A worker that waited for workers could wait forever.
    alone = workers == 1 or cost < SMALL or _here.is_worker or _here.shares_out
    pool = _pool
    with single_threaded_blas():
        if not alone and get_num_threads() > 1:
            try:
                if pool.busy.acquire(blocking=False):
                    _here.shares_out = True
                    _share_out(pool, share, workers)
                    return
            finally:
                _here.shares_out = False
                while pool.busy._is_owned():  # an interrupt may come at any line
                    pool.busy.release()
        for worker in range(workers):
            share(worker)


def _share_out(pool: _Pool, share: Callable[[int], None], workers: int) -> None:
    """Do the shares with the pool's threads and this one."""
    threads = min(get_num_threads(), workers)
    staff, pool.workers = pool.workers, []  # an interrupt leaves them behind: they are dismissed
    errors: list[BaseException | None] = [None] * workers

    def some(first: int) -> None:
        for worker in range(first, workers, threads):
            try:
                share(worker)
            except BaseException as error:
                errors[worker] = error

    try:
        while len(staff) < threads - 1:
            staff.append(_Worker(len(staff) + 1))
        others = staff[: threads - 1]
        for other in others:
            other.give((copy_context(), partial(some, other.number)))
        some(0)
        for other in others:  # nobody may return while a worker still writes
            other.wait()
    except BaseException:
        for other in staff:
            other.dismiss()
        raise
    pool.workers = staff
    try:
        for error in errors:
            if error is not None:
                raise error
    finally:
        errors.clear()  # or error and list would keep each other, and all arrays of the pass


def _after_fork() -> None:
    """In a forked child: forget the parent's threads, which the child does not have."""
    global _pool, _here
    parent, _pool, _here = _pool, _Pool(_pool.threads), _Here()
    if parent.users:
        _set(parent.shared)


if hasattr(os, "register_at_fork"):  # the lock: nobody forks while another changes BLAS's limit
    os.register_at_fork(
        before=lambda: _pool.lock.acquire(),
        after_in_parent=lambda: _pool.lock.release(),
        after_in_child=_after_fork,
    )
