"""Memory that a network uses again, but never while an array still refers to it.

A fresh 80 MB array costs more than the kernel that fills it: the system has to hand out its pages
one by one. So a network keeps its memory and lends it out again, part by part, and it knows when it
may: each part is an object of its own, to which the array that lies there refers. When the array
and all its views are gone, whether a layer, a router or a notebook held them, Python says so.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import weakref
from bisect import insort
from collections import deque

import numpy as np
import numpy.typing as npt

from elunet._types import Array, Shape

SMALL = 1 << 16  # bytes; below this, NumPy's own allocator is faster
LEAVING = 1 << 22  # bytes; below this, what leaves the network has memory of its own
ALIGNMENT = 64  # bytes; a cache line, and the widest vector register
AHEAD = 4  # a new piece is larger than asked for; pages that nobody touches cost nothing


class _Part(weakref.ref[Array]):
    """Where an array lies that was lent; Python calls it back when the array is gone."""

    __slots__ = ("piece", "start", "stop")

    piece: _Piece
    start: int
    stop: int

    __hash__ = object.__hash__  # a weakref's own are those of the array, which has none
    __eq__ = object.__eq__


class _Piece:
    """A piece of memory: some of it lent, the rest in gaps (start, stop), in order.

    The gaps are changed in one assignment each, so an interrupt finds the old ones or the new.
    """

    def __init__(self, size: int) -> None:
        memory = np.empty(size + ALIGNMENT, np.uint8)
        first = -memory.ctypes.data % ALIGNMENT
        self.memory = memory.data  # no array, or NumPy would take it for the owner of all parts
        self.gaps = [(first, first + size)]

    def find(self, size: int) -> int | None:
        """Return which is the first gap of this size."""
        for index, (start, stop) in enumerate(self.gaps):
            if size <= stop - start:
                return index
        return None

    def take(self, index: int, size: int) -> None:
        """Let a gap begin that much later."""
        start, stop = self.gaps[index]
        self.gaps[index : index + 1] = [(start + size, stop)] if size < stop - start else []

    def give_back(self, start: int, stop: int) -> None:
        """Make a gap again, one with its neighbors, unless it is one already."""
        joined: list[tuple[int, int]] = []
        gaps = self.gaps.copy()
        insort(gaps, (start, stop))
        for gap in gaps:
            if joined and joined[-1][1] >= gap[0]:
                first, last = joined.pop()
                gap = (first, max(last, gap[1]))
            joined.append(gap)
        self.gaps = joined


class Workspace:
    """A workspace: each part of its memory belongs to one array (and its views) at a time.

    Not for two threads at once: each network has its own, and one thread at a time runs it. An
    interrupt may come between any two lines, and a signal's handler may ask for memory meanwhile.
    """

    def __init__(self) -> None:
        self.forget()
        _all.add(weakref.ref(self, _all.discard))

    def forget(self) -> None:
        """Lend no existing memory again; arrays that use it keep it."""
        self._pieces: list[_Piece] = []
        self._lent: set[_Part] = set()
        # What came back, by whichever thread held a part last. Python calls `append` itself: code
        # of ours could be interrupted there, and nobody would ever see the interrupt.
        self._returned: deque[_Part] = deque()
        self._busy = False

    def empty(self, shape: Shape, dtype: npt.DTypeLike, least: int = SMALL) -> Array:
        """Lend an uninitialized array; its memory comes back when the last view of it is gone.

        What is smaller than `least` bytes is an ordinary array.
        """
        dtype = np.dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < least or self._busy:
            return np.empty(shape, dtype)
        self._busy = True
        try:
            self._collect()
            size = -(-nbytes // ALIGNMENT) * ALIGNMENT
            piece, index = self._find(size)
            start = piece.gaps[index][0]
            array = np.frombuffer(piece.memory, np.uint8, nbytes, start)
            part = _Part(array, self._returned.append)
            part.piece, part.start, part.stop = piece, start, start + size
            self._lent.add(part)  # from here on it comes back by itself
            piece.take(index, size)
            return np.ndarray(shape, dtype, buffer=array.data)
        finally:
            self._busy = False

    @property
    def nbytes(self) -> int:
        """Bytes that are lent."""
        return sum(part.stop - part.start for part in list(self._lent) if part() is not None)

    @property
    def reserved(self) -> int:
        """Bytes that were asked of the system, touched or not."""
        return sum(piece.memory.nbytes for piece in self._pieces)

    def _find(self, size: int) -> tuple[_Piece, int]:
        """Return a piece, and which of its gaps is large enough."""
        for piece in self._pieces:
            index = piece.find(size)
            if index is not None:
                return piece, index
        try:
            self._pieces.append(_Piece(AHEAD * size))
        except MemoryError:
            self._pieces.append(_Piece(size))
        return self._pieces[-1], 0

    def _collect(self) -> None:
        while self._returned:
            part = self._returned[0]
            if part in self._lent:
                part.piece.give_back(part.start, part.stop)
                self._lent.discard(part)
            self._returned.popleft()

    def __deepcopy__(self, memo: object) -> Workspace:
        return Workspace()

    def __reduce__(self) -> tuple[type[Workspace], tuple[()]]:
        return Workspace, ()


class _Current(threading.local):
    """What `empty` draws on in this thread.

    Attributes
    ----------
    workspace : Workspace or None
        The running network's.
    least : int
        How large an array is at least that lies there.
    """

    workspace: Workspace | None = None
    least = SMALL
    scratch: Array | None = None


current = _Current()


def empty(shape: Shape, dtype: npt.DTypeLike) -> Array:
    """Return an uninitialized array, from the running network's workspace if there is one."""
    workspace = current.workspace
    if workspace is None:
        return np.empty(shape, dtype)
    return workspace.empty(shape, dtype, current.least)


def scratch(shape: Shape, dtype: npt.DTypeLike) -> Array:
    """Return an uninitialized array, of memory that this thread has again when it is gone.

    For what is written and read within one span of a batch, such as the columns of im2col.
    """
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    there = current.scratch
    # Held by `current`, by `there` and for the call, unless a signal's handler computes, too.
    if there is None or there.nbytes < nbytes or sys.getrefcount(there) > 3:
        there = current.scratch = np.empty(nbytes, np.uint8)
    return np.ndarray(shape, dtype, buffer=there.data)


_all: set[weakref.ref[Workspace]] = set()


def _after_fork() -> None:
    """In a forked child: lend nothing that another thread, which is not here, was about to lend."""
    for reference in list(_all):
        workspace = reference()
        if workspace is not None:
            workspace.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
