"""What an object is, as a text: two objects with other texts do something else.

A repr is for reading. It leaves out what is usual, and rounds. Two runs are only the same if their
layers, optimizers and rules agree in all that they were made with, to the last digit.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import types
from collections.abc import Collection
from typing import Any

import numpy as np

PLAIN = (bool, int, str, bytes, type(None))


def identity(value: Any) -> str:
    """Return a text that tells a value from all others of its kind.

    Numbers are exact. Arrays are told by a hash of their content, functions by their name, lambdas
    and functions within functions by a hash of their code and what they enclose. Objects are told
    by the arguments of their constructor that they keep as attributes. Of what is none of these,
    only the class is told.
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
    parts = [code.co_code.hex(), *map(str, code.co_names)]
    for constant in code.co_consts:
        inner = isinstance(constant, types.CodeType)
        parts.append(constant.co_code.hex() if inner else repr(constant))
    for cell in function.__closure__ or ():
        parts.append(_identity(cell.cell_contents, above))
    parts += [_identity(default, above) for default in function.__defaults__ or ()]
    return _hash("\n".join(parts).encode())


def _object(value: Any, above: frozenset[int]) -> str:
    """Tell an object by what its constructor was given, where it keeps that."""
    kept = made_with(value)
    given = ", ".join(f"{name}={_identity(item, above)}" for name, item in kept.items())
    return f"{type(value).__qualname__}({given})"


def made_with(value: Any) -> dict[str, Any]:
    """Return the arguments of an object's constructor that it keeps as attributes."""
    try:
        names = inspect.signature(type(value)).parameters
    except (TypeError, ValueError):
        return {}
    own = getattr(value, "__dict__", {})
    return {name: own[name] for name in names if name in own}


def described(value: Any, without: Collection[str] = ()) -> str:
    """Return a value's repr, and what it was made with where the repr does not show it."""
    if isinstance(value, types.FunctionType | functools.partial | types.MethodType):
        return identity(value)
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
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
