"""Find every array and number that an object holds, however deep.

People keep parameters in attributes, dicts, lists of dicts, helper objects, tuples, on the class,
in the variables of a closure or of the module. A `Place` is one such spot: it has a printed path
("cell.params['Wx']", "layers[0].W"), and its content can be read and replaced. Nothing has to be
declared.
"""

from __future__ import annotations

import ast
import enum
import types
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial, partialmethod
from typing import Any

import numpy as np

from elunet.testing._find.names import STEP
from elunet.testing._find.variables import (
    Cell,
    Variable,
    attribute_of,
    cells,
    frozen_in,
    functions_of,
    global_variables,
    is_compiled,
    is_empty,
    is_foreign,
)

Number = int | float | np.number

MOST = 100_000
"""How many things are looked at in one object."""
PARTIAL = ("func", "args", "keywords")
CLOSED = (type, types.ModuleType, str, bytes, np.dtype)
GLOBALS = "globals"
"""The first step of the path of a module's variable."""


def attributes(part: Any) -> dict[str, Any]:
    """Return an object's own attributes, also those in `__slots__`; of a cell its content."""
    if isinstance(part, Cell):
        return {} if is_empty(part) else {"cell_contents": part.cell_contents}
    if isinstance(part, partial):
        return {name: getattr(part, name) for name in PARTIAL}
    found: dict[str, Any] = {}
    for kind in type(part).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(part, name):
                found[name] = getattr(part, name)
    found.update(getattr(part, "__dict__", {}))
    return found


def is_layer(value: Any) -> bool:
    """Whether value has both passes (and is not a class)."""
    passes = (attribute_of(value, "forward"), attribute_of(value, "backward"))
    return not isinstance(value, type) and all(map(callable, passes))


def is_number(value: Any) -> bool:
    """Whether value is one number (a bool is none)."""
    return isinstance(value, Number) and not isinstance(value, bool | np.bool_)


def is_numeric(value: Any) -> bool:
    """Whether value is a number or an array of numbers."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiu" and value.size > 0
    return is_number(value)


def is_unreadable(value: Any) -> bool:
    """Whether value holds numbers that no check looks into: complex ones, or records."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "cV" and value.size > 0
    return isinstance(value, complex | np.complexfloating)


@dataclass(eq=False)
class Place:
    """A spot that holds something: an attribute, or an entry of a dict, list or tuple."""

    path: str
    holder: Any
    key: Any
    is_attribute: bool
    above: Place | None = None
    """The place of the holder."""

    def get(self) -> Any:
        """Return the content."""
        return getattr(self.holder, self.key) if self.is_attribute else self._now()[self.key]

    def set(self, value: Any) -> None:
        """Replace the content; of a tuple the whole tuple."""
        if self.is_attribute:
            put(self.holder, self.key, value)
        elif isinstance(self.holder, tuple):
            items = list(self._now())
            items[self.key] = value
            kind = type(self.holder)
            self.holder = kind(*items) if hasattr(kind, "_fields") else kind(items)
            if self.above is not None:
                self.above.set(self.holder)
        else:
            self.holder[self.key] = value

    def _now(self) -> Any:
        """Return the holder; a tuple may have been replaced through another of its places."""
        if isinstance(self.holder, tuple) and self.above is not None:
            now = self.above.get()
            return now if isinstance(now, tuple) else self.holder
        return self.holder


def put(holder: Any, name: str, value: Any) -> None:
    """Set an attribute, of a frozen object too, or of a class."""
    if isinstance(holder, type):
        setattr(holder, name, value)
    elif isinstance(holder, partial):
        parts = {**attributes(holder), name: value}
        holder.__setstate__((*parts.values(), vars(holder)))  # type: ignore[attr-defined]
    else:
        object.__setattr__(holder, name, value)


def _entries(holder: Any, path: str, above: Place | None, shared: bool = True) -> Iterator[Place]:
    """Yield the places right inside a holder."""
    if isinstance(holder, dict):
        for key in list(holder):
            yield Place(f"{path}[{key!r}]", holder, key, False, above)
    elif isinstance(holder, list | tuple | deque):
        for index in range(len(holder)):
            yield Place(f"{path}[{index}]", holder, index, False, above)
    elif isinstance(holder, np.ndarray):
        if holder.dtype == object and holder.ndim == 1:
            for index in range(len(holder)):
                yield Place(f"{path}[{index}]", holder, index, False, above)
    elif isinstance(holder, types.FunctionType):
        if shared and not is_foreign(holder.__module__ or ""):
            for name in vars(holder):
                yield Place(f"{path}.{name}".lstrip("."), holder, name, True, above)
            yield from _variables(holder, path, above)
    elif isinstance(holder, partial):
        for name in PARTIAL:
            yield Place(f"{path}.{name}".lstrip("."), holder, name, True, above)
    elif isinstance(holder, types.MethodType):
        if shared:
            yield Place(f"{path}.__self__".lstrip("."), holder, "__self__", True, above)
    elif not isinstance(holder, CLOSED) and not is_foreign(type(holder).__module__):
        own = attributes(holder)
        for name in own:
            yield Place(f"{path}.{name}".lstrip("."), holder, name, True, above)
        for kind in classes_of(holder):
            for name, value in vars(kind).items():
                if isinstance(value, partialmethod):
                    for part in PARTIAL if shared else ():
                        yield Place(f"{path}.{name}.{part}".lstrip("."), value, part, True, above)
                if name in own or not _is_content(name, value):
                    continue
                if shared:
                    yield Place(f"{path}.{name}".lstrip("."), kind, name, True, above)
                elif is_numeric(value):
                    yield Place(f"{path}.{name}".lstrip("."), holder, name, True, above)
            for name, function in functions_of(kind).items() if shared else ():
                yield from _variables(function, f"{path}.{name}", above)


def _variables(function: types.FunctionType, path: str, above: Place | None) -> Iterator[Place]:
    """Yield the places of the variables that a function reads."""
    for name, cell in cells(function).items():
        yield Place(f"{path}.{name}".lstrip("."), cell, "cell_contents", True, above)
    for name, variable in global_variables(function).items():
        yield Place(f"{GLOBALS}.{name}", variable, "cell_contents", True)


def classes_of(part: Any) -> list[type]:
    """Return the user's own classes that an object is made of, and that may hold values for it."""
    return [
        kind
        for kind in type(part).__mro__
        if not is_foreign(kind.__module__)
        and kind.__module__.split(".")[0] != "elunet"
        and not issubclass(kind, enum.Enum)
    ]


def _is_content(name: str, value: Any) -> bool:
    """Whether a class's attribute is a value or holds some, instead of being a method."""
    special = name.startswith("__") and name.endswith("__")
    held = isinstance(value, dict | list | tuple | partial)
    return not special and (is_numeric(value) or held)


def walk(root: Any, path: str = "", shared: bool = True) -> Iterator[Place]:
    """Yield all places in an object, each thing once, the near ones first.

    Parameters
    ----------
    root : object
    path : str
        Its own path, with which the others begin.
    shared : bool
        Whether to look also into what a deep copy has in common with the object: classes,
        functions and the variables that they read, and objects behind methods. A caller that
        changes these has to restore them.

    Notes
    -----
    It stops after `MOST` things; see `unlooked`.
    """
    queue: deque[tuple[Any, str, Place | None]] = deque([(root, path, None)])
    entered = {id(root)}
    variables: set[tuple[int, Any]] = set()
    count = 0
    while queue:
        holder, where, above = queue.popleft()
        for place in _entries(holder, where, above, shared):
            if isinstance(place.holder, Variable):
                if place.holder.place in variables:
                    continue
                variables.add(place.holder.place)
            elif isinstance(place.holder, type):
                variables.add((id(place.holder), place.key))
            count += 1
            if count > MOST:
                return
            yield place
            item = place.get()
            inner = not is_number(item) and not (
                isinstance(item, np.ndarray) and item.dtype != object
            )
            if inner and id(item) not in entered:
                entered.add(id(item))
                queue.append((item, place.path, place))


def unlooked(root: Any, shared: bool = True) -> list[str]:
    """Return words for what `walk` cannot look into, or did not get to."""
    found, count = {}, 0
    for place in walk(root, shared=shared):
        count += 1
        item = place.get()
        if is_compiled(item):
            names = ", ".join(frozen_in(item))
            if names:
                found[id(item)] = (
                    f"{names}: kept by the compiled function {item.py_func.__name__}, not checked "
                    "(hand it over as an argument)"
                )
    cut = f"stopped looking after {MOST:,} things: what lies beyond was not checked"
    return [*found.values(), *([cut] if count >= MOST else [])]


def numeric_places(root: Any, path: str = "", shared: bool = True) -> list[Place]:
    """Return all places that hold an array of numbers or a number; see `walk`."""
    return [place for place in walk(root, path, shared) if is_numeric(place.get())]


def layers_in(root: Any) -> dict[str, Any]:
    """Return the object and all layers within it, by their path from the object ("" is itself)."""
    found = {"": root}
    for place in walk(root):
        if is_layer(place.get()):
            found.setdefault(place.path, place.get())
    return found


def lookup(root: Any, path: str) -> Any:
    """Return what is at a path such as ``cell.grads['W']``; None if there is nothing.

    Properties are read too.
    """
    if path.startswith(f"{GLOBALS}."):
        return next((place.get() for place in walk(root) if place.path == path), None)
    value, position = root, 0
    for step in STEP.finditer(path):
        if step.start() != position:
            return None
        position = step.end()
        try:
            function = attribute_of(value, "__func__", value)
            if isinstance(function, types.FunctionType) and step[1] in cells(function):
                value = cells(function)[step[1]].cell_contents
            elif step[1] is not None:
                value = getattr(value, step[1])
            else:
                value = value[ast.literal_eval(step[2])]
        except (AttributeError, LookupError, TypeError, ValueError, SyntaxError):
            return None
    return value if position == len(path) else None
