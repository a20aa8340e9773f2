"""What a router may remember: plain data, checked and copied on its way into a state and back.

A state holds numbers, texts and arrays only, so that it can be written as JSON and arrays. Random
generators are not among them: what a rule draws follows from its seed, a name and a count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from elunet._checks import integer, number
from elunet._types import Array
from elunet.layers.base import describe

Check = Callable[[str, str, Any], Any]
"""``check(owner, name, value)``: a copy of the value, or a TypeError or ValueError if it is bad."""


def count(owner: str, name: str, value: Any) -> int:
    """Return an integer of at least 0."""
    return integer(owner, name, value, 0)


def numbers(owner: str, name: str, value: Any) -> dict[str, float]:
    """Return a copy of {layer's name: number}."""
    found = _by_layer(owner, name, value)
    return {layer: number(owner, f"{name} of {layer}", item) for layer, item in found.items()}


def arrays(owner: str, name: str, value: Any) -> dict[str, Array]:
    """Return a copy of {layer's name: float array}."""
    for layer, item in _by_layer(owner, name, value).items():
        if not isinstance(item, np.ndarray) or item.dtype.kind != "f":
            raise ValueError(
                f"{owner}: expected {name} of {layer} as a float array, got {describe(item)}"
            )
    return {layer: item.copy() for layer, item in value.items()}


def _by_layer(owner: str, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(layer, str) for layer in value):
        raise ValueError(f"{owner}: expected {name} as a dict by layer names, got {value!r}")
    return value
