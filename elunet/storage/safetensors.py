"""The safetensors format: named arrays of numbers, which other frameworks read and write too.

    8 bytes     the header's length, a little-endian integer
    header      JSON: {"__metadata__": {str: str}, name: {"dtype", "shape", "data_offsets"}, ...}
    data        the arrays' bytes, one after the other, little-endian and in row-major order

Nothing in a file can be executed. What is written here is, byte for byte, what the format's own
package writes; what is read is checked as strictly. Format:
https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from elunet._types import Array

# The largest numbers come first in a file, so that each array begins where its numbers may.
NAMES = {
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "float32": "F32",
    "uint32": "U32",
    "int32": "I32",
    "float16": "F16",
    "uint16": "U16",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
DTYPES = {name: np.dtype(dtype).newbyteorder("<") for dtype, name in NAMES.items()}
LARGEST_HEADER = 100_000_000  # bytes; the format's own limit
METADATA = "__metadata__"


class MalformedError(ValueError):
    """The content has another format, or is damaged."""


class UnknownDtypeError(ValueError):
    """NumPy does not have this dtype; the text is its name."""


class UnholdableError(ValueError):
    """NumPy cannot hold an array of this shape."""


def dump(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """Return a file's content.

    Parameters
    ----------
    arrays : mapping of str to array
        Of the dtypes in `NAMES`.
    metadata : mapping of str to str
    """
    order = list(NAMES)
    names = sorted(arrays, key=lambda name: (order.index(arrays[name].dtype.name), name))
    header: dict[str, Any] = {METADATA: dict(metadata)}
    parts, place = [], 0
    for name in names:
        array, kind = arrays[name], NAMES[arrays[name].dtype.name]
        end = place + array.nbytes
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (place, end)}
        parts.append(array.astype(DTYPES[kind], copy=False).tobytes())
        place = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def parse(content: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and metadata of a file's content; the arrays are copies.

    Raises
    ------
    MalformedError, UnknownDtypeError, UnholdableError
        If it does not follow the format, or NumPy cannot hold what is in it.
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 0 < length <= min(LARGEST_HEADER, len(content) - 8):
        raise MalformedError(f"no header: {length} bytes, in a file of {len(content)}")
    try:
        header = json.loads(content[8 : 8 + length].decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"a header that is not JSON: {error}") from error
    _expect(isinstance(header, dict), "a header that is not a JSON object")
    metadata = header.pop(METADATA, None) or {}
    texts = isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())
    _expect(texts, "metadata that are not strings")
    for name, entry in header.items():
        _expect(_is_entry(entry), f"invalid dtype, shape or data_offsets of {name!r:.200}")
    data, arrays, place = memoryview(content)[8 + length :], {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        first, end = entry["data_offsets"]
        _expect(first == place <= end <= len(data), f"wrong data_offsets of {name!r:.200}")
        arrays[name] = _array(name, entry["dtype"], entry["shape"], data[first:end])
        place = end
    _expect(place == len(data), f"{len(data)} bytes of numbers instead of {place}")
    return {name: arrays[name] for name in header}, metadata


def _array(name: str, kind: str, shape: list[int], data: memoryview) -> Array:
    if kind not in DTYPES:
        raise UnknownDtypeError(kind)
    size = math.prod(shape) * DTYPES[kind].itemsize
    _expect(size == len(data), f"{len(data)} bytes of {name!r:.200} instead of {size}")
    try:
        array = np.frombuffer(data, DTYPES[kind]).reshape(shape)
    except (ValueError, OverflowError) as error:  # too many axes, or too large
        raise UnholdableError(str(error)) from error
    return array.astype(array.dtype.type)  # the native dtype itself, not one that is equal to it


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    _expect(len(found) == len(pairs), "a name that occurs twice")
    return found


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        return False
    return all(type(number) is int and number >= 0 for number in (*shape, *offsets))


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise MalformedError(otherwise)
