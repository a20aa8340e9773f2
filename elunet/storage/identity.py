"""The identity of an object as a text: two objects with different texts behave differently.

A repr is for reading. It leaves out what is usual, and rounds. Two runs are only the same if their
layers, optimizers and rules agree in all that they were made with, to the last digit.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import re
import types
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

PLAIN = bool | int | str | bytes | complex | types.EllipsisType | None
RANDOM = np.random.SeedSequence | np.random.Generator | np.random.BitGenerator
ATOMS = PLAIN | float | np.generic | np.ndarray | type | RANDOM
LOOK_UP = {"LOAD_GLOBAL", "LOAD_NAME"}  # instructions that take a name's value
FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)


def identity(value: Any) -> str:
    """Return a text that distinguishes a value from all others of its kind.

    Numbers are exact. Arrays are identified by a hash of their content, functions by their name,
    lambdas and functions within functions by a hash of their code and what they enclose. Objects
    are identified by the arguments of their constructor that they keep as attributes; `untold`
    names the others.
    """
    return _identity(value, frozenset())


def _identity(value: Any, above: frozenset[int]) -> str:
    if id(value) in above:
        return "itself"
    if isinstance(value, float | np.floating):
        return repr(float(value))
    if isinstance(value, np.integer | np.bool_):
        return repr(value.item())
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, np.random.SeedSequence):
        return f"SeedSequence({value.entropy}, {value.spawn_key})"
    if isinstance(value, np.random.Generator):
        return f"Generator({_identity(value.bit_generator, above)})"
    if isinstance(value, np.random.BitGenerator):
        return f"{type(value).__name__} {_hash(repr(value.state).encode())}"
    inner = above | {id(value)}
    if isinstance(value, np.ndarray):
        return f"array {value.dtype}{list(value.shape)} {_hash(np.ascontiguousarray(value))}"
    if isinstance(value, dict):
        items = (f"{key!r}: {_identity(item, inner)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        found = [_identity(item, inner) for item in value]
        ordered = sorted(found) if isinstance(value, set | frozenset) else found
        return f"{type(value).__name__}({', '.join(ordered)})"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, functools.partial):
        parts = (value.func, list(value.args), value.keywords)
        return f"partial({', '.join(_identity(part, inner) for part in parts)})"
    if isinstance(value, types.MethodType):
        return f"{_identity(value.__self__, inner)}.{value.__func__.__name__}"
    if isinstance(value, types.FunctionType):
        name = f"{value.__module__}.{value.__qualname__}"
        return f"{name} {_code(value, inner)}" if "<" in name else name
    return _object(value, inner)


def _hash(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _code(function: types.FunctionType, above: frozenset[int]) -> str:
    """Return a hash of what a function does, and of the values that it encloses."""
    code = function.__code__
    parts = _instructions(code, function.__globals__, above)
    for cell in function.__closure__ or ():
        try:
            parts.append(_identity(cell.cell_contents, above))
        except ValueError:  # nothing is in it yet
            parts.append("empty")
    parts.append(_identity([function.__defaults__, function.__kwdefaults__], above))
    return _hash("\n".join(parts).encode(errors="surrogatepass"))


def _instructions(
    code: types.CodeType, names: Mapping[str, Any], above: frozenset[int]
) -> list[str]:
    """Return the instructions of code and its inner functions, and the values that it reads."""
    parts = [code.co_code.hex(), *code.co_names]
    for constant in code.co_consts:
        inner = isinstance(constant, types.CodeType)
        found = _instructions(constant, names, above) if inner else [_identity(constant, above)]
        parts += found
    looked_up = {each.argval for each in dis.get_instructions(code) if each.opname in LOOK_UP}
    for name in sorted(looked_up):
        value = names.get(name)
        if isinstance(value, PLAIN | float | np.generic | np.ndarray):
            parts.append(_identity(value, above))
    return parts


def _object(value: Any, above: frozenset[int]) -> str:
    """Identify an object by its constructor's arguments, as far as it keeps them."""
    if isinstance(name := getattr(value, "__name__", None), str):  # such as numpy.tanh
        return f"{getattr(value, '__module__', '')}.{name}"
    kept = made_with(value)
    given = ", ".join(f"{name}={_identity(item, above)}" for name, item in kept.items())
    return f"{type(value).__qualname__}({given})"


def made_with(value: Any) -> dict[str, Any]:
    """Return the arguments of an object's constructor that it keeps as attributes.

    They may have an underscore before their names.
    """
    try:
        names = inspect.signature(type(value)).parameters
    except (TypeError, ValueError):
        return {}
    own = getattr(value, "__dict__", {})
    found = {}
    for name in names:
        if name in own or f"_{name}" in own:
            found[name] = own[name] if name in own else own[f"_{name}"]
        elif _is_computed(value, name):
            with suppress(Exception):  # somebody else's code
                if not _is_state(item := getattr(value, name)):
                    found[name] = item
    return found


def _is_state(value: Any) -> bool:
    """Whether a value is a dict of arrays, such as a rule's B: a checkpoint has them."""
    return isinstance(value, Mapping) and all(isinstance(a, np.ndarray) for a in value.values())


def _is_computed(value: Any, name: str) -> bool:
    """Whether an attribute is a property or a slot."""
    return isinstance(getattr(type(value), name, None), property | types.MemberDescriptorType)


def within(path: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield an object and those that it was made with, each once, with their paths.

    Parameters
    ----------
    path : str
        The object's own; "optimizer" gives "optimizer.lr" for its schedule.
    value : object
    seen : set of int
        The ids of those that were given; they are added to it.
    """
    if isinstance(value, ATOMS) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from within(f"{path}.{key}", item, seen)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from within(f"{path}.{place}", item, seen)
    else:
        yield path, value
        for name, item in made_with(value).items():
            yield from within(f"{path}.{name}", item, seen)


def untold(value: Any, without: Collection[str] = ()) -> list[str]:
    """Return the arguments of an object's constructor that it keeps in no attribute of their name.

    Two objects that differ in these alone have the same identity.
    """
    if isinstance(value, (*FUNCTIONS, ATOMS)) or hasattr(value, "__name__"):
        return []
    try:
        names = list(inspect.signature(type(value)).parameters)
    except (TypeError, ValueError):
        return []
    kept = made_with(value)
    known = {*kept, *without}
    return [name for name in names if name not in known and not _is_computed(value, name)]


def placeless(value: Any) -> str:
    """Return an object's repr, without its place in memory."""
    try:
        text = repr(value)
    except Exception as error:  # somebody else's code
        text = f"{type(value).__name__}, whose repr raised {type(error).__name__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def described(value: Any, without: Collection[str] = ()) -> str:
    """Return a value's repr, with the arguments that the repr does not show."""
    if isinstance(value, FUNCTIONS):
        return identity(value)
    text = placeless(value)
    hidden = []
    for name, item in made_with(value).items():
        given = f"{name}={identity(item)}"
        if name not in without and given not in text and not _is_told(value, name, item, text):
            hidden.append(given)
    return f"{text} with {', '.join(hidden)}" if hidden else text


def _is_told(value: Any, name: str, item: Any, text: str) -> bool:
    """Whether an argument has its default value, or if it has none, whether the repr shows it."""
    usual = inspect.signature(type(value)).parameters[name].default
    if usual is not inspect.Parameter.empty:
        return identity(usual) == identity(item)
    sizes = "x".join(map(str, item)) if isinstance(item, tuple) else repr(item)
    return sizes in re.findall(r"[^\s(),>-]+", text)
