"""Read the names of a function's arguments, and of what it returns."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

Parameters = dict[str, inspect.Parameter]


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """Return the parameters in a function's signature, {} if it cannot be read.

    A ufunc has its inputs alone, x or x1, x2: NumPy has no signature for it, or one with options.
    """
    if isinstance(function, np.ufunc):
        names = ["x"] if function.nin == 1 else [f"x{i + 1}" for i in range(function.nin)]
        return {name: inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names}
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a builtin or a compiled function
        return {}


def argument_names(function: Callable[..., Any], count: int) -> list[str]:
    """Return the names of the first arguments; arg0, arg1, ... where there are none."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [name for name, p in parameters_of(function).items() if p.kind in kinds]
    return [*names, *(f"arg{i}" for i in range(len(names), count))][:count]


def returned_names(function: Callable[..., Any]) -> list[Any]:
    """Return the names in a function's last `return`, nested as there; [] if it has none.

    What has no name of its own (a product, a call) is "".
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return []
    found = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value]
    if not found:
        return []
    names = _names(found[-1])
    return names if isinstance(names, list) else [names]


def _names(node: ast.expr) -> Any:
    if isinstance(node, ast.Tuple | ast.List):
        return [_names(item) for item in node.elts]
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def is_readable(function: Callable[..., Any]) -> bool:
    """Whether a function has a signature that can be read."""
    try:
        inspect.signature(function)
    except (TypeError, ValueError):
        return False
    return True
