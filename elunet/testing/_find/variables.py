"""The variables that a function reads without being given them: of closures, and of modules.

A weight may be a global variable, ``W = ...`` above the class whose methods read it. What a
function reads is in its compiled code. Modules of others (NumPy, installed packages) hold no
weights of the user's; the helpers in the user's own modules are followed.
"""

from __future__ import annotations

import dis
import enum
import functools
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FOREIGN = ("builtins", "numpy", "numba", "threading", "weakref", "logging", "random", "torch")
"""Packages whose objects hold nothing of a layer's own."""
ENGINE = "elunet.engine."
"""Where a network's memory is, and whose turn it is: no numbers, and not to be restored."""

ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR")
"""Steps of compiled code that read or write an attribute of what was loaded before."""
MAKING = ("__init__", "__new__", "__post_init__", "__init_subclass__")
"""Methods that run before any pass: what they read is in the object, or is not used."""


def is_foreign(module: str) -> bool:
    """Whether a module's objects hold nothing of a layer's own."""
    return module.split(".")[0] in FOREIGN or module.startswith(ENGINE)


class Variable:
    """A variable of a module, or of a class in it, as a cell: it can be read, replaced, removed."""

    def __init__(self, owner: dict[str, Any] | type, name: str) -> None:
        self._owner, self._name = owner, name

    @property
    def cell_contents(self) -> Any:
        """What the variable holds; None if there is no such variable yet."""
        owner = self._owner
        return owner.get(self._name) if isinstance(owner, dict) else vars(owner).get(self._name)

    @cell_contents.setter
    def cell_contents(self, value: Any) -> None:
        if isinstance(self._owner, dict):
            self._owner[self._name] = value
        else:
            setattr(self._owner, self._name, value)

    @cell_contents.deleter
    def cell_contents(self) -> None:
        if isinstance(self._owner, dict):
            del self._owner[self._name]
        else:
            delattr(self._owner, self._name)

    @property
    def is_empty(self) -> bool:
        """Whether there is no such variable yet."""
        return self._name not in (
            self._owner if isinstance(self._owner, dict) else vars(self._owner)
        )

    @property
    def place(self) -> tuple[int, str]:
        """Tell variables apart: one may be read under several names."""
        return id(self._owner), self._name


Cell = types.CellType | Variable


def is_empty(cell: Cell) -> bool:
    """Whether a variable has no value yet."""
    if isinstance(cell, Variable):
        return cell.is_empty
    try:
        cell.cell_contents  # noqa: B018 (an empty cell raises)
    except ValueError:
        return True
    return False


def cells(function: types.FunctionType) -> dict[str, types.CellType]:
    """Return the variables that a function took along from where it was made.

    Whole numbers among them are sizes and indices, never learned.
    """
    found = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    filled = {name: cell for name, cell in found if not is_empty(cell)}
    return {name: cell for name, cell in filled.items() if not isinstance(cell.cell_contents, int)}


def functions_of(kind: type) -> dict[str, types.FunctionType]:
    """Return the functions behind a class's methods and properties, but not what makes objects."""
    found = {}
    for name, item in vars(kind).items():
        if name in MAKING:
            continue
        for step in ("__func__", "fget", "func", "__wrapped__"):
            item = attribute_of(item, step, item)
        if isinstance(item, types.FunctionType):
            found[name] = item
    return found


def global_variables(function: types.FunctionType) -> dict[str, Variable]:
    """Return the variables of modules and classes that a function reads or writes, by their name.

    Of those that it reads only what may hold something learned: arrays, numbers but whole ones,
    containers, objects of the user's own classes, and functions of the user's own modules. What it
    writes is returned also if it is not there yet.
    """
    module, reader, found = function.__globals__, function.__module__, {}
    for name, attribute, is_written in _names_in(function.__code__):
        printed, variable = name, Variable(module, name)
        item = variable.cell_contents
        if isinstance(item, types.ModuleType | type):
            within = item.__name__ if isinstance(item, types.ModuleType) else item.__module__
            if not attribute or not _is_own(within, reader) or _is_enum(item):
                continue
            owner = _owner(item, attribute) if isinstance(item, type) else vars(item)
            printed, variable = f"{name}.{attribute}", Variable(owner, attribute)
            item = variable.cell_contents
        if is_written or _may_hold(item, reader):
            found[printed] = variable
    return found


def _is_enum(item: Any) -> bool:
    return isinstance(item, enum.EnumMeta)


def _owner(kind: type, name: str) -> type:
    """Return the class that a class has an attribute from."""
    return next((one for one in kind.__mro__ if name in vars(one)), kind)


@functools.lru_cache(maxsize=4096)
def _names_in(code: types.CodeType) -> tuple[tuple[str, str, bool], ...]:
    """Return the global names in some code, each with an attribute of it, and if it is written."""
    found: dict[tuple[str, str, bool], None] = {}
    steps = [s for s in dis.get_instructions(code) if s.opname not in ("COPY", "DUP_TOP")]
    for step, after in zip(steps, [*steps[1:], steps[-1]], strict=True):
        if step.opname == "STORE_GLOBAL":
            found[step.argval, "", True] = None
        elif step.opname == "LOAD_GLOBAL":
            attribute = after.argval if after.opname in ATTRIBUTE else ""
            found[step.argval, attribute, after.opname == "STORE_ATTR"] = None
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            found.update(dict.fromkeys(_names_in(inner)))
    return tuple(found)


def _may_hold(item: Any, reader: str) -> bool:
    if isinstance(item, bool | int | str | bytes | type | types.ModuleType | type(None)):
        return False
    if isinstance(item, np.ndarray | np.number | float | complex):
        return True
    if isinstance(item, dict | list | tuple | deque | np.random.Generator | functools.partial):
        return True
    owner = item if isinstance(item, types.FunctionType) else type(item)
    return is_compiled(item) or _is_own(owner.__module__ or "", reader)


def attribute_of(item: Any, name: str, default: Any = None) -> Any:
    """Return an attribute, or the default where a `__getattr__` or a property raises any error."""
    try:
        return getattr(item, name, default)
    except Exception:  # an object that holds settings may raise a KeyError, for instance
        return default


def is_compiled(item: Any) -> bool:
    """Whether item is a function that numba compiled: it keeps the variables that it read."""
    return isinstance(attribute_of(item, "py_func"), types.FunctionType)


def frozen_in(item: Any) -> Iterator[str]:
    """Yield the names of arrays and numbers that a compiled function keeps."""
    variables: dict[str, Cell] = {**cells(item.py_func), **global_variables(item.py_func)}
    for name, variable in variables.items():
        if isinstance(variable.cell_contents, np.ndarray | float):
            yield name


def _is_own(module: str, reader: str) -> bool:
    """Whether a module is the user's: the reader's package, or one that is not installed."""
    top = module.split(".")[0]
    if top == "elunet" or is_foreign(module) or top in sys.stdlib_module_names:
        return False
    return top == "__main__" or top == reader.split(".")[0] or not _is_installed(top)


@functools.lru_cache(maxsize=4096)
def _is_installed(package: str) -> bool:
    file = getattr(sys.modules.get(package), "__file__", None)
    roots = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    return file is not None and any(Path(file).is_relative_to(root) for root in roots)
