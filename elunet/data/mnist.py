"""MNIST and Fashion-MNIST from their official IDX files.

An IDX file begins with two zero bytes, a code of the dtype (8: uint8), the number of axes, and the
axes' lengths as big-endian 32-bit integers; the numbers follow. The official files are compressed
with gzip. What is in a compressed file has to have the official SHA-256; any program may have
compressed it. Unpacked files are taken as they are.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

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


class _Hashes(NamedTuple):
    """The SHA-256 of an official file, and of what is in it."""

    packed: str
    content: str


class _Source(NamedTuple):
    """A data set, and where its files are from."""

    name: str
    torchvision: str  # its folder in the one that torchvision downloads to
    url: str
    hashes: Mapping[str, _Hashes]

    @property
    def owner(self) -> str:
        """The function that loads it, for messages."""
        return f"load_{self.name}"

    def file(self, folder: Path, origin: str, name: str, download: bool) -> Path:
        """Return the file with this official name, unpacked or compressed; download it if asked."""
        names = [name, name.replace("-idx", ".idx")]  # some programs that unpack change the name
        for place in (folder, folder / self.torchvision / "raw"):
            for each in [*names, *(f"{each}.gz" for each in names)]:
                file = place / each
                if file.is_dir():  # as in Kaggle's copy, with the file in it
                    file = file / each
                if file.exists():
                    return file
        packed = f"{name}.gz"
        if not download:
            raise FileNotFoundError(
                f"{self.owner}: expected {name} or {packed} at {origin}, got neither. Either call"
                f" {self.owner}(download=True), or fetch {self.url}{packed} and give its folder as"
                " path."
            )
        return official.download(self.owner, folder, self.url, packed, self.hashes[name].packed)


_MNIST = _Source(
    "mnist",
    "MNIST",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    {
        "train-images-idx3-ubyte": _Hashes(
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        "train-labels-idx1-ubyte": _Hashes(
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        "t10k-images-idx3-ubyte": _Hashes(
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        "t10k-labels-idx1-ubyte": _Hashes(
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    },
)
_FASHION = _Source(
    "fashion_mnist",
    "FashionMNIST",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    {
        "train-images-idx3-ubyte": _Hashes(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        "train-labels-idx1-ubyte": _Hashes(
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        "t10k-images-idx3-ubyte": _Hashes(
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        "t10k-labels-idx1-ubyte": _Hashes(
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    },
)


def load_mnist(
    path: str | os.PathLike[str] | None = None, download: bool = False
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Load MNIST's 60,000 training and 10,000 test images of handwritten digits.

    Parameters
    ----------
    path
        A folder with the four IDX files (``train-images-idx3-ubyte`` or
        ``train-images.idx3-ubyte``, and so on), compressed (``.gz``) or not, or the folder to which
        torchvision has downloaded them. By default the folder that the environment variable
        ELUNET_MNIST names, else the user's cache folder.
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
    return _load(_MNIST, path, download)


def load_fashion_mnist(
    path: str | os.PathLike[str] | None = None, download: bool = False
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Load Fashion-MNIST's 60,000 training and 10,000 test images of clothes.

    Parameters
    ----------
    path
        A folder with the four IDX files, as for `load_mnist` (Debian's package
        dataset-fashion-mnist has one). By default the folder that the environment variable
        ELUNET_FASHION_MNIST names, else the user's cache folder.
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
    return _load(_FASHION, path, download)


def _load(
    source: _Source, path: str | os.PathLike[str] | None, download: bool
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    owner = source.owner
    environment = f"ELUNET_{source.name.upper()}"
    folder, origin = official.place_of(owner, path, environment)
    if path is None and environment not in os.environ:
        folder = folder / source.name  # both data sets have files of the same names
        origin = f"the cache folder {str(folder)!r}"
    parts = []
    for split, n in _SPLITS:
        arrays = []
        for kind, shape in (("images-idx3", (n, _SIDE, _SIDE)), ("labels-idx1", (n,))):
            name = f"{split}-{kind}-ubyte"
            file = source.file(folder, origin, name, download)
            content = _content(owner, file, source.hashes[name].content)
            arrays.append(_array(owner, file, content, shape))
        x, y = arrays
        if y.max() > 9:
            raise ValueError(f"{owner}: expected labels 0 to 9 in {file}, got {y.max()}")
        parts.append((x[..., None].copy(), y.astype(np.int64)))
    return parts[0], parts[1]


def _content(owner: str, file: Path, sha256: str) -> bytes:
    """Return what a file holds, unpacked."""
    size = official.size_of(owner, file)
    if file.suffix != ".gz":
        if size > _LARGEST:
            raise ValueError(f"{owner}: expected {file} of at most {_LARGEST} bytes, got {size}")
        return file.read_bytes()
    try:
        with gzip.open(file) as packed:
            content = packed.read(_LARGEST + 1)  # no more, whatever it claims to hold
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{owner}: expected {file} to be a gzip file, got {error}. Fetch it again."
        ) from error
    got = hashlib.sha256(content).hexdigest()
    if got != sha256:
        raise ValueError(
            f"{owner}: expected {file} to hold what the official file holds, with sha256 {sha256},"
            f" got {got}. Fetch it again, or unpack it yourself if you trust it."
        )
    return content


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
