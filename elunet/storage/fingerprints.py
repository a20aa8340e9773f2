"""Fingerprints: one SHA-256 of arrays and texts, the same on every machine."""

from __future__ import annotations

import hashlib

import numpy as np

from elunet._types import Array

SLAB = 1 << 24  # bytes of an array that are copied at a time, if they have to be


def sha256(*parts: str | Array) -> str:
    """Return the SHA-256 of texts and arrays, in order, as 64 hexadecimal digits.

    A text counts with its UTF-8 bytes; an array with its dtype, its shape and its elements in
    C order, little-endian.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
            continue
        digest.update(f"{part.dtype.name} {part.shape}\n".encode())
        rows = np.atleast_1d(part)
        step = max(1, SLAB * len(rows) // max(rows.nbytes, 1))
        for start in range(0, len(rows), step):
            slab = rows[start : start + step]
            little = slab.astype(slab.dtype.newbyteorder("<"), copy=False)
            digest.update(np.ascontiguousarray(little).view(np.uint8).data)
    return digest.hexdigest()
