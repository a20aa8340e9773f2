"""Call a forward and a backward function as their signatures say.

Forward returns its output, or outputs and a cache: ``(out, cache)``, ``(h, c, cache)``. Backward
takes the outputs' gradients and the cache, or parts of both, in any order; the names of its
arguments and of what forward returns say which is which.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._call.passes import CACHE, GRADIENT, INPUT, name_of
from elunet.testing._call.signatures import Parameters, parameters_of, returned_names
from elunet.testing._find.names import readings
from elunet.testing._find.places import is_number
from elunet.testing._find.structures import Structure

PLURAL = re.compile(r"(d|grad)_?(out|output|y|h)s_?|grads|gradients|douts|dys", re.IGNORECASE)


@dataclass
class Call:
    """How one pair of functions is called; settled by what forward returns the first time.

    Attributes
    ----------
    forward, backward : callable
    names : list of str
        Names of forward's arguments.
    roles : dict
        For each argument of backward that is given: ("dy", i), ("item", i), ("argument", i).
    outputs : list of int
        Which of the returned items are outputs that have a gradient.
    notes : list of str
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    names: list[str]
    roles: dict[str, tuple[str, int]] = field(default_factory=dict)
    outputs: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    together: bool = False
    """Whether backward takes the gradients of all outputs in one tuple."""

    def settle(self, result: Any, given: Sequence[Any] = ()) -> None:
        """Find out what the items that forward returned are, and what backward takes.

        Parameters
        ----------
        result : object
            What forward returned.
        given : sequence
            What it was given: what it returns of that is no output.

        Raises
        ------
        TypeError
            If they do not fit together; it says how to bring them to.
        """
        items = items_of(result)
        if result is None:
            raise self._error("returned None: is a `return` missing?")
        shown = returned_names(self.forward)
        shown = shown if len(shown) == len(items) else [""] * len(items)
        named = {name: i for i, name in enumerate(shown) if isinstance(name, str) and name}
        cache = len(items) - 1 if len(items) > 1 and not _is_output(items[-1]) else None
        taken = parameters_of(self.backward)
        if not taken:
            taken = _usual(len(items))
        self.parameters = taken
        gradients, open_names = self._first_roles(named)
        used = {i for kind, i in self.roles.values() if kind == "item"}
        free = [i for i in range(len(items)) if i not in used]
        kept = self._reserved(free, open_names, cache)
        outputs = [i for i in free if i not in kept and _is_output(items[i], nested=True)]
        if not outputs and not any(_output_named(name, shown) is not None for name in gradients):
            raise self._error(
                f"returned {_shown(items, result)}, expected an array of floats first: the output"
            )
        while len(gradients) > max(len(outputs), 1):
            open_names.insert(0, gradients.pop())
        self._choose_outputs(outputs, shown, gradients)
        for i in outputs:
            if i not in self.outputs and not any(items[i] is thing for thing in given):
                what = shown[i] if isinstance(shown[i], str) and shown[i] else f"output {i}"
                taker = name_of(self.backward)
                self.notes.append(f"{what} was not checked: {taker} takes no gradient of it")
        free = [i for i in free if i not in self.outputs]
        self._hand_out(free, open_names, cache, _shown(items, result))
        self.rest = cache if cache is not None else (free[-1] if free else None)

    def _first_roles(self, named: dict[str, int]) -> tuple[list[str], list[str]]:
        """Give the roles that names say; return the gradients' names, and those still open."""
        gradients: list[str] = []
        open_names: list[str] = []
        for name, parameter in self.parameters.items():
            needed = parameter.default is parameter.empty
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if name.lower() in CACHE:
                open_names.append(name)
            elif name in self.names:
                self.roles[name] = ("argument", self.names.index(name))
            elif name in named:
                self.roles[name] = ("item", named[name])
            elif not needed:
                continue
            elif GRADIENT.match(name):
                gradients.append(name)
            else:
                open_names.append(name)
        if not gradients:
            plain = [name for name in open_names if name.lower() not in CACHE]
            if not plain:
                raise self._error(
                    f"gives outputs, but {name_of(self.backward)} takes no gradient of them "
                    "(dout): if it is the derivative alone, wrap it, lambda dout, x: dout * "
                    "derivative(x); for a function that begins at the loss there is check_gradient"
                )
            gradients = [plain[0]]
            open_names.remove(plain[0])
        return gradients, open_names

    def _reserved(self, free: list[int], open_names: list[str], cache: int | None) -> list[int]:
        """Return the items that are kept for backward's arguments, from the end."""
        if cache is not None and len(open_names) < 2:
            return [cache]
        count = min(len(open_names), len(free) - 1)
        return free[len(free) - count :] if count > 0 else []

    def _choose_outputs(self, free: list[int], shown: list[Any], gradients: list[str]) -> None:
        """Say which output each gradient belongs to."""
        found = [_output_named(name, shown) for name in gradients]
        by_name = [i for i in found if i is not None]
        if len(by_name) == len(gradients) == len(set(by_name)):
            self.outputs = by_name
        else:
            self.together = len(gradients) == 1 < len(free) and bool(PLURAL.fullmatch(gradients[0]))
            self.outputs = free if self.together else free[: len(gradients)]
        for place, name in enumerate(gradients):
            self.roles[name] = ("dy", place)

    def _hand_out(
        self, left: list[int], open_names: list[str], cache: int | None, shown: str
    ) -> None:
        """Give what is left of forward's items to what is left of backward's arguments."""
        if cache is not None and len(open_names) == 1:
            left = [cache]
        elif len(open_names) < len(left):
            left = left[len(left) - len(open_names) :]
        for name in list(open_names):
            if len(left) < len(open_names) and name.lower() in INPUT:
                self.roles[name] = ("argument", 0)
                open_names.remove(name)
        if len(left) < len(open_names):
            taker = name_of(self.backward)
            raise self._error(
                f"was expected to return (out, cache), got {shown}, while {taker} also takes "
                f"{', '.join(open_names)}: name it like an argument of {name_of(self.forward)}, or "
                "like what it returns, or wrap it in a lambda with (dout, cache)"
            )
        for name, i in zip(open_names, left, strict=False):
            self.roles[name] = ("item", i)

    def output_of(self, result: Any) -> Structure:
        """Return the outputs that are differentiated, as leaves."""
        items = items_of(result)
        return Structure({f"y{i}": items[i] for i in self.outputs})

    def run_backward(self, given: list[Any], result: Any, dys: list[Any]) -> Any:
        """Call backward with the outputs' gradients and what else it takes."""
        items = items_of(result)
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        skipped = False
        for name, parameter in self.parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional += self._starred(name, given, items)
                continue
            kind, i = self.roles.get(name, ("", 0))
            if not kind or (kind == "argument" and i >= len(given)):
                skipped = True
                continue
            if kind == "dy":
                thing = tuple(dys) if self.together else dys[i]
            else:
                thing = items[i] if kind == "item" else given[i]
            if skipped or parameter.kind is parameter.KEYWORD_ONLY:
                keywords[name] = thing
            else:
                positional.append(thing)
        return self.backward(*positional, **keywords)

    def _starred(self, name: str, given: list[Any], items: list[Any]) -> list[Any]:
        """Return what goes into ``*args``: the cache's parts, or forward's arguments."""
        if self.rest is not None and (name.lower() in CACHE or name.lower() == "cached"):
            cache = items[self.rest]
            return list(cache) if isinstance(cache, tuple | list) else [cache]
        return list(given)

    def _error(self, text: str) -> TypeError:
        return TypeError(f"check_functions: {name_of(self.forward)} {text}")


def items_of(result: Any) -> list[Any]:
    """Return what forward returned as a list of items."""
    if isinstance(result, tuple) or (
        isinstance(result, list) and any(not is_number(item) for item in result)
    ):
        return list(result)
    return [result]


def _is_output(item: Any, nested: bool = False) -> bool:
    if isinstance(item, np.ndarray):
        return bool(item.dtype.kind == "f")
    if nested and isinstance(item, tuple | list | dict):
        leaves = Structure({"y": item}).leaves.values()
        return bool(leaves) and all(_is_output(leaf) for leaf in leaves)
    return isinstance(item, float | np.floating)


def _output_named(gradient: str, shown: list[Any]) -> int | None:
    """Return which item a gradient's name belongs to: da_next to a_next."""
    for reading in readings(gradient, weak=False):
        for i, name in enumerate(shown):
            if isinstance(name, str) and name and name.lower() == reading.lower():
                return i
    return None


def _usual(count: int) -> Parameters:
    names = ["dout", "cache"] if count > 1 else ["dout"]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return {name: inspect.Parameter(name, kind) for name in names}


def _shown(items: list[Any], result: Any = None) -> str:
    if len(items) == 1 and result is not None:
        return type(result).__name__
    return "(" + ", ".join(type(item).__name__ for item in items) + ")"


def joined(outputs: Structure) -> Array:
    """Return the outputs as one array: as it is if there is one, else flat."""
    arrays = [np.asarray(leaf) for leaf in outputs.leaves.values()]
    return arrays[0] if len(arrays) == 1 else np.concatenate([a.reshape(-1) for a in arrays])


def apart(dy: Array, outputs: Structure) -> list[Any]:
    """Return the gradient of each output, in its structure."""
    arrays = [np.asarray(leaf) for leaf in outputs.leaves.values()]
    ends = np.cumsum([a.size for a in arrays])[:-1]
    parts = [dy] if len(arrays) == 1 else np.split(dy, ends)
    shaped = {
        path: part.reshape(a.shape)
        for path, part, a in zip(outputs.leaves, parts, arrays, strict=True)
    }
    made = outputs.copy(shaped)
    return list(made.values())
