"""A network's parameters and layer state in a file: `save` and `load`.

Names are those of `Network.parameters` ("conv1.W"), and "batchnorm1.running_mean" for layer state.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from elunet._types import Array
from elunet.network import Network
from elunet.storage.archive import decode, encode
from elunet.storage.files import read, write_atomically

MOST, LONGEST = 30, 300  # of the differences that an error lists: how many, and how long each


FOREIGN = frozenset(
    (".npz", ".npy", ".pt", ".pth", ".h5", ".hdf5", ".keras", ".onnx", ".pkl", ".pickle", ".json")
)
"""Endings of other formats, which a user would expect in a file with such a name."""


def save(net: Network, file: str | os.PathLike[str]) -> None:
    """Write a network's parameters and layer state to a safetensors file.

    Parameters
    ----------
    net : Network
    file : path
        Replaced once the new file is complete.

    Raises
    ------
    ValueError
        If a parameter holds a NaN or an infinity, and the old file stays; or if the file's name has
        the ending of another format, such as .npz or .pt.
    TypeError
        If a layer's state is not an array of numbers.
    OSError
        If the file cannot be written; the old one stays.

    Examples
    --------
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(3, 2)], seed=0)
    >>> eln.save(net, "net.safetensors")
    """
    _check_network("save", net)
    if Path(file).suffix.lower() in FOREIGN:
        raise ValueError(
            "save: expected a name that ends in .safetensors, which is the file's format, got"
            f" {Path(file).name}"
        )
    arrays = network_arrays(net)
    content = encode(arrays)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"save: expected finite values, got a NaN or an infinity in {name}")
    write_atomically(file, content)


def load(net: Network, file: str | os.PathLike[str]) -> None:
    """Read parameters and layer state from a safetensors file into a network of the same layers.

    Parameters
    ----------
    net : Network
        Changed only if everything fits.
    file : path
        Written by `save`, or a whole run's (`Trainer.save`, `Checkpoints`). Also another
        framework's, if names and shapes fit; it has no SHA-256, so damage is noticed only if it
        breaks the format or makes a number infinite.

    Raises
    ------
    ValueError
        If the file is not a safetensors file, or a newer elunet wrote it, or it is damaged or holds
        a NaN or an infinity, or names, shapes or kinds of numbers differ from the network's; the
        message lists the differences. Or if one of the network's arrays is read-only.
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
    _check_network("load", net)
    if Path(file).is_dir():
        raise IsADirectoryError(
            f"load: expected a file, got the folder {file}; a run's weights are in its"
            " latest.safetensors and best.safetensors"
        )
    found, note = decode("load", file, read("load", file))
    if note:  # a whole run's: its other arrays are not the network's
        found = {name: value for name, value in found.items() if not name.startswith(".")}
    values = fitting("load", file, network_arrays(net), found)
    arrays = network_arrays(net)
    for name, array in arrays.items():
        if not array.flags.writeable:
            raise ValueError(f"load: expected writable arrays, got {name} read-only")
    for name, array in arrays.items():
        array[...] = values[name]


def _check_network(owner: str, net: object) -> None:
    if not isinstance(net, Network):
        raise TypeError(f"{owner}: expected a Network first, {owner}(net, file), got {net!r}")


def network_arrays(net: Network) -> dict[str, Array]:
    """Return all arrays of a network that are saved, by name; not copies.

    Raises
    ------
    TypeError
        If a layer's state is not an array.
    """
    state = {
        f"{node.name}.{key}": value for node in net.homes for key, value in node.layer.state.items()
    }
    for name, value in state.items():
        if not isinstance(value, np.ndarray):
            raise TypeError(f"save: expected the state {name} as an array, got {value!r}")
    return net.parameters() | state


def fitting(
    owner: str,
    file: str | os.PathLike[str],
    wanted: Mapping[str, Array],
    found: Mapping[str, Array],
    cast: bool = True,
) -> dict[str, Array]:
    """Return a file's arrays if they fit a network's, in the network's dtypes if `cast`.

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
        lines = [text if len(text) <= LONGEST else f"{text[:LONGEST]} ..." for text in problems]
        listed = "\n".join(sorted(lines)[:MOST])
        if len(lines) > MOST:
            listed += f"\n  and {len(lines) - MOST} more"
        raise ValueError(f"{owner}: expected {file} to fit the network, got differences:\n{listed}")
    values = {name: found[name] for name in wanted}
    if cast:
        with np.errstate(over="ignore"):  # what is too large for the dtype is reported below
            values = {name: values[name].astype(array.dtype) for name, array in wanted.items()}
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise ValueError(
                f"{owner}: expected finite values in {file}, got a NaN or an infinity in {name}"
            )
    return values


def _kind(array: Array) -> str:
    return f"{array.dtype} of shape {array.shape}"
