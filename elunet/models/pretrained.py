"""Weights of trained networks: finds or downloads their files, and checks their SHA-256.

The package does not contain them. They are in the project's ``docs/weights``. elunet looks in the
folder that ELUNET_WEIGHTS names, or else in a checkout and in the user's cache. A file that is in
none of them is downloaded.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

SHA256 = {
    "elu11-cifar10.safetensors": (
        "445b3ac04d6a5eca94181a93b830776d34fb25a76264c3f65a4f3ab66df1f900"
    ),
}
ENVIRONMENT = "ELUNET_WEIGHTS"


def weights_file(owner: str, name: str) -> Path:
    """Return the file with trained weights; download it into the cache if it is not found.

    Parameters
    ----------
    owner : str
        The function that asks, for messages.
    name : str
        One of `SHA256`.

    Raises
    ------
    FileNotFoundError
        If it is not found, and the installed package does not name the project's repository.
    RuntimeError
        If the download fails.
    ValueError
        If a file of that name has another content.
    """
    import pooch  # here: `import elunet` need not wait for it

    cache = Path(pooch.os_cache("elunet"))
    checkout = Path(__file__).parents[2] / "docs" / "weights"
    named = os.environ.get(ENVIRONMENT)
    for folder in [Path(named)] if named else [checkout, cache]:
        if (file := folder / name).is_file():
            return _checked(owner, file)
    source = "" if named else _source()
    if not source:
        places = named or f"{checkout} and {cache}"
        raise FileNotFoundError(
            f"{owner}: expected the weights {name} in {places}, got no such file. It is in the"
            f" project's folder docs/weights: put it there, set {ENVIRONMENT} to its folder, or"
            f" give its path as weights"
        )
    url = f"{source}/raw/HEAD/docs/weights/{name}"
    try:
        return Path(pooch.retrieve(url, f"sha256:{SHA256[name]}", fname=name, path=cache))
    except ValueError as error:  # pooch reports a wrong hash like this, and deletes the file
        raise ValueError(f"{owner}: expected the weights {name} at {url}, got {error}") from error
    except OSError as error:  # no network, no answer, no space
        raise RuntimeError(
            f"{owner}: expected to download {url} to {cache}, got {error!r}. Check the network and"
            f" try again, or fetch that file by other means and give its path as weights"
        ) from error


def _source() -> str:
    """Return the address of the project's repository, "" where the installation has none."""
    from importlib import metadata  # it brings lzma and socket along: see `weights_file`

    try:
        urls = metadata.metadata("elunet").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    source: str = dict(url.split(", ", 1) for url in urls).get("Source", "")
    return source.rstrip("/")


def _checked(owner: str, file: Path) -> Path:
    got = hashlib.sha256(file.read_bytes()).hexdigest()
    if got != SHA256[file.name]:
        raise ValueError(
            f"{owner}: expected {file} with sha256 {SHA256[file.name]}, got {got}. Fetch it again,"
            f" or give its path as weights if you trust it"
        )
    return file
