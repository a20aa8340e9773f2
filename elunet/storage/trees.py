"""Trees of plain data: what every `state()` returns and every `restore(state)` takes.

A tree is a dict with text keys, a list, a text, a number, a bool, None, or a NumPy array. `pack`
turns one into JSON's data and arrays by name, `unpack` turns it back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from elunet._checks import is_masked
from elunet._types import Array

Tree = dict[str, Any]


class Stateful(Protocol):
    """Something with a state in a checkpoint: optimizer, router, batches, callback, layers."""

    def state(self) -> Any:
        """Return the state as a tree."""
        ...

    def restore(self, state: Any) -> None:
        """Go back to a `state`. A state that is refused, with an error, changes nothing."""
        ...


DEEPEST = 100
"""The largest number of nested dicts and lists; a list that contains itself has no end."""


def pack(tree: Any, arrays: dict[str, Array], path: str = "", depth: int = 0) -> Any:
    """Return a tree as data for JSON, and put its arrays, not copies, into `arrays` by path.

    Raises
    ------
    TypeError
        If something in it is neither a dict with text keys, list, text, number nor array without
        a mask.
    ValueError
        If it holds itself.
    """
    if depth > DEEPEST:
        raise ValueError(
            f"save: expected a state of at most {DEEPEST} nested dicts and lists, got more in"
            f" {path[:60]}...; does it contain itself?"
        )
    if tree is None or isinstance(tree, str | bool | int):
        return tree
    if isinstance(tree, np.bool_ | np.integer | np.floating):
        return pack(tree.item(), arrays, path)
    if isinstance(tree, float):
        return tree if math.isfinite(tree) else {"$float": repr(tree)}
    if is_masked(tree):
        raise TypeError(f"save: expected {path or 'the state'} without a mask, got a masked array")
    if isinstance(tree, np.ndarray):
        name = path
        while name in arrays:
            name += "'"
        arrays[name] = tree
        return {"$array": name}
    if isinstance(tree, list | tuple):
        return [pack(item, arrays, f"{path}.{place}", depth + 1) for place, item in enumerate(tree)]
    if isinstance(tree, Mapping):
        for key in tree:
            if not isinstance(key, str) or key.startswith("$"):
                raise TypeError(f"save: expected text keys in {path or 'the state'}, got {key!r}")
        return {key: pack(item, arrays, f"{path}.{key}", depth + 1) for key, item in tree.items()}
    raise TypeError(
        f"save: expected {path or 'the state'} as dicts, lists, texts, numbers and arrays, got a"
        f" {type(tree).__name__}"
    )


def unpack(data: Any, arrays: Mapping[str, Array]) -> Any:
    """Return the tree that was packed."""
    if isinstance(data, list):
        return [unpack(item, arrays) for item in data]
    if isinstance(data, dict):
        if data.keys() == {"$array"}:
            return arrays[data["$array"]]
        if data.keys() == {"$float"}:
            return float(data["$float"])
        return {key: unpack(item, arrays) for key, item in data.items()}
    return data
