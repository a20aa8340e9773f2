"""Named arrays and a note in one file, in the safetensors format that other frameworks read.

The file's metadata hold a SHA-256 of names, shapes, dtypes, bytes and note, so that a damaged file
is refused. A note is JSON text by convention, and empty in a file of weights.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress

import numpy as np

from elunet._types import Array
from elunet.storage import safetensors
from elunet.storage.fingerprints import sha256

KEY, VERSION = "elunet", 1
DTYPES = tuple(safetensors.NAMES)
MALFORMED = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError)
"""The errors of reading malformed data."""
PICKLE_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")


def encode(arrays: Mapping[str, Array], note: str = "") -> bytes:
    """Return a file's content.

    Raises
    ------
    TypeError
        If the format has no such dtype.
    """
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in contiguous.items():
        if array.dtype.name not in DTYPES:
            raise TypeError(f"save: expected {name} as one of {DTYPES}, got {array.dtype}")
    about = f"{VERSION} sha256:{_digest(contiguous, note)}" + (f" {note}" if note else "")
    return safetensors.dump(contiguous, {KEY: about})


def decode(
    owner: str, file: str | os.PathLike[str], content: bytes
) -> tuple[dict[str, Array], str | None]:
    """Return a file's arrays and its note, None if another framework wrote it.

    Parameters
    ----------
    owner : str
        Who asks; it begins an error's message.
    file : path
        The name for a message; it is not read.
    content : bytes

    Raises
    ------
    ValueError
        If it is not a safetensors file, or elunet's and damaged or of a newer version.
    """
    try:
        found, about = safetensors.parse(content)
    except safetensors.UnknownDtypeError as error:
        raise ValueError(
            f"{owner}: expected numbers in {file} of a dtype that NumPy has, got {error};"
            " convert them to F32 in the program that wrote them"
        ) from error
    except safetensors.UnholdableError as error:
        raise ValueError(
            f"{owner}: expected arrays in {file} that NumPy can hold, got a shape that it cannot:"
            f" {error}"
        ) from error
    except safetensors.MalformedError as error:
        raise ValueError(
            f"{owner}: expected {file} as a safetensors file, got {_kind_of_file(content, error)}"
        ) from error
    if KEY not in about and not any(re.match(r"\d+ sha256:", text) for text in about.values()):
        return found, None
    version, _, rest = about.get(KEY, "").partition(" ")  # the key itself may be damaged
    digest, _, note = rest.partition(" ")
    if version.isascii() and version.isdecimal() and int(version) > VERSION:
        raise ValueError(
            f"{owner}: expected {file} of version {VERSION} or older, got version {version}: a"
            " newer version of elunet wrote it"
        )
    if version != str(VERSION) or digest != f"sha256:{_digest(found, note)}":
        raise ValueError(
            f"{owner}: expected {file} as it was saved, got another SHA-256: the file is damaged"
        )
    return found, note


def _digest(arrays: Mapping[str, Array], note: str) -> str:
    parts: list[str | Array] = []
    for name in sorted(arrays):
        parts += [f"{name} ", arrays[name]]
    return sha256(*parts, note)


def _kind_of_file(content: bytes, error: Exception) -> str:
    """Return the kind of a file that is not a safetensors file."""
    if not content:
        return "an empty file"
    if content.startswith(b"PK\x03\x04"):
        return "a zip archive, as PyTorch and NumPy write them"
    length = int.from_bytes(content[:8], "little")
    start = 8 + length
    if content[8:9] == b"{" and start > len(content) and length < safetensors.LARGEST_HEADER:
        return f"a truncated one: {len(content)} bytes, which end inside its header"
    with suppress(*MALFORMED):
        header = json.loads(content[8:start])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name[:2] != "__"]
        if start + max(ends) > len(content):
            return f"a truncated one: {len(content)} of {start + max(ends)} bytes"
    if content[:1] == b"\x80" and content[1:2] in PICKLE_PROTOCOLS:
        return "what looks like a pickle, which elunet never opens: it could run any code"
    return f"another kind of file ({error})"
