"""The work of a comparison: which worker runs a trial, and where it is saved.

Who does the work is an executor: anything whose ``submit(function, *arguments)`` gives a future,
with ``done()`` and ``result()``. So processes of this machine, a dask cluster, MPI or Slurm all
serve, and none of them is made here. The parent alone decides and writes: it hands out keys, and
saves each finished trial at once, in an order that does not depend on speed. What all trials share
is sent once: the arrays as files that workers map into memory, all else as one piece of bytes.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import secrets
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from elunet._progress import duration, steps
from elunet._types import Array
from elunet.experiments.order import Order
from elunet.experiments.trials import TRIALS, Bench, Finished, Key, Splits, Trial
from elunet.storage import tables
from elunet.storage.files import sweep, write_atomically
from elunet.warmup import warmup

SHARED, SPLITS = "shared", ("train", "validation", "test")
PAUSE = 0.02  # seconds between two looks at the futures
TOKEN = 16  # bytes that make each recipe another one
LOST = 3  # times that a trial may lose its worker: after that it is the trial's own doing
EXTRA = "pip install 'elunet[grid]'"
# loky restarts a worker whose memory has grown by 300 MB. But the pages of the mapped data count as
# the worker's memory, and they are as many as the data need.
NO_LEAK = {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e18"}  # bytes


class Future(Protocol):
    """What `submit` returns: the promise of a result."""

    def done(self) -> bool:
        """Return whether there is a result or an error."""

    def result(self) -> Any:
        """Return the result, or raise the error."""


@runtime_checkable
class Executor(Protocol):
    """Something that runs functions: a `concurrent.futures` pool, a `dask.distributed.Client`."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run ``function(*arguments)`` in a worker; return a `Future`."""


def make(
    bench: Bench,
    data: Splits,
    order: Order,
    folder: Path,
    executor: Executor | None,
    log: Callable[[str], None] | None,
) -> None:
    """Run all trials that are left, and save each one as soon as it is finished.

    Raises
    ------
    RuntimeError
        If the executor has broken, or a trial has lost its worker three times.
    """
    if not order.ready():
        return
    began, saved, told = time.perf_counter(), 0, 0

    def save(finished: Finished) -> None:
        nonlocal saved
        for name, text in finished.files.items():
            write_atomically(folder / name, text.encode())
            sweep(folder / name)  # what a killed process left of it
        order.add(finished.trial)
        tables.write(folder / TRIALS, Trial, order.all_trials())
        saved += 1

    with steps(order.left, "trial", "compare", shown=log is None) as advance:

        def tell(finished: Finished) -> None:
            nonlocal told
            told += 1
            if log is not None:
                left = order.left + saved - told
                to_go = (time.perf_counter() - began) / told * left
                ahead = f", about {duration(to_go)} left" if left else ""
                log(f"{finished.trial}; {order.size - left} of {order.size}{ahead}")
            advance()

        if executor is None:
            while ready := order.ready():
                finished = bench.train(data, ready[0])
                save(finished)
                tell(finished)
        else:
            with sent(bench, data, folder) as recipe:
                for finished in _handed_out(order, recipe, executor, save):
                    tell(finished)


def _handed_out(
    order: Order, recipe: tuple[str, bytes], executor: Executor, save: Callable[[Finished], None]
) -> Iterator[Finished]:
    """Keep an executor busy until nothing is left; yield each trial after it was saved."""
    waiting: dict[Key, Any] = {}
    lost = Counter[Key]()
    try:
        while ready := order.ready():
            ready = [key for key in ready if key not in waiting]
            ready = ready[: getattr(executor, "free", None)]
            if ready:
                with getattr(executor, "batch", nullcontext)():  # a Slurm array
                    waiting |= {key: _submit(executor, recipe, key) for key in ready}
            outcomes = [_outcome(key, waiting.pop(key), lost) for key in _ended(waiting)]
            finished = [outcome for outcome in outcomes if isinstance(outcome, Finished)]
            for each in finished:  # all of them, before an error or the caller can stop this
                save(each)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
            yield from finished
    finally:
        for future in waiting.values():
            with suppress(Exception):
                future.cancel()


def _outcome(key: Key, future: Any, lost: Counter[Key]) -> Finished | BaseException | None:
    """Return a trial that has ended, or its error; None if its worker was lost."""
    try:
        outcome: Finished | BaseException = future.result()
    except Exception as error:  # not the trial's own: that is an outcome
        lost[key] += 1
        if lost[key] < LOST:
            return None
        told = RuntimeError(
            f"compare: expected a worker to finish {_name(key)}, got {lost[key]} workers that ended"
            f" before: {type(error).__name__}: {error}. The trial may need more memory than there"
            " is."
        )
        told.__cause__ = error
        return told
    return outcome


def _ended(waiting: Mapping[Key, Any]) -> list[Key]:
    """Wait until a trial has ended; return all that have.

    What can run next changes at no other time, and working that out on every look would take a part
    of a core, more with more trials.
    """
    while not (come := [key for key, future in waiting.items() if future.done()]):
        time.sleep(PAUSE)
    return come


def _submit(executor: Executor, recipe: tuple[str, bytes], key: Key) -> Any:
    try:
        return executor.submit(work, "train", *recipe, tuple(key))
    except (BrokenExecutor, RuntimeError) as error:
        raise RuntimeError(
            f"compare: expected the executor to accept a trial, got {type(error).__name__}:"
            f" {error}. The finished trials are saved; the same call with a new executor runs"
            " the rest"
        ) from error


def _name(key: Key) -> str:
    return f"{key.stage} {key.rule}, rate {key.rate:g}, seed {key.seed}"


@contextmanager
def sent(bench: Bench, data: Splits, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Give workers the folder of the arrays, and the bench as bytes: what all trials share.

    Both go when the block ends. numba's cache is filled before, so that not every worker compiles.
    """
    try:
        cloudpickle = importlib.import_module("cloudpickle")
    except ImportError as error:
        raise ImportError(
            f"compare: an executor needs cloudpickle, for functions of a script: {EXTRA}"
        ) from error
    warmup()
    place = folder.resolve() / SHARED
    place.mkdir(parents=True, exist_ok=True)
    try:
        for split, arrays in zip(SPLITS, data, strict=True):
            for name, array in zip("xy", arrays, strict=True):
                np.save(place / f"{split}-{name}.npy", array, allow_pickle=False)
        # A worker keeps what it has received. A folder may be made again, with other data.
        yield str(place), secrets.token_bytes(TOKEN) + cloudpickle.dumps(bench)
    finally:
        remove_shared(place.parent)


def remove_shared(folder: Path) -> None:
    """Remove the arrays for workers, also those that a killed process has left."""
    if (folder / SHARED).exists():
        import shutil  # it brings lzma along, which takes time and is not everywhere

        shutil.rmtree(folder / SHARED, ignore_errors=True)


def work(task: str, place: str, recipe: bytes, key: tuple[Any, ...]) -> Any:
    """Run a task of a bench in a worker; return its result, or the error that it ended with."""
    try:
        bench, data = _received(place, recipe)
        return getattr(bench, task)(data, Key(*key))
    except Exception as error:
        error.add_note(f"In a worker:\n{traceback.format_exc()}")
        return error


_latest: dict[str, tuple[Bench, Splits]] = {}


def _received(place: str, recipe: bytes) -> tuple[Bench, Splits]:
    """Return the bench and the data; the same ones for the same recipe."""
    digest = hashlib.sha256(place.encode() + recipe).hexdigest()
    found = _latest.get(digest)
    if found is None:
        train, validation, test = (
            (_mapped(place, split, "x"), _mapped(place, split, "y")) for split in SPLITS
        )
        bench = importlib.import_module("cloudpickle").loads(recipe[TOKEN:])
        found = bench, (train, validation, test)
        _latest.clear()
        _latest[digest] = found
    return found


def _mapped(place: str, split: str, name: str) -> Array:
    array: Array = np.load(f"{place}/{split}-{name}.npy", mmap_mode="r", allow_pickle=False)
    return array.view(np.ndarray)


def _leave_with(parent: int) -> None:
    """End this process when its parent has ended: a killed parent cannot do so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Workers:
    """Worker processes, each in its own pool, so that a crash loses one trial only.

    Parameters
    ----------
    count : int

    Attributes
    ----------
    free : int
        The number of idle workers.

    Raises
    ------
    ImportError
        If loky is not there.

    Examples
    --------
    >>> from elunet.experiments.grid import Workers
    >>> try:
    ...     with Workers(2) as workers:
    ...         print(workers.submit(abs, -3).result())
    ... except ImportError:
    ...     print(3)
    3
    """

    def __init__(self, count: int) -> None:
        try:
            self._loky = importlib.import_module("loky")
        except ImportError as error:
            raise ImportError(f"compare: several workers need loky: {EXTRA}") from error
        self._pools = [self._pool() for _ in range(count)]
        self._futures: list[Any] = [None] * count

    def _pool(self) -> Any:
        pool = self._loky.ProcessPoolExecutor(
            max_workers=1, initializer=_leave_with, initargs=(os.getpid(),), env=NO_LEAK
        )
        pool.submit(os.getpid)  # now, so that the process starts while this one prepares
        return pool

    @property
    def free(self) -> int:
        """The number of idle workers."""
        return sum(future is None or future.done() for future in self._futures)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in an idle worker; a worker that has died is replaced."""
        done = [future is None or future.done() for future in self._futures]
        place = done.index(True) if any(done) else 0
        future = self._futures[place]
        if future is not None and future.done() and isinstance(future.exception(), BrokenExecutor):
            self._pools[place] = self._pool()
        self._futures[place] = future = self._pools[place].submit(function, *arguments)
        return future

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        for pool in self._pools:
            pool.shutdown(wait=True, kill_workers=kind is not None)
