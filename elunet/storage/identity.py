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
import sys
import types
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

PLAIN = bool | int | str | bytes | complex | types.EllipsisType | None
RANDOM = np.random.SeedSequence | np.random.Generator | np.random.BitGenerator
ATOMS = PLAIN | float | np.generic | np.ndarray | type | RANDOM
LOOK_UP = {"LOAD_GLOBAL", "LOAD_NAME"}
FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)


def identity(value: Any) -> str:
    """Return a text that distinguishes a value from all others of its kind.

    Numbers are exact. Arrays are identified by a hash of their content, functions by their name,
    lambdas and functions within functions by a hash of their code and what they enclose. Objects
    are identified by the arguments of their constructor that they keep as attributes; `untold`
    names the others.
    """
    return _Reader(whole=False).text(value)


def whole_identity(value: Any) -> str:
    """Return a text that distinguishes a new object by everything in it.

    That is each attribute, whatever its name, and the code of classes and functions that no
    installed package has. In an object that was used, counters and arrays of a pass would count.
    """
    return _Reader(whole=True).text(value)


class _Reader:
    """Reads values into a text. A number stands for an object that was read before."""

    def __init__(self, whole: bool) -> None:
        self.whole = whole
        self.seen: dict[int, tuple[int, Any]] = {}  # the objects, too, so that ids stay theirs

    def text(self, value: Any) -> str:
        if isinstance(value, float | np.floating):
            return repr(float(value))
        if isinstance(value, np.integer | np.bool_):
            return repr(value.item())
        if isinstance(value, PLAIN):
            return repr(value)
        if isinstance(value, np.random.SeedSequence):
            return f"SeedSequence({value.entropy}, {value.spawn_key})"
        if isinstance(value, np.random.Generator):
            return f"Generator({self.text(value.bit_generator)})"
        if isinstance(value, np.random.BitGenerator):
            return f"{type(value).__name__} {_hash(repr(value.state).encode())}"
        if isinstance(value, np.ndarray):
            if value.dtype.hasobject:
                return f"array of {self.text(value.tolist())}"
            return f"array {value.dtype}{list(value.shape)} {_hash(np.ascontiguousarray(value))}"
        if isinstance(value, type):
            return f"{value.__module__}.{value.__qualname__}"
        if self.whole and hasattr(value, "__array__"):  # such as another library's tensor
            with suppress(Exception):
                return self.text(np.asarray(value))
        if isinstance(value, tuple):  # two equal ones may be one object, or not
            return f"{type(value).__name__}({', '.join(map(self.text, value))})"
        if id(value) in self.seen:
            return f"object {self.seen[id(value)][0]}"
        self.seen[id(value)] = len(self.seen), value
        return self._parts(value)

    def _parts(self, value: Any) -> str:
        """Return the text of a value that has others in it."""
        if isinstance(value, dict):
            items = (f"{key!r}: {self.text(item)}" for key, item in value.items())
            return "{" + ", ".join(items) + "}"
        if isinstance(value, set | frozenset):
            each = sorted(_Reader(self.whole).text(item) for item in value)
            return f"{type(value).__name__}({', '.join(each)})"
        if isinstance(value, list):
            return f"{type(value).__name__}({', '.join(map(self.text, value))})"
        if isinstance(value, functools.partial):
            parts = (value.func, list(value.args), value.keywords)
            return f"partial({', '.join(map(self.text, parts))})"
        if isinstance(value, types.MethodType):
            return f"{self.text(value.__self__)}.{value.__func__.__name__}"
        if isinstance(value, types.FunctionType):
            name = f"{value.__module__}.{value.__qualname__}"
            known = _is_installed(value) if self.whole else "<" not in name
            return name if known else f"{name} {self._code(value)}"
        return self._object(value)

    def _code(self, function: types.FunctionType) -> str:
        """Return a hash of what a function does, and of the values that it encloses."""
        parts = self._instructions(function.__code__, function.__globals__, function.__doc__)
        for cell in function.__closure__ or ():
            try:
                parts.append(self.text(cell.cell_contents))
            except ValueError:  # nothing is in it yet
                parts.append("empty")
        parts.append(self.text([function.__defaults__, function.__kwdefaults__]))
        return _hash("\n".join(parts).encode(errors="surrogatepass"))

    def _instructions(
        self, code: types.CodeType, names: Mapping[str, Any], doc: str | None = None
    ) -> list[str]:
        """Return the instructions of code and its inner functions, and the values that it reads."""
        parts = [code.co_code.hex(), *code.co_names]
        for place, constant in enumerate(code.co_consts):
            if isinstance(constant, types.CodeType):
                parts += self._instructions(constant, names)
            elif place or constant != doc:
                parts.append(self.text(constant))
        looked_up = {each.argval for each in dis.get_instructions(code) if each.opname in LOOK_UP}
        for name in sorted(looked_up):
            value = names.get(name)
            called = self.whole and isinstance(value, types.FunctionType)
            if called or isinstance(value, PLAIN | float | np.generic | np.ndarray):
                parts.append(self.text(value))
        return parts

    def _object(self, value: Any) -> str:
        """Identify an object by its constructor's arguments, or by everything in it."""
        if self.whole and isinstance(compiled := getattr(value, "py_func", None), FUNCTIONS):
            return self.text(compiled)  # by numba
        if isinstance(name := getattr(value, "__name__", None), str):  # such as numpy.tanh
            return f"{getattr(value, '__module__', '')}.{name}"
        kept = attributes(value) if self.whole else made_with(value)
        given = ", ".join(f"{name}={self.text(item)}" for name, item in kept.items())
        code = f" {self._class(type(value))}".rstrip() if self.whole else ""
        return f"{type(value).__qualname__}({given}){code}"

    def _class(self, kind: type) -> str:
        """Return a hash of a class's own code and values, and of those that it inherits."""
        parts = []
        for owner in (base for base in kind.__mro__ if not _is_installed(base)):
            for name, item in vars(owner).items():
                if isinstance(item, property):
                    item = item.fget
                item = getattr(item, "__func__", item)  # of a static or class method
                if isinstance(item, types.FunctionType):
                    parts.append(f"{name} {self._code(item)}")
                elif not name.startswith("__") and isinstance(item, (tuple, list, dict, ATOMS)):
                    parts.append(f"{name} {self.text(item)}")
        return _hash("\n".join(parts).encode(errors="surrogatepass")) if parts else ""


def _is_installed(value: Any) -> bool:
    """Return whether a class or function is part of elunet, Python, or an installed package."""
    package = str(value.__module__).partition(".")[0]
    if package in {"elunet", *sys.stdlib_module_names}:
        return True
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def attributes(value: Any) -> dict[str, Any]:
    """Return everything that a copy of an object would hold, by name; {} if it cannot be seen."""
    if any("__getstate__" in vars(kind) for kind in type(value).__mro__[:-1]):
        with suppress(Exception):  # somebody else's code
            if isinstance(state := value.__getstate__(), dict):
                return state
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        for name, item in vars(kind).items():
            if isinstance(item, types.MemberDescriptorType) and name not in found:
                with suppress(AttributeError):  # nothing was assigned to the slot
                    found[name] = getattr(value, name)
    if not found:
        with suppress(Exception):  # such as a lock, which cannot be copied
            reduced = value.__reduce_ex__(2)
            found["reduced"] = reduced if isinstance(reduced, str) else reduced[1:]
    return found


def _hash(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


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
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


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
