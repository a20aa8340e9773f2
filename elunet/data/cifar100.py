"""CIFAR-100 from its official binary files, without trusting them.

A record is two label bytes, the coarse class (of 20) and the fine one (of 100), and three planes of
1,024 pixel bytes.
"""

from __future__ import annotations

import os

import numpy as np

from elunet._checks import choice
from elunet._types import Array
from elunet.data import _official as official

_ENVIRONMENT = "ELUNET_CIFAR100"
_URL = "https://www.cs.toronto.edu/~kriz/"
_PIXELS = 3 * 32 * 32
_RECORDS = {"train.bin": 50_000, "test.bin": 10_000}
_CLASSES = {"fine": 100, "coarse": 20}
_BINARY = official.Layout(
    "cifar-100-binary.tar.gz",
    168513733,
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    "cifar-100-binary",
    ("train.bin", "test.bin"),
    lambda name: _RECORDS[name] * (2 + _PIXELS),
)


def load_cifar100(
    path: str | os.PathLike[str] | None = None, download: bool = False, labels: str = "fine"
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Load CIFAR-100's 50,000 training and 10,000 test images.

    Parameters
    ----------
    path
        The official folder ``cifar-100-binary``, the official archive ``cifar-100-binary.tar.gz``,
        or a folder that holds one of them. By default the folder that the environment variable
        ELUNET_CIFAR100 names, else the user's cache folder.
    download
        Whether to download the archive (169 MB) to `path`, or to the cache folder, if nothing is
        there yet.
    labels : {"fine", "coarse"}
        One of 100 classes, or of the 20 groups of five that they belong to.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images (N, 32, 32, 3) uint8 and labels (N,) int64, in the order of the official files
        ``fine_label_names.txt`` and ``coarse_label_names.txt``.

    Raises
    ------
    FileNotFoundError, ValueError, RuntimeError
        As `load_cifar10`.

    References
    ----------
    Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.

    Examples
    --------
    >>> import elunet as eln
    >>> try:
    ...     (x_train, y_train), (x_test, y_test) = eln.data.load_cifar100("nowhere")
    ... except FileNotFoundError:
    ...     print("not there; download=True fetches it")
    not there; download=True fetches it
    """
    owner = "load_cifar100"
    choice(owner, "labels", labels, ("fine", "coarse"))
    place, origin = official.place_of(owner, path, _ENVIRONMENT)
    found = official.find(owner, place, [_BINARY])
    if found is None:
        if not download:
            raise FileNotFoundError(
                f"{owner}: expected {_BINARY.folder} or {_BINARY.archive} at {origin}, got neither."
                f" Either call {owner}(download=True), or fetch {_URL}{_BINARY.archive} and give"
                f" its place as path or in the environment variable {_ENVIRONMENT}."
            )
        found = (
            _BINARY,
            official.download(owner, place, _URL, _BINARY.archive, _BINARY.sha256),
        )
    parts = {}
    for name, data in official.read(owner, *found):
        official.check_size(owner, _BINARY, found[1] / name, len(data))
        records = np.frombuffer(data, np.uint8).reshape(-1, 2 + _PIXELS)
        y = records[:, ("coarse", "fine").index(labels)].astype(np.int64)
        if y.max() >= _CLASSES[labels]:
            raise ValueError(
                f"{owner}: expected {labels} labels below {_CLASSES[labels]} in {found[1] / name},"
                f" got {y.max()} in record {y.argmax()}"
            )
        x = records[:, 2:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy()
        parts[name] = x, y
    return parts["train.bin"], parts["test.bin"]
