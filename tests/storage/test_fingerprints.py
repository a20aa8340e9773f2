"""A fingerprint is one of values, dtype and shape, however they lie in memory."""

from __future__ import annotations

import hashlib

import numpy as np

from elunet.storage import fingerprints
from elunet.storage.fingerprints import sha256

X = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


def test_it_is_the_sha256_of_what_it_says():
    content = b"a" + b"float32 (4, 3, 2)\n" + X.tobytes()
    assert sha256("a", X) == hashlib.sha256(content).hexdigest()


def test_layout_and_byte_order_do_not_count(monkeypatch):
    expected = sha256(X)
    monkeypatch.setattr(fingerprints, "SLAB", 10)  # less than a row
    for same in (X.copy(), np.asfortranarray(X), X.astype(">f4"), X[::-1].copy()[::-1]):
        assert sha256(same) == expected


def test_everything_else_does():
    others = [X.astype(float), X.reshape(3, 4, 2), X + 1, X[:0], X[:, :0], X.view(np.int32)]
    found = {sha256(X), sha256(X, X), sha256(""), sha256(np.float32(1)), *map(sha256, others)}
    assert len(found) == 4 + len(others)
