"""MNIST and Fashion-MNIST from their official IDX files.

An IDX file begins with two zero bytes, a code of the dtype (8: uint8), the number of axes, and the
axes' lengths as big-endian 32-bit integers; the numbers follow. The official files are compressed
with gzip and have to have the official SHA-256; unpacked ones are taken as they are.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from elunet._types import Array
from elunet.data import _official as official

FASHION_CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
"""The names of Fashion-MNIST's labels 0 to 9."""

_SPLITS = (("train", 60_000), ("t10k", 10_000))
_SIDE = 28
_LARGEST = 60_000 * _SIDE**2 + 16  # bytes of a file
_MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_MNIST = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_FASHION = {
    "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def load_mnist(
    path: str | os.PathLike[str] | None = None, download: bool = False
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Load MNIST's 60,000 training and 10,000 test images of handwritten digits.

    Parameters
    ----------
    path
        A folder with the four IDX files (``train-images-idx3-ubyte`` and so on), compressed
        (``.gz``) or not. By default the folder that the environment variable ELUNET_MNIST names,
        else the user's cache folder.
    download
        Whether to download the files (12 MB) to `path`, or to the cache folder, if they are not
        there.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images (N, 28, 28, 1) uint8 and labels (N,) int64, the digits.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the message says how to get it.
    ValueError
        If a file is not what it should be.
    RuntimeError
        If the download fails; the message says how to get the file otherwise.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, *Gradient-Based Learning Applied to Document Recognition*, 1998,
    10.1109/5.726791.

    Examples
    --------
    >>> import elunet as eln
    >>> try:
    ...     (x_train, y_train), (x_test, y_test) = eln.data.load_mnist("nowhere")
    ... except FileNotFoundError:
    ...     print("not there; download=True fetches it")
    not there; download=True fetches it
    """
    return _load("load_mnist", "mnist", _MNIST, _MNIST_URL, path, download)


def load_fashion_mnist(
    path: str | os.PathLike[str] | None = None, download: bool = False
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Load Fashion-MNIST's 60,000 training and 10,000 test images of clothes.

    Parameters
    ----------
    path
        A folder with the four IDX files, as for `load_mnist`. By default the folder that the
        environment variable ELUNET_FASHION_MNIST names, else the user's cache folder.
    download
        Whether to download the files (31 MB) to `path`, or to the cache folder, if they are not
        there.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images (N, 28, 28, 1) uint8 and labels (N,) int64, indices into `FASHION_CLASSES`.

    Raises
    ------
    FileNotFoundError, ValueError, RuntimeError
        As `load_mnist`.

    References
    ----------
    Xiao, Rasul, Vollgraf, *Fashion-MNIST*, 2017, arXiv:1708.07747.

    Examples
    --------
    >>> import elunet as eln
    >>> eln.data.FASHION_CLASSES[9]
    'ankle boot'
    """
    return _load("load_fashion_mnist", "fashion_mnist", _FASHION, _FASHION_URL, path, download)


def _load(
    owner: str,
    name: str,
    hashes: Mapping[str, str],
    url: str,
    path: str | os.PathLike[str] | None,
    download: bool,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    environment = f"ELUNET_{name.upper()}"
    folder, origin = official.place_of(owner, path, environment)
    if path is None and environment not in os.environ:
        folder = folder / name  # both data sets have files of the same names
        origin = f"the cache folder {str(folder)!r}"
    parts = []
    for split, n in _SPLITS:
        files = [f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"]
        contents = [_content(owner, folder / f, hashes[f], url, origin, download) for f in files]
        x = _array(owner, folder / files[0], contents[0], (n, _SIDE, _SIDE))
        y = _array(owner, folder / files[1], contents[1], (n,))
        if y.max() > 9:
            raise ValueError(
                f"{owner}: expected labels 0 to 9 in {folder / files[1]}, got {y.max()}"
            )
        parts.append((x[..., None].copy(), y.astype(np.int64)))
    return parts[0], parts[1]


def _content(owner: str, file: Path, sha256: str, url: str, origin: str, download: bool) -> bytes:
    """Return what a file holds, unpacked."""
    packed = file.with_name(f"{file.name}.gz")
    if file.exists():
        _check_size(owner, file)
        return file.read_bytes()
    if not packed.exists():
        if not download:
            raise FileNotFoundError(
                f"{owner}: expected {file.name} or {packed.name} at {origin}, got neither. Either"
                f" call {owner}(download=True), or fetch {url}{packed.name} and give its folder as"
                " path."
            )
        official.download(owner, file.parent, url, packed.name, sha256)
    _check_size(owner, packed)
    content = packed.read_bytes()
    got = hashlib.sha256(content).hexdigest()
    if got != sha256:
        raise ValueError(
            f"{owner}: expected {packed} with sha256 {sha256}, got {got}. Fetch it again, or"
            " unpack it yourself if you trust it."
        )
    return gzip.decompress(content)


def _check_size(owner: str, file: Path) -> None:
    if (size := official.size_of(owner, file)) > _LARGEST:
        raise ValueError(f"{owner}: expected {file} of at most {_LARGEST} bytes, got {size}")


def _array(owner: str, file: Path, content: bytes, shape: tuple[int, ...]) -> Array:
    """Return the numbers of an IDX file that has to have a shape."""
    header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    if content[: len(header)] != header:
        raise ValueError(
            f"{owner}: expected {file} to be an IDX file of uint8 {shape}, got one that begins"
            f" with {content[: len(header)].hex()}"
        )
    numbers = np.frombuffer(content, np.uint8, offset=len(header))
    wanted = int(np.prod(shape))
    if len(numbers) != wanted:
        raise ValueError(
            f"{owner}: expected {file} of {len(header) + wanted} bytes, got {len(content)}"
        )
    return numbers.reshape(shape)
