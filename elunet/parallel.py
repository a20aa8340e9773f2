"""Two cores, one idea: each worker takes a share of the batch through a whole layer.

The workers are plain Python threads. They truly run side by side because kernels and BLAS both let
go of the interpreter lock. While they run, BLAS itself keeps to one thread per worker, so no second
pool competes for the cores; afterwards it has its own threads back. No worker starts before the
first large enough layer runs, and a forked child starts its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import threadpoolctl

from elunet._types import Array

SMALL = 100_000  # elementary operations; below this, waking a worker costs more than it gains

Work = Callable[[int, int, int], None]


class _Pool:
    """The worker threads, and the limit on BLAS while somebody uses them."""

    def __init__(self) -> None:
        self.threads: int | None = None
        self.executor: ThreadPoolExecutor | None = None
        self.lock = threading.Lock()
        self.users = 0
        self.blas: Any = None
        self.limiter: Any = None


class _Here(threading.local):
    is_worker = False


_pool = _Pool()
_here = _Here()


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def get_num_threads() -> int:
    """Return how many threads elunet computes with."""
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
    """
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"set_num_threads: expected threads as an integer, got {threads!r}")
    if threads < 1:
        raise ValueError(f"set_num_threads: expected threads of at least 1, got {threads}")
    with _pool.lock:
        _pool.threads = threads
        executor, _pool.executor = _pool.executor, None
    if executor is not None:
        executor.shutdown(wait=True)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS at one thread per caller; the last one to leave restores what was before."""
    with _pool.lock:
        if _pool.users == 0:
            if _pool.blas is None:  # looked up once: finding the loaded libraries takes a while
                _pool.blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
            _pool.limiter = _pool.blas.limit(limits=1)
        _pool.users += 1
    try:
        yield
    finally:
        with _pool.lock:
            _pool.users -= 1
            if _pool.users == 0:
                _pool.limiter.restore_original_limits()


def workers_for(count: int, operations: float) -> int:
    """Return how many workers `run` gives to a job of this size."""
    return 1 if operations < SMALL else max(1, min(get_num_threads(), count))


def run(work: Work, count: int, workers: int, block: int = 0) -> None:
    """Call ``work(start, stop, worker)`` until the range of `count` items is covered.

    Each worker takes one contiguous share, in blocks of at most `block` items (0: all at once),
    always the same items for the same arguments, so sums kept per worker are reproducible.
    """
    bounds = [count * worker // workers for worker in range(workers + 1)]

    def share(worker: int) -> None:
        start, end = bounds[worker], bounds[worker + 1]
        step = block or max(end - start, 1)
        for first in range(start, end, step):
            work(first, min(first + step, end), worker)

    with single_threaded_blas():
        if workers == 1 or _here.is_worker:  # a worker that waited for workers could wait forever
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


def elementwise(kernel: Callable[..., None], *arrays: Array) -> None:
    """Call ``kernel(*spans)`` on matching spans of contiguous arrays of one size, flattened."""
    flat = [array.reshape(-1) for array in arrays]
    size = flat[0].size

    def work(start: int, stop: int, worker: int) -> None:
        kernel(*(array[start:stop] for array in flat))

    run(work, size, workers_for(size, size))


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
    global _pool
    threads, limiter = _pool.threads, _pool.limiter if _pool.users else None
    _pool = _Pool()
    _pool.threads = threads
    if limiter is not None:
        limiter.restore_original_limits()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
