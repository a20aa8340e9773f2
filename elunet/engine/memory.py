"""Memory that a running network uses again, and never under anybody's feet.

A fresh 80 MB array costs more than the kernel that fills it: the system has to hand out its pages
one by one. So a network keeps its memory and lends it out again, part by part, and it knows when it
may: each part is an object of its own, to which the array that lies there refers. When the array
and all its views are gone, whether a layer, a router or a notebook held them, Python says so.
"""

from __future__ import annotations

import math
import threading
import weakref
from bisect import insort
from collections import deque

import numpy as np
import numpy.typing as npt

from elunet._types import Array, Shape

SMALL = 1 << 16  # bytes; below this, NumPy's own allocator is faster
ALIGNMENT = 64  # bytes; a cache line, and the widest vector register
AHEAD = 4  # a new piece is larger than asked for; pages that nobody touches cost nothing


class _Piece:
    """A piece of memory: some of it lent, the rest in gaps (start, stop), in order."""

    def __init__(self, size: int) -> None:
        memory = np.empty(size + ALIGNMENT, np.uint8)
        first = -memory.ctypes.data % ALIGNMENT
        self.memory = memory.data  # no array, or NumPy would take it for the owner of all parts
        self.size, self.gaps = size, [(first, first + size)]

    @property
    def lent(self) -> int:
        """Bytes that are not in a gap."""
        return self.size - sum(stop - start for start, stop in self.gaps)

    def take(self, size: int) -> int | None:
        """Return where the first gap of this size was, and is no more."""
        for index, (start, stop) in enumerate(self.gaps):
            if size <= stop - start:
                self.gaps[index : index + 1] = [(start + size, stop)] if size < stop - start else []
                return start
        return None

    def give_back(self, start: int, stop: int) -> None:
        """Make a gap again, one with its neighbors."""
        insort(self.gaps, (start, stop))
        joined: list[tuple[int, int]] = []
        for gap in self.gaps:
            if joined and joined[-1][1] == gap[0]:
                gap = (joined.pop()[0], gap[1])
            joined.append(gap)
        self.gaps = joined


class Workspace:
    """Memory whose parts are each lent to one array (and the views into it) at a time.

    Not for two threads at once: each network has its own, and holds it while it runs.
    """

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        # What came back, (piece, start, stop), by whichever thread held a part last.
        self._returned: deque[tuple[_Piece, int, int]] = deque()
        self._lock = threading.RLock()

    def empty(self, shape: Shape, dtype: npt.DTypeLike) -> Array:
        """Lend an uninitialized array; its memory comes back when the last view of it is gone."""
        dtype = np.dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < SMALL:
            return np.empty(shape, dtype)
        self._collect()
        size = -(-nbytes // ALIGNMENT) * ALIGNMENT
        piece, start = self._take(size)
        part = np.frombuffer(piece.memory, np.uint8, nbytes, start)
        gone = weakref.finalize(part, self._returned.append, (piece, start, start + size))
        gone.atexit = False
        return np.ndarray(shape, dtype, buffer=part.data)

    @property
    def nbytes(self) -> int:
        """Bytes that are lent."""
        with self._lock:
            self._collect()
            return sum(piece.lent for piece in self._pieces)

    @property
    def reserved(self) -> int:
        """Bytes that were asked of the system, touched or not."""
        return sum(piece.memory.nbytes for piece in self._pieces)

    def _take(self, size: int) -> tuple[_Piece, int]:
        for piece in self._pieces:
            start = piece.take(size)
            if start is not None:
                return piece, start
        try:
            self._pieces.append(_Piece(AHEAD * size))
        except MemoryError:
            self._pieces.append(_Piece(size))
        return self._take(size)

    def _collect(self) -> None:
        while self._returned:
            piece, start, stop = self._returned.popleft()
            piece.give_back(start, stop)

    def take(self) -> bool:
        """Keep other threads out; False, at once, if another one is in here already."""
        return self._lock.acquire(blocking=False)

    def leave(self) -> None:
        """Let other threads in, as often as it was taken."""
        self._lock.release()

    def __deepcopy__(self, memo: object) -> Workspace:
        return Workspace()

    def __reduce__(self) -> tuple[type[Workspace], tuple[()]]:
        return Workspace, ()


class _Current(threading.local):
    workspace: Workspace | None = None
    scratch: Array | None = None


_current = _Current()


class using:  # noqa: N801 - reads as a word: with using(workspace)
    """Let `empty` draw on a workspace inside the block, in this thread."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.before = workspace, _current.workspace

    def __enter__(self) -> None:
        _current.workspace = self.workspace

    def __exit__(self, *error: object) -> None:
        _current.workspace = self.before


def empty(shape: Shape, dtype: npt.DTypeLike) -> Array:
    """Return an uninitialized array, from the running network's workspace if there is one."""
    workspace = _current.workspace
    return np.empty(shape, dtype) if workspace is None else workspace.empty(shape, dtype)


def scratch(shape: Shape, dtype: npt.DTypeLike) -> Array:
    """Return an uninitialized array that lasts until this thread calls `scratch` again.

    For what is written and read within one span of a batch, such as the columns of im2col.
    """
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    if _current.scratch is None or _current.scratch.nbytes < nbytes:
        _current.scratch = np.empty(nbytes, np.uint8)
    return np.ndarray(shape, dtype, buffer=_current.scratch.data)
