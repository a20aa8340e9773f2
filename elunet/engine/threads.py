"""Threads: each worker takes a part of the batch through one layer, or several.

The workers are Python threads. They run in parallel because kernels and BLAS both release
the interpreter lock. While they run, BLAS itself keeps to one thread per worker, so no second
pool competes for the cores; afterwards it has its own threads back. No worker starts before the
first large enough layer runs, and a forked child starts its own.

Between two layers a worker stays awake for a moment (`AWAKE`), since waking it takes as long as a
small layer; after that it sleeps.

Ctrl-C raises an error in the main thread, and a signal's handler may run anything there: after any
call, at a function's first line, when a loop repeats. All that has to be put back is therefore
put back in a ``finally`` by operations that are not calls, and one call into compiled code. So,
too, a worker is started by one call: `threading.Thread.start` is many, and an error between two of
them leaves the thread half started.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
import weakref
from _thread import start_new_thread
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from functools import cache, partial
from queue import SimpleQueue
from typing import Any

import numpy as np

from elunet._checks import integer
from elunet._types import Array
from elunet.engine.cores import available_cores
from elunet.kernels._jit import COMPILED, compiler_lock
from elunet.kernels.limits import hold, let_go
from elunet.kernels.waiting import say_and_wait, wait_for_all

SMALL = 150_000  # elementary operations; a second worker for fewer costs more than it gains
PRODUCT = 12  # multiply-adds of a matrix product that take as long as one elementary operation

LOOK = 3_000  # looks at a number in memory that take about a microsecond
AWAKE = 200 * LOOK if COMPILED else 0  # how long a worker looks before it sleeps
FOREVER = 1 << 62
MOST = 1024  # threads that anyone may ask for
APART = 10 * LOOK  # between two threads' starts: who finds Python's lock taken loses more
LINE = 8  # int64 numbers of a line of the cache

Work = Callable[[int, int, int], None]
"""``work(start, stop, worker)`` does the items from start to stop."""

_Start = SimpleQueue[Any]


class _Worker:
    """A thread that does what it is given.

    `given` and `done` count. Who waits for the other's counter looks at it for a moment, and then
    sleeps until there is a token in the queue, which is put there before the counter moves. When
    nobody has the worker any more, Python puts a token into its queue, and the thread ends.
    """

    def __init__(self, number: int, given: Array, done: Array, start: _Start) -> None:
        self.number, self.given, self.done, self.start = number, given, done, start
        self.end: SimpleQueue[None] = SimpleQueue()
        gone: Any = weakref.ref(self, start.put)
        start_new_thread(_live, (number, given, done, start, self.end, gone))

    def give(self, todo: tuple[Context, Callable[[], None]]) -> None:
        """Give the worker a task; `wait` has to follow."""
        self.given[0] += 1  # first: if an interrupt comes, it comes after both
        self.start.put(todo)

    def wait(self) -> None:
        """Wait until the last task is done."""
        given = self.given[0]
        say_and_wait(self.given, given, self.done, given - 1, AWAKE, 0)
        self.end.get()
        say_and_wait(self.given, given, self.done, given - 1, FOREVER, 0)


def _live(
    number: int, given: Array, done: Array, start: _Start, end: SimpleQueue[None], gone: object
) -> None:
    """Be a worker; `gone` is what its end is told by, and has to last as long as it."""
    _here.is_worker = True
    for library in _libraries().private:
        library.set_num_threads(1)
    count = 0
    while True:
        # Its first kernel comes a little after the other threads', which hold Python's lock.
        say_and_wait(done, count, given, count, AWAKE, number * APART)
        todo = start.get()
        if not isinstance(todo, tuple):
            return
        context, function = todo
        context.run(function)
        del todo, context, function  # so that the memory of arrays in them can be reused
        count += 1
        end.put(None)


class _Team:
    """Workers that divide work among them."""

    forked = False  # whether the threads are another process's

    def __init__(self, size: int) -> None:
        self.given, self.done = np.zeros((size, LINE), np.int64), np.zeros((size, LINE), np.int64)
        wait_for_all(self.given, self.done)  # compiled now, since an interrupt has no time for it
        self.starts: list[_Start] = [SimpleQueue() for _ in range(size)]
        self.workers: list[_Worker] = []
        try:
            for k, start in enumerate(self.starts):
                self.workers.append(_Worker(k + 1, self.given[k], self.done[k], start))
        except BaseException:
            self.dismiss()
            raise

    def dismiss(self) -> None:
        """Have the threads end."""
        for start in self.starts:
            start.put(None)


class _Pool:
    """The workers, and who has them.

    Attributes
    ----------
    threads : int or None
        With how many to compute; None before somebody asked.
    asked : bool
        Whether somebody said how many.
    team : _Team or None
    user : dict of {0: object}
        Who has the team, if somebody has: a dict, so that one operation asks and takes.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads
        self.asked = False
        self.team: _Team | None = None
        self.user: dict[int, object] = {}


class Hold:
    """One thread's request about BLAS's number of threads.

    Attributes
    ----------
    mine : int64 array of shape (1,)
        Whether it has said that it should be one.
    set, restore : callable
        Say it, and take it back; both do nothing if it is so. Calls into compiled code, as a rule.
    """

    def __init__(self) -> None:
        blas = _libraries()
        self.mine = np.zeros(1, np.int64)
        self.own: list[tuple[Any, int]] = []
        self.set: Callable[[], None]
        self.restore: Callable[[], None]
        self.set, self.restore = (
            partial(function, self.mine, _users, blas.functions, blas.before)
            for function in (hold, let_go)
        )
        self.restore()  # compiled now
        if blas.private or blas.shared:
            self.compiled = self.set, self.restore
            self.set, self.restore = self._set, self._restore

    def _set(self) -> None:
        """Set those libraries, too, that are set through Python."""
        blas = _libraries()
        with _lock:
            if not _users[0]:
                blas.shared_before = [library.get_num_threads() for library in blas.shared]
            self.own = [(library, library.get_num_threads()) for library in blas.private]
            self.compiled[0]()
            for library in (*blas.shared, *blas.private):
                library.set_num_threads(1)

    def _restore(self) -> None:
        blas = _libraries()
        with _lock:
            self.compiled[1]()
            for library, threads in self.own:
                library.set_num_threads(threads)
            if not _users[0]:
                for library, threads in zip(blas.shared, blas.shared_before, strict=False):
                    library.set_num_threads(threads)


class _Here(threading.local):
    """The state of one Python thread."""

    blas: Hold | None = None
    is_worker = False
    shares_out = False  # whether it has the workers


_pool = _Pool()
_here = _Here()
_users = np.zeros(1, np.int64)  # how many threads hold BLAS at one thread
_lock = threading.RLock()  # for libraries that are set through Python


def blas_limit() -> Hold:
    """Return what this thread sets BLAS by."""
    if _here.blas is None:
        _here.blas = Hold()
    return _here.blas


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Hold BLAS at one thread while the block runs, if elunet computes with one.

    Layers do that by themselves. But a rule may have matrix products of its own, and BLAS's threads
    slow each other down where other processes use the cores.
    """
    blas = blas_limit()
    first = get_num_threads() == 1 and not blas.mine[0]
    try:
        if first:
            blas.set()
        yield
    finally:
        if first:
            blas.restore()


def get_num_threads() -> int:
    """Return how many threads elunet computes with.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.get_num_threads() >= 1
    True
    """
    if _pool.threads is None:
        _pool.threads = available_cores()
    return _pool.threads


def asked_threads() -> int | None:
    """Return the number of threads that was set explicitly; None if it was not set."""
    return _pool.threads if _pool.asked else None


def set_num_threads(threads: int) -> None:
    """Compute with this many threads from now on.

    The default is the number of cores that this process may use: of those that are there, as many
    as the system's scheduler and a container's quota leave it. Results are the same, bit for bit,
    for one number of threads. Between numbers they may differ in the last bits, because partial
    sums are added in another order. What NumPy computes in `Trainer.fit` and `compare` (in rules,
    losses and callbacks) has one thread if this number is 1 when they begin, and else as many as
    BLAS has.

    Parameters
    ----------
    threads : int
        At least 1, and at most 1,024: each is a thread of the system.

    Raises
    ------
    TypeError, ValueError
        If `threads` is not such an integer.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.set_num_threads(1)
    >>> eln.get_num_threads()
    1
    """
    threads = integer("set_num_threads", "threads", threads)
    if threads > MOST:
        raise ValueError(f"set_num_threads: expected threads of at most {MOST}, got {threads}")
    _pool.threads, _pool.asked = threads, True
    _pool.team = None  # its threads end when they are no longer used


AFFIXES = [(start, end) for start in ("scipy_", "") for end in ("64_", "", "_64")]


def _address(library: Any, verb: str) -> int:
    """Return where one of OpenBLAS's own two functions is.

    Through threadpoolctl they take ten times as long, and since its version 3.8 it obeys only the
    first thread that sets a limit.
    """
    names = (f"{start}openblas_{verb}_num_threads{end}" for start, end in AFFIXES)
    function = next(filter(None, (getattr(library.dynlib, name, None) for name in names)))
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


class _Libraries:
    """The BLAS libraries of this process.

    Attributes
    ----------
    functions, before : int64 arrays of shapes (L, 2) and (L,)
        Of OpenBLAS, see `elunet.kernels.limits.hold`.
    private, shared : list
        Others, whose limit is each thread's own, and those with one for all.
    """

    def __init__(self) -> None:
        found: list[Any] = []
        if sys.platform != "emscripten":  # in a browser BLAS has one thread
            import threadpoolctl

            found = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
        self.private: list[Any] = []
        self.shared: list[Any] = []
        functions = []
        for library in found:
            layer = getattr(library, "threading_layer", "")
            if library.internal_api == "mkl" or layer == "openmp":
                self.private.append(library)
            elif library.internal_api == "openblas":
                functions.append([_address(library, "get"), _address(library, "set")])
            else:
                self.shared.append(library)
        self.functions = np.array(functions, np.int64).reshape(-1, 2)
        self.before = np.ones(len(functions), np.int64)
        self.shared_before: list[int] = []


@cache
def _libraries() -> _Libraries:
    """Look the libraries up, once: that takes a while."""
    return _Libraries()


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
    pool, me, blas = _pool, object(), blas_limit()
    first = not blas.mine[0]
    try:
        if first:
            blas.set()
        if not alone and get_num_threads() > 1 and pool.user.setdefault(0, me) is me:
            _here.shares_out = True
            team = _team_of(pool)
            if team is not None:
                _share_out(team, share, workers)
                return
        for worker in range(workers):
            share(worker)
    finally:
        if 0 in pool.user and pool.user[0] is me:
            del pool.user[0]
            _here.shares_out = False
        if first:
            blas.restore()


def _team_of(pool: _Pool) -> _Team | None:
    """Return workers; None where no thread can start, as at the interpreter's end."""
    team, size = pool.team, get_num_threads() - 1
    if sys.is_finalizing():
        return None
    if team is None or len(team.workers) != size:
        try:
            team = pool.team = _Team(size)
        except RuntimeError as error:
            if "new thread" not in str(error):
                raise  # of a signal's handler
            return None
    return team


def _share_out(team: _Team, share: Callable[[int], None], workers: int) -> None:
    """Do the shares with a team and this thread."""
    others = team.workers[: workers - 1]
    errors: list[BaseException | None] = [None] * workers
    threads, over = len(others) + 1, False

    def some(first: int) -> None:
        for worker in range(first, workers, threads):
            try:
                share(worker)
            except BaseException as error:
                errors[worker] = error

    try:
        for other in others:
            other.give((copy_context(), partial(some, other.number)))
        some(0)
        for other in others:
            other.wait()
        over = True
    finally:
        if not over:  # an interrupt; nobody may return while a worker still writes
            _pool.team = None  # since some tokens are left in the queues
            wait_for_all(team.given, team.done)
            team.dismiss()
    try:
        if team.forked:
            raise RuntimeError(
                "elunet: expected a fork between two passes, got a fork during a pass; in"
                " the child, the other threads' part of the work is missing"
            )
        for error in errors:
            if error is not None:
                raise error
    finally:
        errors.clear()  # or error and list would keep each other, and all arrays of the pass


def _before_fork() -> None:
    """Prevent a fork while another thread compiles: in the child it would never end."""
    if compiler_lock is not None:
        compiler_lock.acquire()


def _after_fork_here() -> None:
    """In the parent: let others compile again."""
    if compiler_lock is not None and compiler_lock.is_locked():  # not if an interrupt came instead
        compiler_lock.release()


def _after_fork() -> None:
    """In a forked child: forget the parent's threads, which the child does not have."""
    global _pool
    _after_fork_here()
    team, _pool = _pool.team, _Pool(_pool.threads)
    _here.shares_out = False
    if team is not None:  # so that this thread does not wait for it forever
        team.forked = True
        team.done[...] = FOREVER
        for worker in team.workers:
            worker.end.put(None)
    if _users[0]:
        blas = blas_limit()
        only = not blas.mine[0]  # those others that had set BLAS to one thread
        blas.mine[0] = _users[0] = 1
        if only:
            blas.restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_here, after_in_child=_after_fork
    )
