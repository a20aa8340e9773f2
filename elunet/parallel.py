"""Two cores, one idea: each worker takes a share of the batch through one layer, or several.

The workers are plain Python threads. They truly run side by side because kernels and BLAS both let
go of the interpreter lock. While they run, BLAS itself keeps to one thread per worker, so no second
pool competes for the cores; afterwards it has its own threads back. No worker starts before the
first large enough layer runs, and a forked child starts its own.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from typing import Any

import threadpoolctl

from elunet._checks import integer

SMALL = 1_000_000  # elementary operations; waking a worker for fewer costs more than it gains
PRODUCT = 12  # multiply-adds of a matrix product that take as long as one elementary operation

Work = Callable[[int, int, int], None]


class _Pool:
    """The worker threads, and what BLAS was set to before they took over."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads
        self.executor: ThreadPoolExecutor | None = None
        self.lock = threading.Lock()
        self.users = 0
        self.shared: list[tuple[Any, int]] = []


class _Here(threading.local):
    """What is true of one Python thread."""

    depth = 0  # how often it is inside `single_threaded_blas`
    is_worker = False


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
    with _pool.lock:
        _pool.threads = threads
        executor, _pool.executor = _pool.executor, None
    if executor is not None:
        executor.shutdown(wait=True)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS at one thread per caller; the last one to leave restores what was before."""
    _here.depth += 1
    own = _hold() if _here.depth == 1 else []
    try:
        yield
    finally:
        _here.depth -= 1
        if _here.depth == 0:
            _release(own)


def _hold() -> list[tuple[Any, int]]:
    """Set BLAS to one thread; return what to restore in this Python thread."""
    private, shared = _blas()
    with _pool.lock:
        if _pool.users == 0:
            _pool.shared = [(library, library.get_num_threads()) for library in shared]
            _set([(library, 1) for library in shared])
        _pool.users += 1
    own = [(library, library.get_num_threads()) for library in private]
    _set([(library, 1) for library in private])
    return own


def _release(own: list[tuple[Any, int]]) -> None:
    _set(own)
    with _pool.lock:
        _pool.users -= 1
        if _pool.users == 0:
            _set(_pool.shared)


def _set(limits: list[tuple[Any, int]]) -> None:
    for library, threads in limits:
        # threadpoolctl 3.8 obeys only the first thread that sets a limit; here the lock decides
        free = getattr(library, "clear_controlling_thread", lambda force: None)
        free(force=True)
        library.set_num_threads(threads)
        free(force=True)


@cache
def _blas() -> tuple[list[Any], list[Any]]:
    """Return BLAS libraries whose limit is each thread's own, and those with one for all.

    Looked up once: finding the loaded libraries takes a while.
    """
    libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
    private: list[Any] = []
    shared: list[Any] = []
    for library in libraries:
        own = library.internal_api == "mkl" or getattr(library, "threading_layer", "") == "openmp"
        (private if own else shared).append(library)
    return private, shared


def workers_for(count: int) -> int:
    """Return how many workers share so many items."""
    return max(1, min(get_num_threads(), count))


def run(work: Work, count: int, workers: int, block: int = 0, operations: float = math.inf) -> None:
    """Call ``work(start, stop, worker)`` until the range of `count` items is covered.

    Each worker takes one contiguous share, in blocks of at most `block` items (0: all at once),
    always the same items for the same arguments, so sums kept per worker are reproducible.

    To wake a worker takes some 60 microseconds; where all is less than SMALL `operations`, this
    thread does the shares itself, one by one. An elementary operation is to read, compute and write
    one number; in a matrix product `PRODUCT` multiply-adds count as one.
    """
    bounds = [count * worker // workers for worker in range(workers + 1)]

    def share(worker: int) -> None:
        start, end = bounds[worker], bounds[worker + 1]
        step = block or max(end - start, 1)
        with single_threaded_blas():  # where the limit is each thread's own, workers need it too
            for first in range(start, end, step):
                work(first, min(first + step, end), worker)

    with single_threaded_blas():
        # A worker that waited for workers could wait forever.
        if workers == 1 or _here.is_worker or operations < SMALL:
            for worker in range(workers):
                share(worker)
            return
        others = _submit(share, range(1, workers))
        try:
            share(0)
        finally:  # nobody may return while a worker still writes
            errors = [other.exception() for other in others]
        for error in errors:
            if error is not None:
                raise error


def _submit(share: Callable[[int], None], workers: Iterable[int]) -> list[Future[None]]:
    """Start the shares in the pool's threads; under the lock, lest the pool change in between."""
    with _pool.lock:
        if _pool.executor is None:
            threads = max(get_num_threads() - 1, 1)
            _pool.executor = ThreadPoolExecutor(threads, "elunet", initializer=_begin_worker)
        submit = _pool.executor.submit
        return [submit(copy_context().run, share, worker) for worker in workers]  # with np.errstate


def _begin_worker() -> None:
    _here.is_worker = True


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
