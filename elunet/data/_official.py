"""Data sets in their official files: find, download and read them.

Nothing is unpacked to disk. An archive is opened only if it has the official SHA-256; then only its
data files are read, in memory. `owner` is the name at the start of an error message.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_RETRIES = 3
_TIMEOUT = 30  # seconds without an answer


@dataclass(frozen=True)
class Layout:
    """One official form of a data set: an archive, the folder in it, and the files in that.

    Attributes
    ----------
    archive : str
    size : int
        Its bytes.
    sha256 : str
    folder : str
    files : tuple of str
    largest : callable
        ``largest(name)`` gives the bytes of a file.
    exact : bool
        Whether it has exactly so many, or at most.
    """

    archive: str
    size: int
    sha256: str
    folder: str
    files: tuple[str, ...]
    largest: Callable[[str], int]
    exact: bool = True


def place_of(owner: str, path: str | os.PathLike[str] | None, environment: str) -> tuple[Path, str]:
    """Return the folder or file to look at, and its description for messages."""
    if path is not None:
        words = f"path {os.fspath(path)!r}"
        return _expanded(owner, path, words), words
    if named := os.environ.get(environment):
        words = f"{named!r}, which {environment} names"
        return _expanded(owner, named, words), words
    import pooch  # here and below: `import elunet` need not wait for it

    cache = Path(pooch.os_cache("elunet"))
    if not cache.is_absolute():  # "~/.cache/elunet", which is not a path
        raise FileNotFoundError(
            f"{owner}: expected a home folder for the cache, got none; give path, or set "
            f"{environment} to the data's folder"
        )
    return cache, f"the cache folder {str(cache)!r}"


def _expanded(owner: str, path: str | os.PathLike[str], words: str) -> Path:
    """Return a path with a home folder in place of its ~."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(
            f"{owner}: expected a user with a home folder in {words}, got none"
        ) from error


def find(owner: str, place: Path, layouts: Sequence[Layout]) -> tuple[Layout, Path] | None:
    """Find an official folder or archive at `place` or right below it."""
    if place.is_file():
        by_name = {layout.archive: layout for layout in layouts}
        if place.name not in by_name:
            raise ValueError(
                f"{owner}: expected path to be a folder, {' or '.join(by_name)}, got the file"
                f" {str(place)!r}"
            )
        return by_name[place.name], place
    for layout in layouts:
        for folder in (place, place / layout.folder):
            if any((folder / name).exists() for name in layout.files):
                return layout, folder
    for layout in layouts:
        if (place / layout.archive).exists():
            return layout, place / layout.archive
    return None


def download(owner: str, folder: Path, url: str, name: str, sha256: str) -> Path:
    """Fetch a file into `folder` with progress and retries, and check its hash."""
    import pooch

    fetcher = pooch.create(
        path=folder, base_url=url, registry={name: f"sha256:{sha256}"}, retry_if_failed=_RETRIES
    )
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=_TIMEOUT)
    try:
        return Path(fetcher.fetch(name, downloader=downloader))
    except ValueError as error:  # pooch reports a wrong hash like this, and deletes the file
        raise ValueError(
            f"{owner}: expected {url}{name} to have sha256 {sha256}, got another file: {error}"
        ) from error
    except OSError as error:  # no network, no answer, no space
        raise RuntimeError(
            f"{owner}: expected to download {url}{name} to {folder}, got {error!r}. "
            f"Check the network and try again, or fetch that file by other means (a browser, "
            f"another computer), put it into {folder} and call {owner}({str(folder)!r})."
        ) from error


def check_size(owner: str, layout: Layout, file: Path, size: int) -> None:
    """Raise unless a data file's size is right."""
    largest = layout.largest(file.name)
    if size > largest or (layout.exact and size < largest):
        bound = "exactly" if layout.exact else "at most"
        raise ValueError(f"{owner}: expected {file} of {bound} {largest} bytes, got {size}")


def read(owner: str, layout: Layout, source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files of a folder or an archive."""
    return (_read_folder if source.is_dir() else _read_archive)(owner, layout, source)


def size_of(owner: str, file: Path) -> int:
    """Return the bytes of a regular file; a FIFO would wait forever, a device never end."""
    info = file.stat()
    if not stat.S_ISREG(info.st_mode):
        kind = "a folder" if stat.S_ISDIR(info.st_mode) else "a special file"
        raise ValueError(f"{owner}: expected {file} to be a regular file, got {kind}")
    return info.st_size


def _read_folder(owner: str, layout: Layout, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files of an unpacked data set."""
    for name in layout.files:
        file = folder / name
        if not file.exists():
            present = sorted(other for other in layout.files if (folder / other).exists())
            raise FileNotFoundError(
                f"{owner}: expected the {len(layout.files)} official files in {folder}, got "
                f"{present} without {name}"
            )
        check_size(owner, layout, file, size_of(owner, file))
        yield name, file.read_bytes()


def check_archive(owner: str, layout: Layout, archive: Path) -> None:
    """Raise unless the archive is the official one; say how it differs."""
    if not archive.is_file():  # a FIFO would wait forever
        raise ValueError(f"{owner}: expected {archive} to be a regular file, got another kind")
    with archive.open("rb") as file:
        start = file.read(64)
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got == layout.sha256:
        return
    if not start.startswith(b"\x1f\x8b"):
        page = ", which looks like a web page" if start.lstrip().startswith(b"<") else ""
        raise ValueError(
            f"{owner}: expected {archive} to be a gzip archive, got a file that starts with "
            f"{start[:16]!r}{page}. Fetch it again."
        )
    if size < layout.size:
        raise ValueError(
            f"{owner}: expected {archive} of {layout.size} bytes, got {size}: it is "
            f"truncated. Fetch it again."
        )
    raise ValueError(
        f"{owner}: expected {archive} with sha256 {layout.sha256}, got {got}. Fetch it again, "
        f"or unpack it yourself and give the folder if you trust it."
    )


def _read_archive(owner: str, layout: Layout, archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the data files; check all other members as well."""
    import tarfile
    import zlib

    check_archive(owner, layout, archive)
    wanted = {f"{layout.folder}/{name}": name for name in layout.files}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _check_member(owner, layout, archive, member)
                name = wanted.pop(member.name, None)
                if name is not None:
                    check_size(owner, layout, archive / member.name, member.size)
                    content = tar.extractfile(member)
                    yield name, content.read() if content else b""
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(f"{owner}: expected {archive} to be readable, got {error}") from error
    if wanted:
        raise ValueError(f"{owner}: expected {sorted(wanted)} once in {archive}, got none")


def _check_member(owner: str, layout: Layout, archive: Path, member: Any) -> None:
    """Raise on what the official archives do not have: links, paths outside, huge members."""
    parts = member.name.replace("\\", "/").split("/")
    if member.name.startswith("/") or ":" in member.name or ".." in parts:
        raise ValueError(
            f"{owner}: expected members of {archive} inside {layout.folder}, got {member.name!r}"
        )
    if not (member.isreg() or member.isdir()):
        kind = "a link" if member.issym() or member.islnk() else "a special file"
        raise ValueError(
            f"{owner}: expected regular files in {archive}, got {member.name!r}, {kind}"
        )
    largest = max(layout.largest(name) for name in layout.files)
    if not 0 <= member.size <= largest:
        raise ValueError(
            f"{owner}: expected members of {archive} of at most {largest} bytes, "
            f"got {member.name!r} of {member.size}"
        )
