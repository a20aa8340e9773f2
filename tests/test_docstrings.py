"""The public API is documented: every name, its parameters, an example that runs, the reference.

Public is what can be reached from `elunet` without an underscore: the names in `__all__`, and so
on through the modules among them; a module without `__all__` offers what it defines itself.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import pytest

import elunet

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
LAZY = {"elunet.testing": ["strategies"]}  # not in `__all__`: they import what only tests need


def names_of(module: ModuleType) -> list[str]:
    """Return a module's public names."""
    if hasattr(module, "__all__"):
        return [*module.__all__, *LAZY.get(module.__name__, [])]
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def public(module: ModuleType = elunet) -> Iterator[tuple[str, Any]]:
    """Go through all public names, as ("elunet.layers.ELU", the class), modules included."""
    yield module.__name__, module
    for name in names_of(module):
        value = getattr(module, name)
        if isinstance(value, ModuleType):
            yield from public(value)
        elif name != "__version__":
            yield f"{module.__name__}.{name}", value


PUBLIC = dict(public())
CALLABLES = {
    name: value
    for name, value in PUBLIC.items()
    if inspect.isclass(value) or inspect.isfunction(value)
}
CALLED = [  # all but errors, which are only raised
    name
    for name, value in CALLABLES.items()
    if not (inspect.isclass(value) and issubclass(value, BaseException))
]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(elunet.__path__, "elunet.")
    if ".kernels" not in module.name
)


def sections(text: str) -> dict[str, str]:
    """Return a numpydoc docstring's sections by their titles; what comes before is ""."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(text) + "\n", flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def documented_arguments(text: str) -> set[str]:
    found = sections(text)
    listed = found.get("Parameters", "") + found.get("Attributes", "")
    names = re.findall(r"^(\S.*?)(?: :.*)?$", listed, flags=re.MULTILINE)
    return {name.strip("* ") for line in names for name in line.split(",")}


def arguments(value: Any) -> set[str]:
    """Return the names that a function, or a class when it is made, can be given."""
    if inspect.isclass(value):
        maker = next(kind for kind in value.__mro__ if "__init__" in vars(kind))
        if not maker.__module__.startswith("elunet") or getattr(value, "_is_protocol", False):
            return set()  # list's, and that of a class that is only a type
    return set(inspect.signature(value).parameters)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_has_a_docstring(name):
    value = PUBLIC[name]
    if name in CALLABLES or isinstance(value, ModuleType):
        assert value.__doc__, f"{name} has no docstring"
        assert value.__doc__.strip().splitlines()[0].endswith((".", ":", "`")), name


@pytest.mark.parametrize("name", CALLABLES)
def test_every_public_method_has_a_docstring(name):
    value = CALLABLES[name]
    for key, method in vars(value).items() if inspect.isclass(value) else ():
        own = inspect.isfunction(method) or isinstance(method, property | classmethod)
        field = key in vars(value).get("__annotations__", {})  # with a function as its default
        if own and not field and not key.startswith("_"):
            assert inspect.getdoc(getattr(value, key)), f"{name}.{key} has no docstring"


@pytest.mark.parametrize("name", CALLED)
def test_every_argument_is_documented(name):
    value = CALLABLES[name]
    kinds = value.__mro__ if inspect.isclass(value) else [value]  # bases tell what they take
    told = set().union(*(documented_arguments(kind.__doc__ or "") for kind in kinds))
    missing = arguments(value) - told
    assert not missing, f"{name}: no word about {sorted(missing)} in Parameters"


@pytest.mark.parametrize("name", CALLED)
def test_every_class_and_function_has_an_example(name):
    examples = doctest.DocTestParser().get_examples(CALLABLES[name].__doc__ or "")
    assert examples, f"{name} has no example"


@pytest.mark.parametrize("name", ["elunet", *MODULES])
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    threads = elunet.get_num_threads()
    result = doctest.testmod(module, optionflags=FLAGS)
    elunet.set_num_threads(threads)
    plt.close("all")
    assert not result.failed, f"{result.failed} of {result.attempted} examples (printed above)"


def commented(module: ModuleType) -> set[str]:
    """Return the module's data that a docstring follows; autodoc passes over the others."""
    body = ast.parse(inspect.getsource(module)).body
    return {
        name.id
        for statement, after in pairwise(body)
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        for name in ast.walk(statement)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    }


def listed() -> dict[str, Any]:
    """Return what the pages in docs/reference list, as autodoc goes about it."""
    text = "".join(page.read_text("utf-8") for page in sorted(REFERENCE.glob("*.md")))
    found = {}
    pattern = r"^\.\. (?:auto|py:)(\w+):: (\S+)\n((?:   :.*\n)*)"
    directives = re.findall(pattern, text, flags=re.MULTILINE)
    for kind, name, options in directives:
        chosen = dict(re.findall(r":([\w-]+): *(.*)", options))
        if kind != "module":
            full = f"{chosen['module']}.{name}" if "module" in chosen else name
            parent, _, own = full.rpartition(".")
            found[full] = getattr(importlib.import_module(parent), own)
            continue
        found[name] = module = importlib.import_module(name)
        left_out = chosen.get("exclude-members", "").split(", ")
        for own in chosen["members"].split(", ") if chosen["members"] else names_of(module):
            value = getattr(module, own)
            if inspect.isclass(value) or inspect.isfunction(value):
                all_of_it = "imported-members" in chosen or hasattr(module, "__all__")
                shown = all_of_it or value.__module__ == name
            else:
                shown = own in commented(module)
            if shown and own not in left_out:
                found[f"{name}.{own}"] = value
    return found


def test_the_reference_lists_every_public_name_and_no_private_one():
    shown = listed()
    private = [name for name in shown if any(part.startswith("_") for part in name.split("."))]
    assert not private
    ids = {id(value) for value in shown.values()}
    missing = [
        name
        for name, value in PUBLIC.items()
        if id(value) not in ids and not isinstance(value, ModuleType)
    ]
    assert not missing, f"docs/reference has none of {missing}"


def attributes(kind: type) -> Iterator[tuple[str, str]]:
    """Yield the properties and attributes of a class that have a docstring, with its first line."""
    for base in kind.__mro__:
        if not base.__module__.startswith(("elunet", __name__)):
            continue
        for name, value in vars(base).items():
            if isinstance(value, property) and value.__doc__:
                yield name, value.__doc__.split("\n")[0]
        [body] = ast.parse(inspect.getsource(base)).body
        for statement, after in pairwise(body.body):
            is_set = isinstance(statement, ast.Assign | ast.AnnAssign)
            if is_set and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                yield ast.unparse(statement), str(after.value.value).split("\n")[0]


@pytest.mark.parametrize("name", [n for n, value in CALLABLES.items() if inspect.isclass(value)])
def test_the_reference_shows_an_attributes_first_line_whole(name):
    """Of "Whether y: rest", the reference would show "Whether y" as the attribute's type."""
    found = {of: line for of, line in attributes(CALLABLES[name]) if re.search(r"^[^`]*: ", line)}
    assert not found


def test_an_attribute_that_would_be_cut_is_found():
    assert dict(attributes(Cut)) == {"a: int = 0": "Two words: a type.", "b": "Also: this."}


class Cut:
    """An example."""

    a: int = 0
    """Two words: a type."""

    @property
    def b(self) -> int:
        """Also: this."""
        return 1
