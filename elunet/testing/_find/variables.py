"""The variables that a function reads and that nobody hands to it: of closures, and of modules.

A weight may be a global variable, ``W = ...`` above the class whose methods read it. What a
function reads is in its compiled code. Modules of others (NumPy, installed packages) hold no
weights of the user's; the helpers in the user's own modules are followed.
"""

from __future__ import annotations

import dis
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

MAKING = ("__init__", "__new__", "__post_init__", "__init_subclass__")
"""Methods that run before any pass: what they read is in the object, or is not used."""


def is_foreign(module: str) -> bool:
    """Whether a module's objects hold nothing of a layer's own."""
    return module.split(".")[0] in FOREIGN or module.startswith(ENGINE)


class Variable:
    """A variable of a module, as a cell: so that it can be read and replaced."""

    def __init__(self, module: dict[str, Any], name: str) -> None:
        self._module, self._name = module, name

    @property
    def cell_contents(self) -> Any:
        """What the variable holds."""
        return self._module[self._name]

    @cell_contents.setter
    def cell_contents(self, value: Any) -> None:
        self._module[self._name] = value


Cell = types.CellType | Variable


def is_empty(cell: Cell) -> bool:
    """Whether a variable has no value yet."""
    try:
        cell.cell_contents  # noqa: B018 (an empty cell raises)
    except (ValueError, KeyError):
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
            item = getattr(item, step, item)
        if isinstance(item, types.FunctionType):
            found[name] = item
    return found


def global_variables(function: types.FunctionType) -> dict[str, Variable]:
    """Return the variables of modules that a function reads or writes, by their printed name.

    Only those that may hold something learned: arrays, numbers but whole ones, containers, objects
    of the user's own classes, and functions of the user's own modules.
    """
    module, found = function.__globals__, {}
    for name, attribute in _names_in(function.__code__):
        owner, key, printed = module, name, name
        item = module.get(name)
        if isinstance(item, types.ModuleType):
            if not attribute or not _is_own(item.__name__, function.__module__):
                continue
            owner, key, printed = vars(item), attribute, f"{name}.{attribute}"
            item = owner.get(key)
        if _may_hold(item, function.__module__):
            found[printed] = Variable(owner, key)
    return found


@functools.lru_cache(maxsize=4096)
def _names_in(code: types.CodeType) -> tuple[tuple[str, str], ...]:
    """Return the global names in some code, each with the attribute that is read from it."""
    found: dict[tuple[str, str], None] = {}
    steps = list(dis.get_instructions(code))
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if step.opname in ("LOAD_GLOBAL", "STORE_GLOBAL"):
            reads = after is not None and after.opname in ("LOAD_ATTR", "LOAD_METHOD")
            found[step.argval, after.argval if reads and after is not None else ""] = None
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


def is_compiled(item: Any) -> bool:
    """Whether item is a function that numba compiled: it keeps the variables that it read."""
    return isinstance(getattr(item, "py_func", None), types.FunctionType)


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
