"""CIFAR-10 from its official files, without trusting them.

Nothing is unpacked to disk and no pickled code runs. An archive is opened only if it has the
official SHA-256; then only its six data files are read, in memory. In the binary layout each record
is a label byte and three planes of 1,024 pixel bytes. The python layout has pickles. A walk over
their opcodes rebuilds the few lists and strings in them; what a pickle would import and call is
recorded by name and never run.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from elunet._types import Array
from elunet.data import _official as official

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
_PIXELS = 3 * 32 * 32
_RECORDS = 10_000  # images in a file
_LARGEST_PICKLE = 34_000_000  # bytes; the official ones have 31 million
_MOST_OPCODES = 100_000  # in a pickle; the official ones have some 40,000


_BINARY = official.Layout(
    "cifar-10-binary.tar.gz",
    170052171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar-10-batches-bin",
    (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"),
    lambda name: _RECORDS * (1 + _PIXELS),
)
_PYTHON = official.Layout(
    "cifar-10-python.tar.gz",
    170498071,
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "cifar-10-batches-py",
    (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"),
    lambda name: _LARGEST_PICKLE,
    exact=False,
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
    owner = "load_cifar10"
    place, origin = official.place_of(owner, path, _ENVIRONMENT)
    found = official.find(owner, place, _LAYOUTS)
    if found is None:
        if not download:
            raise FileNotFoundError(
                f"load_cifar10: expected {_BINARY.folder}, {_PYTHON.folder}, {_BINARY.archive} or "
                f"{_PYTHON.archive} at {origin}, got none of them. Either call "
                f"load_cifar10(download=True), or fetch {_URL}{_BINARY.archive} and give its "
                f"place as path or in the environment variable {_ENVIRONMENT}."
            )
        found = _BINARY, official.download(owner, place, _URL, _BINARY.archive, _BINARY.sha256)
    layout, source = found

    x = np.empty((6 * _RECORDS, 32, 32, 3), np.uint8)
    y = np.empty(6 * _RECORDS, np.int64)
    decode = _decode_binary if layout is _BINARY else _decode_python
    for name, data in official.read(owner, layout, source):
        i = layout.files.index(name)
        part = slice(i * _RECORDS, (i + 1) * _RECORDS)
        official.check_size(
            owner, layout, source / name, len(data)
        )  # a header may say something else
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
