"""Snapshots: copy everything that an object holds, and restore it.

A check runs a layer many times and must leave it as it was. It also needs each pass to start from
the same random state.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from types import MethodType
from typing import Any

import numpy as np

from elunet.testing._find.places import attributes, classes_of, is_numeric, put, walk


class Randomness:
    """The random state of the generators in an object, and of NumPy's and Python's global ones."""

    def __init__(self, root: Any = None) -> None:
        kinds = (np.random.Generator, np.random.RandomState)
        found = {id(item): item for place in walk(root) if isinstance(item := place.get(), kinds)}
        self._own = [(item, copy.deepcopy(_bits(item).state)) for item in found.values()]
        self._numpy = np.random.get_state()  # noqa: NPY002 (a user's layer may draw from it)
        self._python = random.getstate()

    def restore(self) -> None:
        """Restore all of them."""
        for item, state in self._own:
            _bits(item).state = copy.deepcopy(state)
        np.random.set_state(self._numpy)  # noqa: NPY002
        random.setstate(self._python)


def _bits(item: Any) -> Any:
    return item.bit_generator if isinstance(item, np.random.Generator) else item._bit_generator


class Snapshot:
    """Everything that an object holds, so that it can be restored.

    Attributes are restored as the same objects, those of the classes too, arrays with their
    contents, dicts and lists with their items.
    """

    def __init__(self, root: Any) -> None:
        holders = {id(root): root}
        items: dict[int, Any] = {}
        for place in walk(root):
            holders.setdefault(id(place.holder), place.holder)
            item = place.get()
            items.setdefault(id(item), item)
        things = [*holders.values(), *items.values()]
        self._dicts = [(item, dict(item)) for item in things if isinstance(item, dict)]
        self._lists = [(item, list(item)) for item in things if isinstance(item, list)]
        self._deques = [(item, list(item)) for item in things if isinstance(item, deque)]
        self._attributes = [
            (item, attributes(item))
            for item in holders.values()
            if not isinstance(item, dict | list | tuple | deque | np.ndarray | type | MethodType)
        ]
        kinds = {kind for item in holders.values() for kind in classes_of(item)}
        self._classes = [(kind, _shared(kind)) for kind in kinds]
        self._arrays = [
            (item, item.copy()) for item in items.values() if isinstance(item, np.ndarray)
        ]
        self._randomness = Randomness(root)
        self._root = root
        self._paths = {
            place.path: copy.copy(item)
            for place in walk(root)
            if (item := place.get()) is None or is_numeric(item)
        }

    def restore(self) -> None:
        """Restore everything."""
        for part, own in self._attributes:
            for name in attributes(part).keys() - own.keys():
                delattr(part, name)
            now = attributes(part)
            for name, value in own.items():
                if name not in now or now[name] is not value:
                    put(part, name, value)
        for kind, shared in self._classes:
            for name in _shared(kind).keys() - shared.keys():
                delattr(kind, name)
            for name, value in shared.items():
                if vars(kind).get(name) is not value:
                    setattr(kind, name, value)
        for mapping, entries in self._dicts:
            mapping.clear()
            mapping.update(entries)
        for sequence, values in self._lists:
            sequence[:] = values
        for line, values in self._deques:
            line.clear()
            line.extend(values)
        for array, content in self._arrays:
            if array.flags.writeable and not _equal(array, content):
                array[...] = content
        self._randomness.restore()

    def changed(self) -> list[tuple[str, Any]]:
        """Return the path and the old content of each array, number or None that has changed."""
        now = {place.path: place.get() for place in walk(self._root)}
        return [
            (path, old) for path, old in self._paths.items() if not _same(old, now.get(path, old))
        ]

    def grown(self) -> list[tuple[list[Any], int]]:
        """Return the lists that are longer now, with the length that they had."""
        return [(now, len(before)) for now, before in self._lists if len(now) > len(before)]


def _shared(kind: type) -> dict[str, Any]:
    """Return what a class holds for all its objects."""
    return {
        name: value
        for name, value in vars(kind).items()
        if not (name.startswith("__") and name.endswith("__"))
    }


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return is_numeric(b) and np.shape(a) == np.shape(b) and bool(np.array_equal(a, b))


def _equal(a: Any, b: Any) -> bool:
    if a.dtype == object:
        return all(x is y for x, y in zip(a.flat, b.flat, strict=True))
    return bool(np.array_equal(a, b))


class Frozen:
    """What must be equal before each pass: random state, `state` dicts, lists that grow.

    Parameters
    ----------
    root : object
    kept : sequence of str
        Attributes that are carried from call to call on purpose: paths such as "h", "cell.h".
    """

    def __init__(self, root: Any, kept: tuple[str, ...] = ()) -> None:
        self._items: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._kept = []
        for place in walk(root):
            value = place.get()
            if place.is_attribute and place.key == "state" and isinstance(value, dict):
                self._items.append((value, copy.deepcopy(value)))
            if place.path in kept:
                self._kept.append((place, copy.deepcopy(value)))
        self._lists: list[tuple[list[Any], int]] = []
        self._randomness = Randomness(root)

    def shorten(self, sequence: list[Any], length: int) -> None:
        """Cut this list to its first items before each pass."""
        self._lists.append((sequence, length))

    def restore(self) -> None:
        """Restore them."""
        for mapping, saved in self._items:
            for key, value in saved.items():
                mapping[key] = copy.deepcopy(value)
        for place, saved in self._kept:
            place.set(copy.deepcopy(saved))
        for sequence, length in self._lists:
            del sequence[length:]
        self._randomness.restore()
