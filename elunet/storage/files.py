"""Files that are complete or absent: written beside the target, read back, then put in place.

A process that is killed leaves at most a temporary file, ``.name.0123456789abcdef``; `sweep`
removes it.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from elunet.storage.locks import take, taken

READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
LONGEST = 200  # bytes of a name, of the 255 that file systems take


def write_atomically(
    file: str | os.PathLike[str], content: bytes, ready: Callable[[], None] = lambda: None
) -> None:
    """Write a file so that its name always stands for complete content.

    The new file has the permissions of any new file. A symbolic link stays; what it points to is
    written. `ready` is called when the new file is complete and has not yet replaced the old one.

    Raises
    ------
    OSError
        If the folder does not exist, the name is a folder's or a device's, or the file cannot be
        written or reads back differently. The old file stays, and no temporary one.
    """
    target = _pointed_to(file)
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"expected an existing folder to write {target.name} in, got {target.parent}"
        )
    new = _beside(target)
    mode = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    descriptor = os.open(new, mode, 0o666)  # mkstemp would let only the owner read it
    try:
        opened = os.fdopen(descriptor, "wb")
        with taken(new):  # until it has its name, nobody sweeps it up
            with opened as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            if new.read_bytes() != content:
                raise OSError(
                    f"{target}: expected to read back what was written, got different content"
                )
            ready()
            os.replace(new, target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # elsewhere a folder cannot be synced
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with suppress(OSError):  # some file systems refuse; the file itself is in place
                os.fsync(folder)
        finally:
            os.close(folder)


def read(owner: str, file: str | os.PathLike[str]) -> bytes:
    """Return the content of a regular file; a FIFO would wait forever, a device might never end.

    Raises
    ------
    OSError
        If it is something else, or cannot be read; the message begins with `owner`.
    """
    descriptor = os.open(file, READ)
    with os.fdopen(descriptor, "rb") as stream:
        _check_regular(owner, file, os.fstat(descriptor).st_mode)
        return stream.read()


def read_text(owner: str, file: str | os.PathLike[str]) -> str:
    """Return the content of a regular file as text.

    Raises
    ------
    ValueError
        If it is not in UTF-8.
    OSError
        As `read`.
    """
    try:
        return read(owner, file).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{owner}: expected {file} as text in UTF-8, got {error}") from error


def write_json(file: str | os.PathLike[str], content: Any) -> None:
    """Write plain data as indented JSON, atomically.

    Raises
    ------
    TypeError, ValueError
        If `content` is not plain data, or holds a NaN or an infinity.
    OSError
        As `write_atomically`.
    """
    write_atomically(file, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def link_atomically(file: Path, other: Path) -> None:
    """Give a file a second name, replacing what had it: a hard link if possible, else a copy."""
    file, other = _pointed_to(file), _pointed_to(other)
    link = _beside(other)
    try:
        os.link(file, link)
    except OSError:
        write_atomically(other, read("link_atomically", file))
        return
    try:
        os.replace(link, other)
    finally:
        link.unlink(missing_ok=True)  # it stays if both names meant one file already


def check_writable(folder: Path) -> None:
    """Raise an OSError if no file can be created in a folder."""
    trial = _beside(folder / "trial")
    try:
        trial.write_bytes(b"")
    finally:
        trial.unlink(missing_ok=True)


def sweep(file: str | os.PathLike[str]) -> None:
    """Remove the temporary files that a process left when it was killed while writing a file.

    Files that are being written stay.
    """
    target = Path(os.path.realpath(file))
    for other in target.parent.glob(f".{glob.escape(_stem(target))}.*"):
        if re.fullmatch(r"[0-9a-f]{16}", other.name.rpartition(".")[2]):
            with suppress(OSError):  # it is only litter
                if _is_left(other):
                    other.unlink()


def _is_left(file: Path) -> bool:
    """Whether a file is left over: no process is writing it."""
    descriptor = os.open(file, READ)
    try:
        return take(descriptor)
    finally:
        os.close(descriptor)


def _beside(target: Path) -> Path:
    """Return a new temporary name beside a file."""
    return target.with_name(f".{_stem(target)}.{secrets.token_hex(8)}")


def _stem(target: Path) -> str:
    """Return a file's name, or a shorter one if it is too long for a suffix."""
    name = os.fsencode(target.name)
    return target.name if len(name) <= LONGEST else hashlib.sha256(name).hexdigest()


def _pointed_to(file: str | os.PathLike[str]) -> Path:
    """Return the file to write: the target of a symbolic link, which may not exist yet.

    Raises
    ------
    OSError
        If there is something else than a regular file.
    """
    target = Path(os.path.realpath(file)) if os.path.islink(file) else Path(file)
    with suppress(FileNotFoundError):
        _check_regular("writing", file, os.stat(file).st_mode)
    return target


def _check_regular(owner: str, file: str | os.PathLike[str], mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    error = IsADirectoryError if stat.S_ISDIR(mode) else OSError
    kind = kinds.get(stat.S_IFMT(mode), "a device")
    raise error(f"{owner}: expected {file} as a regular file, got {kind}")
