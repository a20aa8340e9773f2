"""Memory that a running network uses again, and never under anybody's feet.

A fresh 80 MB array costs more than the kernel that fills it: the system has to hand out its pages
one by one. So a network keeps its blocks of memory and lends them out again, and it knows when it
may: a block is free when nothing but the workspace refers to it. An array that is still held,
by a layer, a router or a notebook, is a reference, so its memory is never lent twice.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from elunet._types import Array, Shape

SMALL = 1 << 14  # bytes; below this, NumPy's own allocator has no page to fetch
ALIGNMENT = 64  # bytes; a cache line, and the widest vector register


def _holders(blocks: list[Array], index: int) -> int:
    """Count the references to a block, this look at it included."""
    return sys.getrefcount(blocks[index])


_IDLE = _holders([np.empty(0)], 0)  # what a block counts that only its list holds


class Workspace:
    """Blocks of memory, each lent to one array (and the views into it) at a time.

    Not for two threads at once: each network has its own, and holds it while it runs.
    """

    def __init__(self) -> None:
        self._blocks: list[Array] = []
        self._lock = threading.RLock()

    def empty(self, shape: Shape, dtype: npt.DTypeLike) -> Array:
        """Lend an uninitialized array; its memory comes back when the last view of it is gone."""
        dtype = np.dtype(dtype)
        needed = math.prod(shape) * dtype.itemsize
        if needed < SMALL:
            return np.empty(shape, dtype)
        block = self._idle(needed + ALIGNMENT)
        offset = -block.ctypes.data % ALIGNMENT
        return np.ndarray(shape, dtype, buffer=block.data, offset=offset)

    def _idle(self, size: int) -> Array:
        """Return the smallest free block that fits without wasting half of it, or a new one."""
        best = -1
        for index in range(len(self._blocks)):  # by index: a loop variable would be a holder too
            nbytes = self._blocks[index].nbytes
            better = best < 0 or nbytes < self._blocks[best].nbytes
            if size <= nbytes <= 2 * size and better and _holders(self._blocks, index) == _IDLE:
                best = index
        if best < 0:
            self._blocks.append(np.empty(size, np.uint8))
        return self._blocks[best]

    @property
    def nbytes(self) -> int:
        """Bytes held, lent or free."""
        return sum(block.nbytes for block in self._blocks)

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Keep other threads out; False, at once, if another one is in here already."""
        free = self._lock.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._lock.release()

    def __deepcopy__(self, memo: object) -> Workspace:
        return Workspace()

    def __reduce__(self) -> tuple[type[Workspace], tuple[()]]:
        return Workspace, ()


class _Current(threading.local):
    workspace: Workspace | None = None


_current = _Current()


@contextmanager
def using(workspace: Workspace) -> Iterator[None]:
    """Let `empty` draw on this workspace inside the block, in this thread."""
    before, _current.workspace = _current.workspace, workspace
    try:
        yield
    finally:
        _current.workspace = before


def empty(shape: Shape, dtype: npt.DTypeLike) -> Array:
    """Return an uninitialized array, from the running network's workspace if there is one."""
    workspace = _current.workspace
    return np.empty(shape, dtype) if workspace is None else workspace.empty(shape, dtype)
