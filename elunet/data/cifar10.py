"""CIFAR-10 from its official files, without trusting them.

Nothing is unpacked to disk and no pickled code runs. An archive is opened only if it has the
official SHA-256; then only its six data files are read, in memory. In the binary layout each record
is a label byte and three planes of 1,024 pixel bytes. The python layout has pickles. A walk over
their opcodes rebuilds the few lists and strings in them; what a pickle would import and call is
recorded by name and never run.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from elunet._types import Array

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
"""The names of CIFAR-10's labels 0 to 9."""

_ENVIRONMENT = "ELUNET_CIFAR10"
_URL = "https://www.cs.toronto.edu/~kriz/"
_RETRIES = 3
_TIMEOUT = 30  # seconds without an answer
_PIXELS = 3 * 32 * 32
_RECORDS = 10_000  # images in a file
_LARGEST_PICKLE = 34_000_000  # bytes; the official ones have 31 million
_MOST_OPCODES = 100_000  # in a pickle; the official ones have some 40,000


@dataclass(frozen=True)
class _Layout:
    """One of the two official forms: an archive, the folder in it, and six files in that."""

    archive: str
    size: int
    sha256: str
    folder: str
    files: tuple[str, ...]  # five to train on, then the test file


_BINARY = _Layout(
    "cifar-10-binary.tar.gz",
    170052171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar-10-batches-bin",
    (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"),
)
_PYTHON = _Layout(
    "cifar-10-python.tar.gz",
    170498071,
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "cifar-10-batches-py",
    (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"),
)
_LAYOUTS = (_BINARY, _PYTHON)


def load_cifar10(
    path: str | os.PathLike[str] | None = None, download: bool = False
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Load CIFAR-10's 50,000 training and 10,000 test images.

    Parameters
    ----------
    path
        An official folder (``cifar-10-batches-bin`` or ``cifar-10-batches-py``), an official
        archive (``cifar-10-binary.tar.gz`` or ``cifar-10-python.tar.gz``), or a folder that holds
        one of these. Binary files are preferred to python files, and folders to archives. By
        default the folder that the environment variable ELUNET_CIFAR10 names, else the user's
        cache folder.
    download
        Whether to download the binary archive (170 MB) to `path`, or to the cache folder, if
        nothing is there yet.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images (N, 32, 32, 3) uint8 and labels (N,) int64, indices into `CIFAR10_CLASSES`.

    Raises
    ------
    FileNotFoundError
        If there is no data set; the message says how to get it.
    ValueError
        If a file is not what it should be: a wrong size or hash, a web page, a member that is a
        link or lies outside the folder, a label above 9.
    RuntimeError
        If the download fails; the message says how to get the archive otherwise.

    References
    ----------
    Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.

    Examples
    --------
    >>> import elunet as eln
    >>> try:
    ...     (x_train, y_train), (x_test, y_test) = eln.data.load_cifar10("nowhere")
    ... except FileNotFoundError:
    ...     print("not there; download=True fetches it")
    not there; download=True fetches it
    """
    place, origin = _place(path)
    found = _find(place)
    if found is None:
        if not download:
            raise FileNotFoundError(
                f"load_cifar10: expected {_BINARY.folder}, {_PYTHON.folder}, {_BINARY.archive} or "
                f"{_PYTHON.archive} at {origin}, got none of them. Either call "
                f"load_cifar10(download=True), or fetch {_URL}{_BINARY.archive} and give its "
                f"place as path or in the environment variable {_ENVIRONMENT}."
            )
        found = _BINARY, _download(place)
    layout, source = found
    members = _read_folder(layout, source) if source.is_dir() else _read_archive(layout, source)

    x = np.empty((6 * _RECORDS, 32, 32, 3), np.uint8)
    y = np.empty(6 * _RECORDS, np.int64)
    decode = _decode_binary if layout is _BINARY else _decode_python
    for name, data in members:
        i = layout.files.index(name)
        part = slice(i * _RECORDS, (i + 1) * _RECORDS)
        _check_size(layout, source / name, len(data))  # a header may say something else
        planes, labels = decode(source / name, data)
        bad = np.flatnonzero((labels < 0) | (labels > 9))
        if len(bad):
            raise ValueError(
                f"load_cifar10: expected labels 0 to 9 in {source / name}, "
                f"got {labels[bad[0]]} in record {bad[0]}"
            )
        x[part] = planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        y[part] = labels
    train = 5 * _RECORDS
    return (x[:train], y[:train]), (x[train:], y[train:])


# Where the data set is -------------------------------------------------------------------------


def _place(path: str | os.PathLike[str] | None) -> tuple[Path, str]:
    """Resolve the folder or file to look at, and the words that name it in a message."""
    if path is not None:
        words = f"path {os.fspath(path)!r}"
        return _expanded(path, words), words
    if named := os.environ.get(_ENVIRONMENT):
        words = f"{named!r}, which {_ENVIRONMENT} names"
        return _expanded(named, words), words
    import pooch  # here and below: `import elunet` need not wait for it

    cache = Path(pooch.os_cache("elunet"))
    if not cache.is_absolute():  # "~/.cache/elunet", which is no path
        raise FileNotFoundError(
            f"load_cifar10: expected a home folder for the cache, got none; give path, or set "
            f"{_ENVIRONMENT} to the data's folder"
        )
    return cache, f"the cache folder {str(cache)!r}"


def _expanded(path: str | os.PathLike[str], words: str) -> Path:
    """Return a path with a home folder in place of its ~."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(
            f"load_cifar10: expected a user with a home folder in {words}, got none"
        ) from error


def _find(place: Path) -> tuple[_Layout, Path] | None:
    """Find an official folder or archive at `place` or right below it."""
    if place.is_file():
        by_name = {layout.archive: layout for layout in _LAYOUTS}
        if place.name not in by_name:
            raise ValueError(
                f"load_cifar10: expected path to be a folder, {_BINARY.archive} or "
                f"{_PYTHON.archive}, got the file {str(place)!r}"
            )
        return by_name[place.name], place
    for layout in _LAYOUTS:
        for folder in (place, place / layout.folder):
            if any((folder / name).exists() for name in layout.files):
                return layout, folder
    for layout in _LAYOUTS:
        if (place / layout.archive).exists():
            return layout, place / layout.archive
    return None


def _download(folder: Path) -> Path:
    """Fetch the binary archive into `folder` with progress and retries, and check its hash."""
    import pooch

    url = f"{_URL}{_BINARY.archive}"
    fetcher = pooch.create(
        path=folder,
        base_url=_URL,
        registry={_BINARY.archive: f"sha256:{_BINARY.sha256}"},
        retry_if_failed=_RETRIES,
    )
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=_TIMEOUT)
    try:
        return Path(fetcher.fetch(_BINARY.archive, downloader=downloader))
    except ValueError as error:  # pooch reports a wrong hash like this, and deletes the file
        raise ValueError(
            f"load_cifar10: expected {url} to have sha256 {_BINARY.sha256}, got another file: "
            f"{error}"
        ) from error
    except OSError as error:  # no network, no answer, no space
        raise RuntimeError(
            f"load_cifar10: expected to download {url} to {folder}, got {error!r}. "
            f"Check the network and try again, or fetch that file by other means (a browser, "
            f"another computer), put it into {folder} and call load_cifar10({str(folder)!r})."
        ) from error


# Reading bytes ---------------------------------------------------------------------------------


def _largest(layout: _Layout) -> int:
    return _RECORDS * (1 + _PIXELS) if layout is _BINARY else _LARGEST_PICKLE


def _check_size(layout: _Layout, file: Path, size: int) -> None:
    """Raise unless a data file's size is right (binary) or in reason (python)."""
    largest = _largest(layout)
    if size > largest or (layout is _BINARY and size < largest):
        bound = "exactly" if layout is _BINARY else "at most"
        raise ValueError(f"load_cifar10: expected {file} of {bound} {largest} bytes, got {size}")


def _read_folder(layout: _Layout, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the six files of an unpacked data set."""
    for name in layout.files:
        file = folder / name
        try:
            info = file.stat()
        except FileNotFoundError:
            present = sorted(other for other in layout.files if (folder / other).exists())
            raise FileNotFoundError(
                f"load_cifar10: expected the six official files in {folder}, got {present} "
                f"without {name}"
            ) from None
        if not stat.S_ISREG(info.st_mode):
            kind = "a folder" if stat.S_ISDIR(info.st_mode) else "a special file"
            raise ValueError(f"load_cifar10: expected {file} to be a regular file, got {kind}")
        _check_size(layout, file, info.st_size)
        yield name, file.read_bytes()


def _check_archive(layout: _Layout, archive: Path) -> None:
    """Raise unless the archive is the official one; say how it differs."""
    if not archive.is_file():  # a FIFO would wait for ever
        raise ValueError(f"load_cifar10: expected {archive} to be a regular file, got another kind")
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
            f"load_cifar10: expected {archive} to be a gzip archive, got a file that starts with "
            f"{start[:16]!r}{page}. Fetch it again."
        )
    if size < layout.size:
        raise ValueError(
            f"load_cifar10: expected {archive} of {layout.size} bytes, got {size}: it is "
            f"truncated. Fetch it again."
        )
    raise ValueError(
        f"load_cifar10: expected {archive} with sha256 {layout.sha256}, got {got}. Fetch it again, "
        f"or unpack it yourself and give the folder if you trust it."
    )


def _read_archive(layout: _Layout, archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the six data files; check all other members as well."""
    import tarfile
    import zlib

    _check_archive(layout, archive)
    wanted = {f"{layout.folder}/{name}": name for name in layout.files}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _check_member(layout, archive, member)
                name = wanted.pop(member.name, None)
                if name is not None:
                    _check_size(layout, archive / member.name, member.size)
                    content = tar.extractfile(member)
                    yield name, content.read() if content else b""
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(f"load_cifar10: expected {archive} to be readable, got {error}") from error
    if wanted:
        raise ValueError(f"load_cifar10: expected {sorted(wanted)} once in {archive}, got none")


def _check_member(layout: _Layout, archive: Path, member: Any) -> None:
    """Raise on what the official archives do not have: links, paths outside, huge members."""
    parts = member.name.replace("\\", "/").split("/")
    if member.name.startswith("/") or ":" in member.name or ".." in parts:
        raise ValueError(
            f"load_cifar10: expected members of {archive} inside {layout.folder}, "
            f"got {member.name!r}"
        )
    if not (member.isreg() or member.isdir()):
        kind = "a link" if member.issym() or member.islnk() else "a special file"
        raise ValueError(
            f"load_cifar10: expected regular files in {archive}, got {member.name!r}, {kind}"
        )
    if not 0 <= member.size <= _largest(layout):
        raise ValueError(
            f"load_cifar10: expected members of {archive} of at most {_largest(layout)} bytes, "
            f"got {member.name!r} of {member.size}"
        )


# Decoding --------------------------------------------------------------------------------------


def _decode_binary(file: Path, data: bytes) -> tuple[Array, Array]:
    """Return planes (n, 3072) uint8 and labels (n,), from records of 1 + 3,072 bytes."""
    records = np.frombuffer(data, np.uint8).reshape(_RECORDS, 1 + _PIXELS)
    return records[:, 1:], records[:, 0].astype(np.int64)


def _decode_python(file: Path, data: bytes) -> tuple[Array, Array]:
    """Read the entries "data" and "labels" of a batch's pickle, running none of it."""
    batch = _read_pickle(file, data)
    if not isinstance(batch, dict) or not {"data", "labels"} <= batch.keys():
        _not_a_batch(file, "entries data and labels", batch)
    labels, pixels = batch["labels"], batch["data"]
    if (
        not isinstance(labels, list)
        or len(labels) != _RECORDS
        or not all(type(label) is int for label in labels)
    ):
        _not_a_batch(file, f"labels as a list of {_RECORDS} integers", labels)
    # An array's state, as NumPy writes it: version, shape, dtype, Fortran order, bytes.
    match pixels:
        case _Call(
            name="numpy.core.multiarray _reconstruct",
            state=(1, shape, _Call(name="numpy dtype", arguments=("u1", *_)), False, str(raw)),
        ) if shape == (_RECORDS, _PIXELS) and len(raw) == _RECORDS * _PIXELS:
            planes = np.frombuffer(raw.encode("latin-1"), np.uint8)
        case _:
            _not_a_batch(file, f"data as a ({_RECORDS}, {_PIXELS}) uint8 array", pixels)
    return planes, np.array(labels, np.int64)


def _not_a_batch(file: Path, wanted: str, got: object) -> NoReturn:
    raise ValueError(
        f"load_cifar10: expected {file} to be a CIFAR-10 batch with {wanted}, "
        f"got {type(got).__name__}"
    )


@dataclass
class _Name:
    """A function or class that a pickle mentions; never looked up."""

    name: str


@dataclass
class _Call:
    """A call that a pickle asks for; never made."""

    name: str
    arguments: object
    state: object = None


_VALUES = frozenset({"SHORT_BINSTRING", "BINSTRING", "BININT", "BININT1", "BININT2"})
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _opcodes(data: bytes) -> list[tuple[Any, Any, int | None]]:
    """Return a pickle's opcodes, without warnings about escapes in a crafted name."""
    import pickletools
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = list(itertools.islice(pickletools.genops(data), _MOST_OPCODES + 1))
    if len(found) > _MOST_OPCODES:
        raise ValueError(f"more than {_MOST_OPCODES} opcodes")
    return found


def _read_pickle(file: Path, data: bytes) -> object:
    """Interpret the opcodes that Python 2 wrote CIFAR-10's batches with (pickle protocol 2).

    Any other opcode is an error. Byte strings come back as text with one character per byte.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    argument: Any

    def pop_to_mark() -> list[Any]:
        mark = marks.pop()
        items = stack[mark:]
        del stack[mark:]
        return items

    def set_items(items: list[Any]) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):  # hashing a crafted nest of tuples would take forever
                raise TypeError(f"a key that is a {type(key).__name__}")
            stack[-1][key] = value

    try:
        for opcode, argument, position in _opcodes(data):
            match opcode.name:
                case "PROTO" | "STOP":
                    pass
                case name if name in _VALUES:
                    stack.append(argument)
                case name if name in _CONSTANTS:
                    stack.append(_CONSTANTS[name])
                case "EMPTY_DICT":
                    stack.append({})
                case "EMPTY_LIST":
                    stack.append([])
                case "MARK":
                    marks.append(len(stack))
                case "TUPLE":
                    stack.append(tuple(pop_to_mark()))
                case name if name in _TUPLES:
                    start = len(stack) - _TUPLES[name]
                    stack[start:] = [tuple(stack[start:])]
                case "APPEND":
                    item = stack.pop()
                    stack[-1].append(item)
                case "APPENDS":
                    items = pop_to_mark()
                    stack[-1].extend(items)
                case "SETITEM":
                    items = stack[-2:]
                    del stack[-2:]
                    set_items(items)
                case "SETITEMS":
                    set_items(pop_to_mark())
                case "BINPUT" | "LONG_BINPUT":
                    memo[argument] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(memo[argument])
                case "GLOBAL":
                    stack.append(_Name(argument))
                case "REDUCE":
                    arguments = stack.pop()
                    stack.append(_Call(stack.pop().name, arguments))
                case "BUILD":
                    state = stack.pop()
                    stack[-1].state = state
                case name:
                    raise ValueError(f"the opcode {name} at byte {position}")
        return stack.pop()
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"load_cifar10: expected {file} to be a CIFAR-10 batch of protocol 2, got {error}"
        ) from error
