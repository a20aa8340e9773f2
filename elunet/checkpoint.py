"""Saving and loading a network's arrays, in the safetensors format that other frameworks read.

A file appears whole or not at all: it is written beside its target, forced to disk, read back and
only then given its name. Nothing in it is code.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from elunet._types import Array
from elunet.network import Network


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
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(file, safetensors.numpy.save(contiguous, {"format": "elunet", "version": "1"}))


def load(net: Network, file: str | os.PathLike[str]) -> None:
    """Read parameters and layer state from a safetensors file into a network of the same layers.

    Parameters
    ----------
    net : Network
        Changed only if everything fits.
    file : path

    Raises
    ------
    ValueError
        If the file is no safetensors file, or names, shapes or kinds of numbers differ from the
        network's; the message lists how.
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
    for name, array in wanted.items():
        array[...] = found[name]


def write_atomically(file: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that its name always stands for complete content.

    Raises
    ------
    OSError
        If it cannot be written or reads back differently; the old file stays then, and no
        temporary one.
    """
    target = Path(file)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if Path(name).read_bytes() != content:
            raise OSError(f"{target}: what was written does not read back the same")
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # only there can a folder be forced to disk
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _arrays(net: Network) -> dict[str, Array]:
    """Return all that is saved: the live arrays by name."""
    state = {
        f"{node.name}.{key}": value for node in net.nodes for key, value in node.layer.state.items()
    }
    return net.parameters() | state


def _kind(array: Array) -> str:
    return f"{array.dtype} of shape {array.shape}"
