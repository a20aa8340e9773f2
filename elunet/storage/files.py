"""Files that are complete or absent: written beside the target, read back, then put in place.

A process that is killed leaves at most a temporary file, ``.name.0123456789abcdef``; `sweep`
removes it.
"""

from __future__ import annotations

import glob
import json
import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from elunet.storage.locks import take, taken


def write_atomically(
    file: str | os.PathLike[str], content: bytes, ready: Callable[[], None] = lambda: None
) -> None:
    """Write a file so that its name always stands for complete content.

    The new file has the permissions of any new file. `ready` is called when it is complete and has
    not yet replaced the old one.

    Raises
    ------
    OSError
        If the folder does not exist, or the file cannot be written or reads back differently. The
        old file stays, and no temporary one.
    """
    target = Path(file)
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
                raise OSError(f"{target}: what was written does not read back the same")
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


def write_json(file: str | os.PathLike[str], content: Any) -> None:
    """Write plain data as indented JSON, atomically.

    Raises
    ------
    TypeError, ValueError
        If `content` is no plain data, or holds a NaN or an infinity.
    OSError
        As `write_atomically`.
    """
    write_atomically(file, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def link_atomically(file: Path, other: Path) -> None:
    """Give a file a second name, replacing what had it: a hard link if possible, else a copy."""
    link = _beside(other)
    try:
        os.link(file, link)
    except OSError:
        write_atomically(other, file.read_bytes())
        return
    try:
        os.replace(link, other)
    finally:
        link.unlink(missing_ok=True)  # it stays if both names meant one file already


def check_writable(folder: Path) -> None:
    """Raise an OSError if no file can be made in a folder."""
    trial = _beside(folder / "trial")
    try:
        trial.write_bytes(b"")
    finally:
        trial.unlink(missing_ok=True)


def sweep(file: str | os.PathLike[str]) -> None:
    """Remove the temporary files that a process left when it was killed while writing a file.

    Those that somebody is writing at this moment stay.
    """
    target = Path(file)
    for other in target.parent.glob(f".{glob.escape(target.name)}.*"):
        if re.fullmatch(r"[0-9a-f]{16}", other.name.rpartition(".")[2]):
            with suppress(OSError):  # it is only litter
                if _is_left(other):
                    other.unlink()


def _is_left(file: Path) -> bool:
    """Whether nobody is writing a file."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        return take(descriptor)
    finally:
        os.close(descriptor)


def _beside(target: Path) -> Path:
    """Return a new temporary name beside a file."""
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}")
