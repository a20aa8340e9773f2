"""Which of the gradients that backward returned belongs to which of forward's values.

A dict says it with its keys, a dataclass with its fields. A tuple says it with its order, if that
is the order of forward's values or each shape occurs once; else the names in backward's `return`
statement say it. If nothing does, the error says how to name them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from elunet._types import Array
from elunet.testing._find.pairs import pair
from elunet.testing._find.places import lookup
from elunet.testing._find.structures import Structure, as_dict

Getter = str | Callable[[Any], Any] | None
"""What a user says of a value's gradient: its name or place, a function, None for a constant."""
Named = Sequence[tuple[str, Any]]


class Claim(NamedTuple):
    """A gradient that the code gives, and its name in messages."""

    name: str
    gradient: Any


class UnmatchedError(ValueError):
    """The returned gradients cannot be distinguished; its text says why."""


def claims_in(
    returned: Any,
    values: Mapping[str, Any],
    shown: Sequence[Any] = (),
    given: Mapping[str, Getter] | None = None,
    arguments: Sequence[str] = (),
    integers: Collection[str] = (),
) -> dict[str, Claim]:
    """Return the gradients by their value's path.

    Parameters
    ----------
    returned : object
        What backward returned: an array, or arrays in tuples, lists and dicts.
    values : mapping
        Forward's arrays and numbers by their path.
    shown : sequence
        Names in backward's `return` statement, nested as there.
    given : mapping
        What the user said: for a value's path the place of its gradient in `returned`, a name of
        `shown`, a function of `returned`, or None for a constant.
    arguments : sequence of str
        Names of forward's arguments.
    integers : collection of str
        Paths of values that were given as integers, for which None is a fair answer.

    Raises
    ------
    UnmatchedError
        If the gradients cannot be distinguished.
    """
    claims = {}
    flat = _flat(returned, shown)
    for path, source in (given or {}).items():
        if source is None:
            continue
        name = source if isinstance(source, str) else f"d{path}"
        claims[path] = Claim(name, _found(source, returned, flat))
    left = {path: value for path, value in values.items() if path not in (given or {})}
    taken = {id(claim.gradient) for claim in claims.values()}
    flat = [(name, item) for name, item in flat if id(item) not in taken or item is None]
    keyed = {name: item for name, item, is_key in _keyed(returned, shown) if is_key}
    keyed = {n: item for n, item in keyed.items() if item is not None and id(item) not in taken}
    pairs = pair(_arrays(left), _arrays(keyed))
    for path, name in pairs.items():
        claims[path] = Claim(name, keyed[name])
    left = {path: value for path, value in left.items() if path not in pairs}
    ordered = [(name, item) for name, item, is_key in _keyed(returned, shown) if not is_key]
    ordered = [(name, item) for name, item in ordered if item is None or id(item) not in taken]
    if ordered:
        claims.update(_in_order(ordered, left, arguments, integers))
    return claims


def named_in(returned: Any, shown: Any) -> dict[str, Any]:
    """Return the gradients in what backward returned that have a name."""
    return {name: item for name, item in _flat(returned, shown) if name}


def _keyed(returned: Any, shown: Any, key: str = "", is_key: bool = False) -> list[Any]:
    """Return (name, item, whether the name is a dict's key) of all items, flat."""
    returned = as_dict(returned)
    if isinstance(returned, dict):
        leaves = Structure({"_": returned}).leaves
        return [(_key(key, path[1:]), leaf, True) for path, leaf in leaves.items()]
    if isinstance(returned, tuple | list):
        names = shown if isinstance(shown, list) and len(shown) == len(returned) else [""]
        if len(names) != len(returned):
            prefix = shown if isinstance(shown, str) else ""
            names = [f"{prefix}[{i}]" if prefix else "" for i in range(len(returned))]
        found = [_keyed(item, name) for item, name in zip(returned, names, strict=True)]
        return [entry for entries in found for entry in entries]
    name = shown[0] if isinstance(shown, list) and len(shown) == 1 else shown
    return [(name if isinstance(name, str) else "", returned, is_key)]


def _key(owner: str, path: str) -> str:
    """Write the first key as a name: ['dW1'] is dW1."""
    end = path.index("]")
    return path[1:end].strip("'\"") + path[end + 1 :]


def _flat(returned: Any, shown: Any) -> list[tuple[str, Any]]:
    return [(name, item) for name, item, _ in _keyed(returned, shown)]


def _found(source: Any, returned: Any, flat: Named) -> Any:
    """Return the gradient that the user named.

    Raises
    ------
    UnmatchedError
        If there is not one of this name.
    """
    if callable(source):
        return source(returned)
    named = dict(flat)
    found = named.get(source)
    found = lookup(returned, source) if found is None else found
    if found is None:
        listed = ", ".join(name for name in named if name) or "no names"
        raise UnmatchedError(f"gradients= names {source!r}, but backward returned {listed}")
    return found


def _arrays(things: Mapping[str, Any]) -> dict[str, Array]:
    return {path: np.asarray(thing) for path, thing in things.items()}


def _in_order(
    found: Named,
    values: Mapping[str, Any],
    arguments: Sequence[str],
    integers: Collection[str] = (),
) -> dict[str, Claim]:
    """Match gradients without keys: by order, by shape, by the names in `return`."""
    if len(found) == len(arguments):
        if any(item is None for _, item in found):
            return _missing(zip(arguments, found, strict=True), values, integers)
        known = all(name in values for name in arguments)
        if known and _fits([item for _, item in found], [values[name] for name in arguments]):
            return _claims(arguments, found)
    there = [(name, item) for name, item in found if item is not None]
    if not there:
        raise UnmatchedError("returned None, expected gradients: is a `return` missing?")
    floats = _float_arrays(values)
    arrays = [p for p, v in values.items() if isinstance(v, np.ndarray)]
    outer = [path for path in floats if path in arguments]
    for paths in (floats, outer, arrays, list(values)):
        if len(paths) == len(there) and _fits([g for _, g in there], [values[p] for p in paths]):
            return _claims(paths, there)
    matched = _by_shape(there, values) or _by_name(there, values)
    if matched:
        return matched
    for paths in (floats, outer):
        if len(there) == len(paths):  # a wrong shape will be said of one of them
            return _claims(paths, there)
    raise UnmatchedError(
        f"returned {len(there)} gradients, expected {len(floats)}, one for each float array that "
        f"forward takes ({', '.join(floats)}); return them in this order, or in a dict as "
        f"{{'d{(floats or ['x'])[0]}': ...}}; say of a constant among them, "
        f"gradients={{{(floats or ['x'])[-1]!r}: None}}"
    )


def _missing(pairs: Any, values: Mapping[str, Any], integers: Collection[str]) -> dict[str, Claim]:
    """Match by argument, where None stands for those without a gradient."""
    claims = {}
    for path, (_, item) in pairs:
        if item is not None:
            claims[path] = Claim(f"d{path}", item)
        elif path in _float_arrays(values) and path not in integers:
            raise UnmatchedError(f"returned None for d{path}")
    return claims


def _float_arrays(values: Mapping[str, Any]) -> list[str]:
    """Return the paths of float arrays, NumPy's numbers among them, but not Python's."""
    arrays = {p: v for p, v in values.items() if isinstance(v, np.ndarray | np.floating)}
    return [path for path, value in arrays.items() if value.dtype.kind == "f"]


def _claims(paths: Sequence[str], found: Named) -> dict[str, Claim]:
    return {p: Claim(f"d{p}", item) for p, (_, item) in zip(paths, found, strict=True)}


def _fits(gradients: Sequence[Any], values: Sequence[Any]) -> bool:
    return all(np.shape(g) == np.shape(v) for g, v in zip(gradients, values, strict=True))


def _by_shape(found: Named, values: Mapping[str, Any]) -> dict[str, Claim]:
    """Match by shapes, if each occurs once."""
    shapes: dict[Any, list[str]] = {}
    for path, value in values.items():
        shapes.setdefault(np.shape(value), []).append(path)
    wanted = [np.shape(item) for _, item in found]
    if len(set(wanted)) < len(wanted) or any(len(shapes.get(s, ())) != 1 for s in wanted):
        return {}
    paths = [shapes[s][0] for s in wanted]
    return _claims(paths, found)


def _by_name(found: Named, values: Mapping[str, Any]) -> dict[str, Claim]:
    """Match by the names in the `return` statement, if they name all."""
    named = {name: item for name, item in found if name}
    pairs = pair(_arrays(values), _arrays(named))
    if len(named) < len(found) or len(pairs) < len(found):
        return {}
    return {path: Claim(f"d{path}", named[name]) for path, name in pairs.items()}
