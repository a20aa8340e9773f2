"""The data of a run, identified by their SHA-256."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from operator import is_
from typing import TYPE_CHECKING, Any

import numpy as np

from elunet._types import Array
from elunet.storage.fingerprints import sha256

if TYPE_CHECKING:
    from elunet.train import Trainer

Data = tuple[Array, Array]
"""Examples and their targets: a pair of arrays."""

Weighted = tuple[Array, Array, Array]


class Fingerprints:
    """The SHA-256 of data sets, computed once for the same arrays."""

    def __init__(self) -> None:
        self._known: list[tuple[tuple[Any, ...], str]] = []

    def of(self, *arrays: Array) -> str:
        """Return the SHA-256 of examples, labels and weights, if there are some."""
        for known, found in self._known:
            if len(known) == len(arrays) and all(map(is_, known, arrays)):
                return found
        found = sha256(*map(np.asarray, arrays))
        self._known = [*self._known[-1:], (arrays, found)]  # training and validation data
        return found


def fingerprints(trainer: Trainer) -> dict[str, str | None] | None:
    """Return {"train": SHA-256, "validation": SHA-256 or None} of the current `fit`'s data."""
    batches, validation, known = trainer.batches, trainer.validation, trainer.fingerprints
    if batches is None:
        return None
    train = [batches.x, batches.y, *([] if batches.weights is None else [batches.weights])]
    return {
        "train": known.of(*train),
        "validation": None if validation is None else known.of(*validation),
    }


def differences(trainer: Trainer, saved: Mapping[str, Any], allow: Collection[str]) -> list[str]:
    """Return a line for each part of the data whose fingerprint is not the saved one."""
    return [
        f"  {name}: expected data of SHA-256 {str(saved[name])[:12]}, got {str(got)[:12]}"
        for name, got in (fingerprints(trainer) or {}).items()
        if name not in allow and saved.get(name) != got
    ]
