"""Find what a layer holds (parts, parameters, random state), and restore all of it.

A check runs a layer in float64, many times, and must leave it unchanged. It looks at the object as
it is: the dicts `params` and `grads`, or attributes such as W and dW; generators; layers inside
layers. The layer has to declare nothing.
"""

from __future__ import annotations

import copy
import functools
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from elunet._types import Array

GRADIENT_NAMES = ("d{}", "d_{}", "{}_grad", "grad_{}")
USUAL_PARAMETERS = ("W", "w", "b", "weight", "weights", "bias", "gamma", "beta")


def attributes(part: Any) -> dict[str, Any]:
    """Return an object's own attributes, also those in `__slots__`."""
    found: dict[str, Any] = {}
    for kind in type(part).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(part, name):
                found[name] = getattr(part, name)
    found.update(getattr(part, "__dict__", {}))
    return found


def is_layer(value: Any) -> bool:
    """Whether value has both passes (and is no class)."""
    passes = (getattr(value, "forward", None), getattr(value, "backward", None))
    return not isinstance(value, type) and all(map(callable, passes))


def _inside(value: Any, depth: int = 2, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the value and what lists, tuples and dicts in it hold, each with its path."""
    yield path, value
    if depth and isinstance(value, list | tuple | dict):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _inside(item, depth - 1, f"{path}[{key!r}]")


def parts_of(root: Any) -> dict[str, Any]:
    """Return the object and all layers within it, by their path from the object ("" is itself)."""
    parts, seen = {"": root}, {id(root)}
    queue = [("", root)]
    for path, part in queue:  # grows as it is read
        own = {**attributes(part), "layers": getattr(part, "layers", None)}
        for name, value in own.items():
            for step, item in _inside(value):
                if id(item) not in seen and is_layer(item):
                    seen.add(id(item))
                    inner = f"{path}.{name}{step}".lstrip(".")
                    parts[inner] = item
                    queue.append((inner, item))
    return parts


class Randomness:
    """The random state of some parts, and of NumPy's and Python's global generators."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        found = {
            id(item): item
            for part in parts.values()
            for value in attributes(part).values()
            for _, item in _inside(value)
            if isinstance(item, np.random.Generator | np.random.RandomState)
        }
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
    """Everything that some parts hold, so that it can be restored.

    Attributes are restored as the same objects, arrays with their contents, dicts and lists with
    their items.
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._attributes = [(part, attributes(part)) for part in parts.values()]
        items = {
            id(item): item
            for _, own in self._attributes
            for value in own.values()
            for _, item in _inside(value)
        }
        self._dicts = [(item, dict(item)) for item in items.values() if isinstance(item, dict)]
        self._lists = [(item, list(item)) for item in items.values() if isinstance(item, list)]
        self._arrays = [
            (item, item.copy()) for item in items.values() if isinstance(item, np.ndarray)
        ]
        self._randomness = Randomness(parts)

    def restore(self) -> None:
        """Restore everything."""
        for part, own in self._attributes:
            for name in attributes(part).keys() - own.keys():
                delattr(part, name)
            for name, value in own.items():
                if getattr(part, name) is not value:
                    object.__setattr__(part, name, value)
        for mapping, items in self._dicts:
            mapping.clear()
            mapping.update(items)
        for sequence, values in self._lists:
            sequence[:] = values
        for array, content in self._arrays:
            if array.flags.writeable and not np.array_equal(array, content):
                array[...] = content
        self._randomness.restore()


class Frozen:
    """The random state and the `state` arrays, which must be equal before each forward pass."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._states = [
            (state, {key: np.array(value) for key, value in state.items()})
            for part in parts.values()
            if isinstance(state := getattr(part, "state", None), dict)
        ]
        self._randomness = Randomness(parts)

    def restore(self) -> None:
        """Restore them."""
        for state, saved in self._states:
            for key, value in saved.items():
                state[key] = value.copy()
        self._randomness.restore()


@dataclass
class Location:
    """A place that holds an array: an entry of a dict or list, or an attribute."""

    holder: Any
    key: Any
    is_attribute: bool = False

    def get(self) -> Any:
        """Return the array."""
        return getattr(self.holder, self.key) if self.is_attribute else self.holder[self.key]

    def set(self, value: Array) -> None:
        """Replace the array."""
        if self.is_attribute:
            object.__setattr__(self.holder, self.key, value)
        else:
            self.holder[self.key] = value


@dataclass(eq=False)
class Parameter:
    """A parameter in float64, in every place where the layer holds the original."""

    name: str
    """The gradient's name in messages: "grads['W']", "dW"."""
    symbol: str
    """The parameter's own: "params['W']", "W"."""
    value: Array
    locations: list[Location]
    gradient: Callable[[], Any]
    """Return the gradient of the last backward pass, None if there is none."""
    listed: bool
    """Whether it comes from `params`, so that a gradient has to be there."""

    def set(self, value: Array) -> None:
        """Make the layer compute with this value."""
        for location in self.locations:
            location.set(value)


def _locations(parts: Mapping[str, Any]) -> dict[int, list[Location]]:
    """Map the id of each real array to the places that hold it."""
    locations: dict[int, list[Location]] = {}
    seen: set[int] = set()

    def note(value: Any, location: Location) -> None:
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            locations.setdefault(id(value), []).append(location)

    def enter(holder: Any, depth: int) -> None:
        if depth == 0 or id(holder) in seen or not isinstance(holder, dict | list):
            return
        seen.add(id(holder))
        for key, item in holder.items() if isinstance(holder, dict) else enumerate(holder):
            note(item, Location(holder, key))
            enter(item, depth - 1)

    for part in parts.values():
        for name, value in attributes(part).items():
            note(value, Location(part, name, is_attribute=True))
            enter(value, 2)
    return locations


def held_arrays(parts: Mapping[str, Any]) -> list[tuple[str, Array, Array]]:
    """Return the name, the array and a copy of it, for all arrays that the parts hold."""
    found: dict[int, tuple[str, Array, Array]] = {}
    for path, part in parts.items():
        for name, value in attributes(part).items():
            for step, item in _inside(value):
                if isinstance(item, np.ndarray):
                    label = f"{path}.{name}{step}".lstrip(".")
                    found.setdefault(id(item), (label, item, item.copy()))
    return list(found.values())


def _items(holder: Any) -> list[tuple[Any, Any]]:
    return list(holder.items() if isinstance(holder, dict) else enumerate(holder))


def _get(holder: Any, key: Any) -> Any:
    """Return holder[key], None if it is not there."""
    if isinstance(holder, dict):
        return holder.get(key)
    return holder[key] if isinstance(holder, list) and key < len(holder) else None


def in_float64(parts: Mapping[str, Any]) -> list[Parameter]:
    """Replace all real arrays that may be parameters by float64 copies.

    The caller holds a `Snapshot`.

    Returns
    -------
    list of Parameter
        Candidates; an attribute is a parameter only if it gets a gradient.

    Raises
    ------
    TypeError
        If ``params`` lists an array that no part holds, so that it cannot be replaced.
    """
    return _replace(
        parts, [pair for path, part in parts.items() for pair in candidates(path, part)]
    )


def named_in_float64(parts: Mapping[str, Any], net: Any) -> list[Parameter]:
    """Do the same with the arrays of ``net.parameters()``."""
    pairs = []
    for name, value in net.parameters().items():
        work = np.array(value, dtype=np.float64, order="C")
        gradient = functools.partial(_named_gradient, net, name)
        pairs.append((Parameter(name, name, work, [], gradient, True), value))
    return _replace(parts, pairs)


def _replace(parts: Mapping[str, Any], pairs: list[tuple[Parameter, Any]]) -> list[Parameter]:
    locations = _locations(parts)
    found: dict[int, Parameter] = {}
    # A gradient written into its old array must keep float64; one added to it must start at 0.
    old_gradients = [parameter.gradient() for parameter, _ in pairs]
    for parameter, value in pairs:
        if id(value) not in locations:
            raise TypeError(
                f"expected {parameter.symbol} in a dict or an attribute where another array can "
                "replace it, got one that is made new at each access"
            )
        parameter.locations = locations[id(value)]
        found.setdefault(id(value), parameter)
    for parameter in found.values():
        parameter.set(parameter.value)
    for gradient in old_gradients:
        for location in locations.get(id(gradient), ()):
            location.set(np.zeros(gradient.shape))
    return list(found.values())


def _named_gradient(net: Any, name: str) -> Any:
    return net.gradients().get(name)


def candidates(path: str, part: Any) -> Iterator[tuple[Parameter, Any]]:
    """Yield what `params` lists, or else the part's attributes, with the current array."""
    where = f"{path}." if path else ""
    params = getattr(part, "params", None)
    listed = isinstance(params, dict | list) and len(params) > 0
    for key, value in _items(params) if listed else list(attributes(part).items()):
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            continue
        name, symbol = f"d{key}", str(key)
        if listed:
            name, symbol = f"grads[{key!r}]", f"params[{key!r}]"
        parameter = Parameter(
            where + name,
            where + symbol,
            np.array(value, dtype=np.float64, order="C"),
            [],
            functools.partial(_listed_gradient if listed else _gradient_attribute, part, key),
            listed,
        )
        yield parameter, value


def _listed_gradient(part: Any, key: Any) -> Any:
    return _get(getattr(part, "grads", None), key)


def _gradient_attribute(part: Any, name: str) -> Any:
    own = attributes(part)
    for form in GRADIENT_NAMES:
        for base in (name, name.lower()):
            if form.format(base) in own:
                return own[form.format(base)]
    return None


def flags(method: Callable[..., Any], train: bool) -> dict[str, bool]:
    """Return the keyword that tells a forward method about training, if it takes one."""
    try:
        names = inspect.signature(method).parameters
    except (TypeError, ValueError):  # a builtin or a compiled method
        return {}
    for name in ("train", "training"):
        if name in names:
            return {name: train}
    variable = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in names.values())
    return {"train": train} if variable else {}


def name_of(thing: Any) -> str:
    """Return the repr that a class defines, with the class's name in front if it lacks that."""
    name = str(getattr(thing, "__name__", type(thing).__name__))
    if getattr(type(thing), "__repr__", None) is object.__repr__ or name != type(thing).__name__:
        return name
    text = repr(thing)
    return text if text.startswith(name) else f"{name} ({text})"
