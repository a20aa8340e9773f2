"""A hash of a new object: a text that is another one if anything in the object differs.

Everything counts: each attribute, whatever its name, what it holds, and the code of classes and
functions, with the functions and values that the code looks up. What belongs to Python, to elunet
or to another installed package counts by its name. What cannot be read is listed in `unread`.

Code is read as instructions, so comments and docstrings do not count. Another version of Python has
other instructions.
"""

from __future__ import annotations

import builtins
import dis
import functools
import io
import os
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elunet.storage.fingerprints import sha256

PLAIN = {type(None), type(...), bool, int, float, complex, str, bytes}
BOUND = (staticmethod, classmethod, types.MethodType)
SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
COMPILED = (types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodDescriptorType)
LIBRARY = {Path(str(module.__file__)).parent for module in (os, dis)}  # one may be in an archive
FOLDERS = (*LIBRARY, Path(__file__).parents[1])  # Python's library, and elunet
UNREADABLE = (types.GeneratorType, types.CoroutineType, io.IOBase)
HEAP = 1 << 9  # the flag of classes that a `class` statement made
NOT_READ = {"__doc__", "__repr__", "__str__", "_abc_impl"}  # members of a class
SHOWN_BY_NAME = {"logging.Logger", "logging.RootLogger", "_thread.lock", "_thread.RLock"}


def object_hash(value: Any) -> str:
    """Return a short text that is another one if anything in a new object differs.

    In an object that was used, its counters and the arrays of its last pass would count, too.
    """
    return sha256(_read(value)[0])[:16]


def unread(value: Any) -> list[str]:
    """Return the names of classes in an object of which only the name counts in its hash."""
    return sorted(_read(value)[1])


def _read(value: Any) -> tuple[str, set[str]]:
    reader = _Reader()
    try:
        return reader.text(value), reader.unread
    except RecursionError:
        return _name(type(value)), {f"{_name(type(value))}, which is nested too deeply"}


class _Reader:
    """Reads values into texts. A number stands for an object that was read before."""

    def __init__(self, seen: Mapping[int, tuple[int, Any]] | None = None) -> None:
        self.seen = dict(seen or {})  # with the objects, so that no other object gets their id
        self.unread = set[str]()

    def text(self, value: Any) -> str:
        kind = type(value)
        if kind in PLAIN:
            return repr(value)
        if kind is tuple:  # two equal ones may be one object, or not
            return f"({', '.join(map(self.text, value))})"
        if isinstance(value, np.generic) and not value.dtype.hasobject:
            return f"{value.dtype} {value.tobytes().hex()}"
        if id(value) in self.seen:
            return f"object {self.seen[id(value)][0]}"
        self.seen[id(value)] = len(self.seen), value
        return self._parts(kind, value)

    def _parts(self, kind: type, value: Any) -> str:
        """Return the text of a value that holds others."""
        if kind in READERS:
            return READERS[kind](self, value)
        if isinstance(value, type):
            return self._class(value)
        if _name(kind).startswith("numba.") and _compiled_from(value) is not None:
            return f"numba {self.text([_compiled_from(value), _options(value)])}"
        if (name := _name_in_library(value)) is not None:
            return name
        if _name(kind) in SHOWN_BY_NAME:
            return f"{_name(kind)} {getattr(value, 'name', '')}"
        return f"{self.text(kind)}{self.text(self._content(kind, value))}"

    def _array(self, value: np.ndarray) -> str:
        if value.dtype.hasobject:
            return f"array {value.dtype} {self.text(value.tolist())}"
        return f"array {value.dtype} {sha256(value)[:12]}"

    def _list(self, value: Iterable[Any]) -> str:
        return f"[{', '.join(map(self.text, value))}]"

    def _dict(self, value: Mapping[Any, Any]) -> str:
        return "{" + ", ".join(f"{self.text(k)}: {self.text(v)}" for k, v in value.items()) + "}"

    def _set(self, value: Iterable[Any]) -> str:
        found = []
        for item in value:
            reader = _Reader(self.seen)  # so that the texts do not depend on the order
            found.append(reader.text(item))
            self.unread |= reader.unread
        return f"set({', '.join(sorted(found))})"

    def _module(self, value: types.ModuleType) -> str:
        return f"module {value.__name__}"

    def _ufunc(self, value: np.ufunc) -> str:
        if getattr(np, value.__name__, None) is not value:
            self.unread.add(f"numpy.ufunc {value.__name__}")
        return f"ufunc {value.__name__}"

    def _builtin(self, value: Any) -> str:
        owner = getattr(value, "__self__", None)
        its = "" if owner is None or isinstance(owner, types.ModuleType) else self.text(owner)
        return f"{getattr(value, '__module__', '')}.{value.__qualname__} {its}"

    def _function(self, function: types.FunctionType) -> str:
        """Identify a function by its name, or by its code and the values that it encloses."""
        code, name = function.__code__, f"{function.__module__}.{function.__qualname__}"
        if _is_installed(code.co_filename):
            if _name_in_library(function) is not None:
                return name
            parts = [name]  # a decorator made it, and it encloses a user's function
        else:
            kept = {name: item for name, item in vars(function).items() if name != "__wrapped__"}
            parts = [*self._code(code, function.__globals__), self.text(kept)]
        for cell in function.__closure__ or ():
            try:
                parts.append(self.text(cell.cell_contents))
            except ValueError:  # nothing is in it yet
                parts.append("empty")
        parts.append(self.text([function.__defaults__, function.__kwdefaults__]))
        return f"{function.__qualname__} {_hash_of(parts)}"

    def _code(self, code: types.CodeType, names: Mapping[str, Any]) -> list[str]:
        """Return the instructions of code and its inner functions, and the values they look up."""
        parts = [code.co_exceptiontable.hex()]
        for step in dis.get_instructions(code):
            parts.append(step.opname)
            if isinstance(step.argval, types.CodeType):
                parts += self._code(step.argval, names)
                continue
            parts.append(self.text(step.argval))
            if step.opname in {"LOAD_GLOBAL", "LOAD_NAME"} and step.argval in names:
                parts.append(self._looked_up(names[step.argval], code))
            elif step.opname == "IMPORT_NAME" and step.argval in sys.modules:
                parts.append(self._looked_up(sys.modules[step.argval], code))
            elif step.opname == "IMPORT_NAME":
                self.unread.add(f"module {step.argval}")  # it was never imported
        return parts

    def _looked_up(self, value: Any, code: types.CodeType) -> str:
        """Return the text of a global; of a user's module, that of what the code may take of it."""
        if not isinstance(value, types.ModuleType) or _is_installed(_file_of(value)):
            return self.text(value)
        wanted = sorted(set(code.co_names) & vars(value).keys())
        return self._list([getattr(value, name) for name in wanted])

    def _class(self, kind: type) -> str:
        """Identify a class by its name, or by its members and those that it inherits."""
        if _is_installed(_file_of(kind)) and _name_in_library(kind) is not None:
            return _name(kind)
        parts = [self.text(base) for base in (*kind.__bases__, type(kind))]
        for name, item in sorted(vars(kind).items()):
            is_code = callable(item) or isinstance(item, property | staticmethod | classmethod)
            hidden = name.startswith("__") and not is_code
            if not (hidden or name in NOT_READ or isinstance(item, SLOTS)):
                parts += [name, self.text(item)]
        return f"{kind.__qualname__} {_hash_of(parts)}"

    def _property(self, value: property) -> str:
        return f"property {self.text((value.fget, value.fset, value.fdel))}"

    def _bound(self, value: Any) -> str:
        owner = getattr(value, "__self__", None)
        return f"{type(value).__name__} {self.text((value.__func__, owner))}"

    def _cached(self, value: Any) -> str:
        return f"cached {self.text(value.__wrapped__)}"

    def _partial(self, value: functools.partial[Any]) -> str:
        return f"partial {self.text([value.func, value.args, value.keywords, vars(value)])}"

    def _content(self, kind: type, value: Any) -> Any:
        """Return all that an object holds."""
        if isinstance(value, UNREADABLE):
            self.unread.add(_name(kind))
            return None
        try:
            if isinstance(value, np.ndarray) or hasattr(kind, "__array__"):
                return [_held(value), _fields(value)]
            if (name := _copied_by(kind)) is not None:
                return _reduced(value) if "reduce" in name else value.__getstate__()
            content = [_fields(value)]
            for base, taken in CONTAINERS.items():
                if isinstance(value, base):
                    content.append(taken(value))
            readable = len(content) > 1 or hasattr(value, "__dict__") or content[0]
            return content if readable or kind is object else _reduced(value)
        except RecursionError:
            raise
        except Exception:  # somebody else's code, or an object that cannot be copied
            self.unread.add(_name(kind))
            return None


READERS: dict[type, Callable[[_Reader, Any], str]] = {
    np.ndarray: _Reader._array,
    list: _Reader._list,
    dict: _Reader._dict,
    set: _Reader._set,
    frozenset: _Reader._set,
    np.ufunc: _Reader._ufunc,
    types.ModuleType: _Reader._module,
    types.FunctionType: _Reader._function,
    property: _Reader._property,
    weakref.ReferenceType: lambda reader, value: f"reference {reader.text(value())}",
    functools.partial: _Reader._partial,
    type(functools.lru_cache(abs)): _Reader._cached,
    **dict.fromkeys(BOUND, _Reader._bound),
    **dict.fromkeys(COMPILED, _Reader._builtin),
}

CONTAINERS: dict[Any, Callable[[Any], Any]] = {
    list: list,
    tuple: list,
    deque: list,
    dict: lambda value: list(dict.items(value)),
    types.MappingProxyType: lambda value: list(value.items()),
    set: set,
    frozenset: set,
    str: str.__str__,
    bytes: bytes,
    int: int.__int__,
    float: float.__float__,
    complex: complex,
}


def _name(kind: Any) -> str:
    module = kind.__module__
    return f"{module}.{kind.__qualname__}" if isinstance(module, str) else kind.__qualname__


def _name_in_library(value: Any) -> str | None:
    """Return the name of what an installed module has, such as a function written in C."""
    try:
        module, name = value.__module__, value.__qualname__
        library = sys.modules[module]
        its = functools.reduce(getattr, name.split("."), library)
    except Exception:  # most objects have no name
        return None
    return f"{module}.{name}" if its is value and _is_installed(_file_of(library)) else None


def _held(value: Any) -> np.ndarray:
    """Return the content of an object like an array."""
    if isinstance(value, np.ma.MaskedArray):
        return np.stack([value.filled(0), np.ma.getmaskarray(value)])
    return np.array(value, subok=False)


def _fields(value: Any) -> dict[str, Any]:
    """Return an object's attributes, in a dict or in slots."""
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        for name, item in vars(kind).items():
            if isinstance(item, types.MemberDescriptorType) and name not in found:
                try:
                    found[name] = item.__get__(value)
                except AttributeError:  # nothing was assigned to the slot
                    continue
    return found


def _copied_by(kind: type) -> str | None:
    """Return the method with which an installed class says what a copy of its object needs."""
    for owner in kind.__mro__[:-1]:
        for name in ("__reduce_ex__", "__reduce__", "__getstate__"):
            if name in vars(owner) and _is_installed(_file_of(owner)):
                return name
    return None


def _reduced(value: Any) -> Any:
    """Return what `copy.copy` would make a copy of."""
    found = value.__reduce_ex__(4)
    return found if isinstance(found, str) else [list(x) if _is_iterator(x) else x for x in found]


def _is_iterator(value: Any) -> bool:
    return hasattr(type(value), "__next__")


def _compiled_from(value: Any) -> Any:
    """Return the Python function of one that numba compiled."""
    inner = getattr(value, "_dispatcher", value)
    return getattr(inner, "py_func", None)


def _options(value: Any) -> dict[str, str]:
    found = getattr(getattr(value, "_dispatcher", value), "targetoptions", {})
    return {name: repr(option) for name, option in sorted(found.items())}


def _file_of(value: Any) -> str:
    """Return the file of a module or class; "<built-in>" for what is compiled into Python."""
    if isinstance(value, types.ModuleType):
        module = value
    else:
        module = sys.modules.get(value.__module__) or types.ModuleType("")
        if module is builtins and not value.__flags__ & HEAP:
            return "<built-in>"
    file = getattr(module, "__file__", None)
    if file is None and module.__name__ in sys.builtin_module_names:
        return "<built-in>"
    return file or ""


@functools.cache
def _is_installed(file: str) -> bool:
    """Return whether a file belongs to Python, elunet or an installed package, not to a user."""
    if file == "<built-in>" or file.startswith("<frozen "):
        return True
    path = Path(file)
    packages = {"site-packages", "dist-packages"}.intersection(path.parts)
    return bool(packages) or any(folder in path.parents for folder in FOLDERS)


def _hash_of(parts: Iterable[str]) -> str:
    return sha256("\n".join(parts))[:12]
