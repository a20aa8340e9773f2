"""Saving and loading a network's arrays, in the safetensors format that other frameworks read.

A file appears whole or not at all: it is written beside its target, forced to disk, read back and
only then given its name. Its metadata hold a SHA-256 of names, shapes, dtypes and bytes, so that a
file that was damaged later is refused. Nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

import numpy as np

from elunet._types import Array
from elunet.network import Network

KEY, VERSION = "elunet", 1


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
    """
    import safetensors.numpy

    arrays = _arrays(net)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"save: expected finite values, got a NaN or an infinity in {name}")
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    # One entry only: the library writes several in any order, and equal networks give equal files.
    about = {KEY: f"{VERSION} sha256:{_sha256(contiguous)}"}
    write_atomically(file, safetensors.numpy.save(contiguous, about))


def load(net: Network, file: str | os.PathLike[str]) -> None:
    """Read parameters and layer state from a safetensors file into a network of the same layers.

    Parameters
    ----------
    net : Network
        Changed only if everything fits.
    file : path
        Also one that another framework wrote, if names and shapes fit; it has no SHA-256 of ours,
        so there damage is noticed only if the format or the numbers' range is hurt.

    Raises
    ------
    ValueError
        If the file is no safetensors file, if a newer elunet wrote it, if it is damaged or holds a
        NaN or an infinity, or if names, shapes or kinds of numbers differ from the network's; the
        message lists how.
    OSError
        If it cannot be read.
    """
    import safetensors
    import safetensors.numpy

    content = Path(file).read_bytes()
    try:
        found = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError) as error:
        raise ValueError(f"load: expected {file} as a safetensors file, got: {error}") from error
    _check_origin(file, content, found)
    wanted = _arrays(net)
    problems = [f"  {name}: not in the file" for name in wanted if name not in found]
    problems += [f"  {name}: not in the network" for name in found if name not in wanted]
    for name in wanted.keys() & found.keys():
        ours, theirs = wanted[name], found[name]
        if ours.shape != theirs.shape or theirs.dtype.kind != "f":
            problems.append(f"  {name}: expected {_kind(ours)}, got {_kind(theirs)}")
    if problems:
        listed = "\n".join(sorted(problems))
        raise ValueError(f"load: expected {file} to fit the network, got differences:\n{listed}")
    with np.errstate(over="ignore"):  # what is too large for the network's dtype is told below
        values = {name: found[name].astype(array.dtype) for name, array in wanted.items()}
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise ValueError(
                f"load: expected finite values in {file}, got a NaN or an infinity in {name}"
            )
    for name, array in wanted.items():
        array[...] = values[name]


def write_atomically(file: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that its name always stands for complete content.

    It has the permissions that any new file has.

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


def _arrays(net: Network) -> dict[str, Array]:
    """Return all that is saved: the live arrays by name."""
    state = {
        f"{node.name}.{key}": value for node in net.nodes for key, value in node.layer.state.items()
    }
    return net.parameters() | state


def _check_origin(file: str | os.PathLike[str], content: bytes, found: dict[str, Array]) -> None:
    """Compare a file that elunet wrote with what its metadata say of it."""
    length = int.from_bytes(content[:8], "little")
    about = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    if KEY not in about:
        return  # another framework's
    version, _, digest = about[KEY].partition(" ")
    if version.isdecimal() and int(version) > VERSION:
        raise ValueError(
            f"load: expected {file} of version {VERSION} or older, got version {version}: a newer"
            " version of elunet wrote it"
        )
    if digest != f"sha256:{_sha256(found)}":
        raise ValueError(
            f"load: expected {file} as it was saved, got another SHA-256: the file is damaged"
        )


def _sha256(arrays: dict[str, Array]) -> str:
    """Return the digest of all names, dtypes, shapes and bytes (little-endian, as in the file)."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _kind(array: Array) -> str:
    return f"{array.dtype} of shape {array.shape}"
