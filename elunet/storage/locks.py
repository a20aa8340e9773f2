"""Locks on folders and files, so that two processes do not write into one at once.

They are the operating system's own: it releases them when a process ends, however it ends. A lock
file that a killed process left behind therefore does not block anything. On Windows, and on file
systems that have no such locks, nothing is locked.
"""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LOCK = ".lock"


try:
    _fcntl: Any = importlib.import_module("fcntl")
except ImportError:  # Windows
    _fcntl = None
if not hasattr(_fcntl, "flock"):  # a browser's has no locks
    _fcntl = None


def take(descriptor: int) -> bool:
    """Lock an open file until it is closed; return False if another opening of it is locked."""
    if _fcntl is None:
        return True
    try:
        _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True


@contextmanager
def taken(file: Path) -> Iterator[None]:
    """Hold the lock of a file, if there are locks and it is free."""
    if _fcntl is None:  # an open file could not be renamed there
        yield
        return
    descriptor = os.open(file, os.O_RDONLY)
    try:
        take(descriptor)
        yield
    finally:
        os.close(descriptor)


class Lock:
    """A lock on a folder, in a file in it that names its holder and goes with it.

    Parameters
    ----------
    folder : Path
        It has to exist when the lock is acquired.

    Examples
    --------
    >>> from pathlib import Path
    >>> lock = Lock(Path("."))
    >>> lock.acquire()
    >>> Path(".lock").read_text().startswith("process ")
    True
    >>> lock.release()
    >>> Path(".lock").exists()
    False
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptor: int | None = None

    def __reduce__(self) -> tuple[type[Lock], tuple[Path]]:
        return type(self), (self.folder,)  # a copy holds nothing

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock.

        Raises
        ------
        BlockingIOError
            If another process holds it; the message names the process.
        OSError
            If the folder cannot be written to.
        """
        file = self.folder / LOCK
        while True:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
            if not take(descriptor):
                holder = os.read(descriptor, 300).decode(errors="replace").strip()
                os.close(descriptor)
                raise BlockingIOError(
                    f"expected {self.folder} to be free, got {holder or 'another process'} using it"
                )
            if _is_at(descriptor, file):
                break
            os.close(descriptor)  # its holder removed it in between
        import socket  # here: `import elunet` need not wait for it

        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        self._descriptor = descriptor
        _HELD.add(self)

    def release(self) -> None:
        """Release the lock, if it is held, and remove its file."""
        descriptor, self._descriptor = self._descriptor, None
        _HELD.discard(self)
        if descriptor is None:
            return
        with suppress(OSError):
            if _is_at(descriptor, self.folder / LOCK):
                (self.folder / LOCK).unlink()
        os.close(descriptor)

    def _forget(self) -> None:
        """Close the file in a forked child: the lock belongs to the parent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


_HELD: set[Lock] = set()


def _in_child() -> None:
    while _HELD:
        _HELD.pop()._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder's lock.

    Raises
    ------
    BlockingIOError, OSError
        As `Lock.acquire`.
    """
    lock = Lock(folder)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _is_at(descriptor: int, file: Path) -> bool:
    """Whether an open file still has its name."""
    try:
        there = os.stat(file)
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
