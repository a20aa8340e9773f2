"""Nested arguments: dicts, lists, tuples and objects that hold arrays and numbers.

A leaf is an array or a number; its path is printed as one would write it, ``parameters['W1']``.
A copy of the whole with some leaves replaced is what a numeric derivative needs.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from elunet.testing._find.places import Place, is_number, numeric_places, unlooked


class Structure:
    """Things under names, with all the arrays and numbers in them.

    Parameters
    ----------
    named : mapping
        From names (as in ``x``, ``parameters``) to anything.

    Attributes
    ----------
    leaves : dict
        Arrays and numbers by their path, in order.

    Examples
    --------
    >>> from elunet.testing._find.structures import Structure
    >>> one = Structure({"x": 2.0, "parameters": {"W": [3.0, 4.0]}})
    >>> list(one.leaves)
    ['x', "parameters['W'][0]", "parameters['W'][1]"]
    >>> one.copy({"parameters['W'][1]": 5.0})
    {'x': 2.0, 'parameters': {'W': [3.0, 5.0]}}
    """

    def __init__(self, named: Mapping[str, Any]) -> None:
        self.named = dict(named)
        order = {name: i for i, name in enumerate(self.named)}
        places = sorted(
            numeric_places(self.named, shared=False), key=lambda place: order[_top(place)]
        )
        self._places = {printed(place): place for place in places}
        self.leaves = {path: place.get() for path, place in self._places.items()}

    @property
    def unlooked(self) -> list[str]:
        """Words for what is too much to be looked at."""
        return unlooked(self.named, shared=False)

    def copy(self, replaced: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return deep copies of the things; the leaves are copies too, or what replaces them."""
        made = {name: copied(thing) for name, thing in self.named.items()}
        wanted = dict(replaced or {})
        if any(made[name] is thing for name, thing in self.named.items()):  # it was not copied
            wanted = {**self.leaves, **wanted}
        for path in wanted.keys() & self._places.keys():
            _place_in(made, self._places[path]).set(_like(self.leaves[path], wanted[path]))
        return made

    def with_leaves(self, change: Callable[[str, Any], Any]) -> Structure:
        """Return a copy whose leaves are what `change(path, leaf)` gives."""
        made = {name: copied(thing) for name, thing in self.named.items()}
        for place in numeric_places(made, shared=False):
            place.set(change(printed(place), place.get()))
        return Structure(made)


def as_dict(thing: Any) -> Any:
    """Return a dataclass's fields by name, anything else as it is."""
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        return thing
    return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}


def printed(place: Place) -> str:
    """Return a place's path as one writes it: the first key is a name."""
    name = _top(place)
    return name + place.path[len(f"[{name!r}]") :]


def _place_in(root: dict[str, Any], place: Place) -> Place:
    """Return the same place in a copy of the whole."""
    above = None if place.above is None else _place_in(root, place.above)
    holder = root if above is None else above.get()
    return Place(place.path, holder, place.key, place.is_attribute, above)


def _top(place: Place) -> str:
    """Return the name of the thing that the place is in."""
    while place.above is not None:
        place = place.above
    return str(place.key)


def _like(old: Any, new: Any) -> Any:
    """Return new as its own object, a number where there was a number."""
    if isinstance(old, np.ndarray) or not is_number(old):
        return np.array(new)
    if isinstance(new, np.ndarray):
        return new.dtype.type(new) if isinstance(old, np.generic) else new.item()
    return new


def copied(thing: Any) -> Any:
    """Return a deep copy; the thing itself if it cannot be copied (a lock, a file)."""
    if isinstance(thing, list) and set(map(type, thing)) <= {int, float}:
        return thing.copy()
    try:
        return copy.deepcopy(thing)
    except Exception:
        return thing
