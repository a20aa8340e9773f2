"""Saving and loading a network's arrays, in the safetensors format that other frameworks read.

A file appears whole or not at all: it is written beside its target, forced to disk, read back and
only then given its name. Its metadata hold a SHA-256 of names, shapes, dtypes and bytes, so that a
file that was damaged later is refused. Nothing in it is code. A whole run's checkpoint
(`elunet.train.runs`) is such a file with more arrays and a note in JSON.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from elunet._types import Array
from elunet.network import Network

KEY, VERSION = "elunet", 1
DTYPES = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
DTYPES += ("float16", "float32", "float64")
LARGEST_HEADER = 100_000_000  # the format's own limit
NONSENSE = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError)
"""What reading data that make no sense may raise."""
PICKLE_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")


def save(net: Network, file: str | os.PathLike[str]) -> None:
    """Write a network's parameters and layer state to a safetensors file.

    Parameters
    ----------
    net : Network
    file : path
        Replaced only once the new file is complete. Names are those of `Network.parameters`
        ("conv1.W"), and "batchnorm1.running_mean" for layer state.

    Raises
    ------
    ValueError
        If a parameter holds a NaN or an infinity; a good file is not overwritten by it.
    OSError
        If the file cannot be written; what was there stays.

    Examples
    --------
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(3, 2)], seed=0)
    >>> eln.save(net, "net.safetensors")
    """
    arrays = network_arrays(net)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"save: expected finite values, got a NaN or an infinity in {name}")
    write_atomically(file, encode(arrays))


def load(net: Network, file: str | os.PathLike[str]) -> None:
    """Read parameters and layer state from a safetensors file into a network of the same layers.

    Parameters
    ----------
    net : Network
        Changed only if everything fits.
    file : path
        Written by `save`, or a whole run's (`Trainer.save`, `Checkpoints`). Also one that another
        framework wrote, if names and shapes fit; it has no SHA-256 of ours, so there damage is
        noticed only if the format or the numbers' range is hurt.

    Raises
    ------
    ValueError
        If the file is no safetensors file, if a newer elunet wrote it, if it is damaged or holds a
        NaN or an infinity, or if names, shapes or kinds of numbers differ from the network's; the
        message lists how.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(3, 2)], seed=0)
    >>> eln.save(net, "net.safetensors")
    >>> other = eln.Sequential([eln.layers.Linear(3, 2)], seed=1)
    >>> eln.load(other, "net.safetensors")
    >>> bool((other["linear1"].params["W"] == net["linear1"].params["W"]).all())
    True
    """
    found, note = decode("load", file, Path(file).read_bytes())
    if note:  # a whole run's: its other arrays are not the network's
        found = {name: value for name, value in found.items() if not name.startswith(".")}
    values = fitting("load", file, network_arrays(net), found)
    for name, array in network_arrays(net).items():
        array[...] = values[name]


def encode(arrays: Mapping[str, Array], note: str = "") -> bytes:
    """Return a safetensors file of these arrays.

    Parameters
    ----------
    arrays : dict of str to array
    note : str, optional
        Text to go with them.

    Raises
    ------
    TypeError
        If the format has no such dtype.
    """
    import safetensors.numpy

    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in contiguous.items():
        if array.dtype.name not in DTYPES:
            raise TypeError(f"save: expected {name} as one of {DTYPES}, got {array.dtype}")
    # One entry only: the library writes several in any order, and equal networks give equal files.
    about = f"{VERSION} sha256:{_sha256(contiguous, note)}" + (f" {note}" if note else "")
    return safetensors.numpy.save(contiguous, {KEY: about})


def decode(
    owner: str, file: str | os.PathLike[str], content: bytes
) -> tuple[dict[str, Array], str | None]:
    """Return a safetensors file's arrays and its note, None if another framework wrote it.

    Raises
    ------
    ValueError
        If it is no safetensors file, or elunet's and damaged or of a newer version.
    """
    import safetensors
    import safetensors.numpy

    try:
        found = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError) as error:
        raise ValueError(
            f"{owner}: expected {file} as a safetensors file, got {_kind_of_file(content, error)}"
        ) from error
    length = int.from_bytes(content[:8], "little")
    about = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    if KEY not in about and not any(re.match(r"\d+ sha256:", text) for text in about.values()):
        return found, None
    version, _, rest = about.get(KEY, "").partition(" ")  # the key itself may have been hit
    digest, _, note = rest.partition(" ")
    if version.isascii() and version.isdecimal() and int(version) > VERSION:
        raise ValueError(
            f"{owner}: expected {file} of version {VERSION} or older, got version {version}: a"
            " newer version of elunet wrote it"
        )
    if version != str(VERSION) or digest != f"sha256:{_sha256(found, note)}":
        raise ValueError(
            f"{owner}: expected {file} as it was saved, got another SHA-256: the file is damaged"
        )
    return found, note


def fitting(
    owner: str,
    file: str | os.PathLike[str],
    wanted: Mapping[str, Array],
    found: Mapping[str, Array],
    cast: bool = True,
) -> dict[str, Array]:
    """Return the arrays of a file for a network's, in the network's dtypes if `cast`.

    Raises
    ------
    ValueError
        If names, shapes or kinds of numbers differ, or a value is not finite.
    """
    problems = [f"  {name}: not in the file" for name in wanted if name not in found]
    problems += [f"  {name}: not in the network" for name in found if name not in wanted]
    for name in wanted.keys() & found.keys():
        ours, theirs = wanted[name], found[name]
        if ours.shape != theirs.shape or ours.dtype.kind != theirs.dtype.kind:
            problems.append(f"  {name}: expected {_kind(ours)}, got {_kind(theirs)}")
    if problems:
        listed = "\n".join(sorted(problems))
        raise ValueError(f"{owner}: expected {file} to fit the network, got differences:\n{listed}")
    values = {name: found[name] for name in wanted}
    if cast:
        with np.errstate(over="ignore"):  # what is too large for the dtype is told below
            values = {name: values[name].astype(array.dtype) for name, array in wanted.items()}
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise ValueError(
                f"{owner}: expected finite values in {file}, got a NaN or an infinity in {name}"
            )
    return values


def write_atomically(
    file: str | os.PathLike[str], content: bytes, ready: Callable[[], None] = lambda: None
) -> None:
    """Write a file so that its name always stands for complete content.

    It has the permissions that any new file has. `ready` is called once the new file is complete,
    before it takes the old one's place.

    Raises
    ------
    OSError
        If there is no such folder, or the file cannot be written or reads back differently; the
        old file stays then, and no temporary one.
    """
    target = Path(file)
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"expected an existing folder to write {target.name} in, got {target.parent}"
        )
    name = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    mode = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    descriptor = os.open(name, mode, 0o666)  # mkstemp's would be for its owner's eyes only
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if name.read_bytes() != content:
            raise OSError(f"{target}: what was written does not read back the same")
        ready()
        os.replace(name, target)
    except BaseException:
        name.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # only there can a folder be forced to disk
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with suppress(OSError):  # some file systems refuse it; the file itself is in place
                os.fsync(folder)
        finally:
            os.close(folder)


def sweep(file: str | os.PathLike[str]) -> None:
    """Remove what a process left beside a file that was killed while it wrote it."""
    target = Path(file)
    for other in target.parent.glob(f".{glob.escape(target.name)}.*"):
        if re.fullmatch(r"[0-9a-f]{16}", other.name.rpartition(".")[2]):
            with suppress(OSError):  # it is only litter
                other.unlink()


def network_arrays(net: Network) -> dict[str, Array]:
    """Return all that is saved of a network: the live arrays by name."""
    state = {
        f"{node.name}.{key}": value for node in net.nodes for key, value in node.layer.state.items()
    }
    return net.parameters() | state


def _sha256(arrays: Mapping[str, Array], note: str) -> str:
    """Return the digest of names, dtypes, shapes, bytes (little-endian) and note."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    digest.update(note.encode())
    return digest.hexdigest()


def _kind(array: Array) -> str:
    return f"{array.dtype} of shape {array.shape}"


def _kind_of_file(content: bytes, error: Exception) -> str:
    """Say what a file is that is no safetensors file."""
    if not content:
        return "an empty file"
    if content.startswith(b"PK\x03\x04"):
        return "a zip archive, as PyTorch and NumPy write them"
    length = int.from_bytes(content[:8], "little")
    start = 8 + length
    if content[8:9] == b"{" and start > len(content) and length < LARGEST_HEADER:
        return f"a truncated one: {len(content)} bytes, which end inside its header"
    with suppress(*NONSENSE):
        header = json.loads(content[8:start])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name[:2] != "__"]
        if start + max(ends) > len(content):
            return f"a truncated one: {len(content)} of {start + max(ends)} bytes"
    if content[:1] == b"\x80" and content[1:2] in PICKLE_PROTOCOLS:
        return "what looks like a pickle, which elunet never opens: it could run anything"
    return f"another kind of file ({error})"
