"""Call forward and backward in the design in which a layer was written.

Courses and books write layers in many ways: forward returns the output, or keeps it in
`self.output`; backward takes dy, or the input and dy, or dy and a learning rate with which it
updates the parameters at once. Here the methods' names and signatures say which.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from elunet._types import Array

__tracebackhide__ = True  # pytest shows the frames of the code that is checked

FORWARD = (
    "forward",
    "forward_pass",
    "forward_propagation",
    "forward_prop",
    "feedforward",
    "feed_forward",
    "fprop",
    "propagate",
    "__call__",
)
BACKWARD = (
    "backward",
    "backward_pass",
    "backward_propagation",
    "backward_prop",
    "backprop",
    "back_prop",
    "back_propagate",
    "backpropagate",
    "back_propagation",
    "bprop",
    "back",
)
LONGEST_NAME = 100
TRAIN = ("train", "training", "is_training", "is_train", "train_flg", "train_mode")
CACHE = ("cache", "caches", "ctx", "context", "memory", "saved")
RATE = ("learning_rate", "lr", "eta", "alpha", "step_size", "rate", "learning_r")
INPUT = ("x", "input", "inputs", "input_data", "x_in", "data", "a_prev", "input_")
OUTPUT = ("y", "out", "output", "outputs", "a", "z", "activations", "activation", "result")
INPUT_GRADIENT = (
    "dinputs",
    "dinput",
    "dx",
    "grad_input",
    "grad_inputs",
    "grad_x",
    "d_inputs",
    "d_input",
    "input_grad",
    "input_gradient",
    "dl_dx",
    "dx_",
)
GRADIENT = re.compile(r"^(d|grad|delta|g$|err|upstream|nabla)", re.IGNORECASE)


def name_of(thing: Any) -> str:
    """Return the repr that a class defines, with the class's name in front if it lacks that.

    Of a long one (a dataclass that shows its arrays) only the name.
    """
    if isinstance(thing, partial):
        return name_of(thing.func)
    name = str(getattr(thing, "__name__", type(thing).__name__))
    if name == "<lambda>":
        return "the function"
    if getattr(type(thing), "__repr__", None) is object.__repr__ or name != type(thing).__name__:
        return name
    text = repr(thing)
    if "\n" in text or len(text) > LONGEST_NAME:
        return name
    return text if text.startswith(name) else f"{name} ({text})"


def flags(method: Callable[..., Any], train: bool) -> dict[str, Any]:
    """Return the keyword that tells a forward method about training, if it takes one."""
    names = _parameters(method)
    for name in TRAIN:
        if name in names:
            return {name: train}
    if "mode" in names:
        return {"mode": "train" if train else "test"}
    variable = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in names.values())
    return {"train": train} if variable else {}


def _parameters(method: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(method).parameters)
    except (TypeError, ValueError):  # a builtin or a compiled method
        return {}


def _taken(method: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the arguments of a pass that have a name, except those about training."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = _parameters(method)
    return {
        name: p
        for name, p in found.items()
        if p.kind not in variable and name not in (*TRAIN, "mode")
    }


def _keyword_only(method: Callable[..., Any]) -> set[str]:
    return {name for name, p in _parameters(method).items() if p.kind is p.KEYWORD_ONLY}


def _pass(
    call: Callable[..., Any], given: dict[str, Any], more: dict[str, Any], only: set[str]
) -> Any:
    """Call with arguments by their names: by keyword those that are keyword-only."""
    keywords = {name: item for name, item in given.items() if name in only}
    places = [item for name, item in given.items() if name not in keywords]
    return call(*places, **keywords, **more)


def method_of(layer: Any, names: Sequence[str]) -> str | None:
    """Return the first of these methods that the layer has."""
    if isinstance(layer, type):
        return None
    return next((name for name in names if callable(getattr(layer, name, None))), None)


@dataclass
class Passed:
    """What one forward pass gave."""

    inputs: list[Array]
    outputs: list[Array]
    cache: Any = None


@dataclass
class Design:
    """How one layer's passes are called.

    Attributes
    ----------
    layer : object
    count : int
        How many inputs there are.
    many : bool
        Whether they came as a tuple.
    train : bool
    rate : float
        The learning rate for a backward pass that updates at once.
    """

    layer: Any
    count: int
    many: bool
    train: bool = True
    rate: float = 0.1
    flags: dict[str, Any] = field(init=False)
    updates: bool = field(init=False)
    """Whether backward takes a learning rate, and so changes the parameters."""

    def __post_init__(self) -> None:
        self.forward_name = method_of(self.layer, FORWARD) or "forward"
        self.backward_name = method_of(self.layer, BACKWARD) or "backward"
        forward = getattr(self.layer, self.forward_name)
        backward = getattr(self.layer, self.backward_name)
        self.flags = flags(forward, self.train)
        self.only = {"forward": _keyword_only(forward), "backward": _keyword_only(backward)}
        taken = _parameters(forward).values()
        variable = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in taken)
        names = [
            name
            for name, p in _taken(forward).items()
            if p.kind is not p.KEYWORD_ONLY or p.default is p.empty
        ]
        self.apart = self.many and (variable or len(names) >= max(self.count, 2))
        self.input_names = names[: self.count] if len(names) >= self.count else []
        self.roles = self._roles(_taken(backward))
        self.updates = "rate" in self.roles.values()

    def _roles(self, taken: dict[str, inspect.Parameter]) -> dict[str, str]:
        """Say for each argument of backward what it is: dy, input, output, cache or rate."""
        roles = {}
        for name, parameter in taken.items():
            plain = name.lower()
            if plain in RATE:
                roles[name] = "rate"
            elif plain in CACHE:
                roles[name] = "cache"
            elif parameter.default is inspect.Parameter.empty:
                roles[name] = ""
        rest = [name for name, role in roles.items() if not role]
        for name in rest:
            if len(rest) == 1 or GRADIENT.match(name):
                roles[name] = "dy"
            elif name in self.input_names or name.lower() in INPUT:
                roles[name] = "input"
            elif name.lower() in OUTPUT:
                roles[name] = "output"
            else:
                roles[name] = "dy"
        return roles

    @property
    def gradients_taken(self) -> int:
        """How many gradients backward takes, one for each output."""
        found = [name for name, role in self.roles.items() if role == "dy"]
        return max(1, len(found))

    def forward(self, inputs: list[Array]) -> Passed:
        """Run forward; the arrays are passed as they are.

        Raises
        ------
        ValueError
            If it gives no output.
        """
        call = getattr(self.layer, self.forward_name)
        given = inputs if self.apart else [tuple(inputs) if self.many else inputs[0]]
        if len(given) == len(self.input_names):
            named = dict(zip(self.input_names, given, strict=True))
            result = _pass(call, named, self.flags, self.only["forward"])
        else:
            result = call(*given, **self.flags)
        if result is None:
            result = self._attribute(OUTPUT)
        passed = Passed(inputs, [])
        if isinstance(result, tuple | list) and len(result) > 0:
            items = list(result)
            if "cache" in self.roles.values():
                passed.cache = items.pop()
            elif len(items) > 1 and not isinstance(items[-1], np.ndarray):
                items.pop()
            items = list(items[0]) if len(items) == 1 and isinstance(items[0], tuple) else items
            passed.outputs = [np.asarray(item) for item in items]
        elif result is not None:
            passed.outputs = [np.asarray(result)]
        if not passed.outputs or any(o.dtype.kind not in "fiu" for o in passed.outputs):
            got = "NoneType" if result is None else type(result).__name__
            raise ValueError(
                f"{self.forward_name} returned {got}, expected one array"
                + (": is a `return` missing?" if result is None else " (see check_functions)")
            )
        return passed

    def backward(self, passed: Passed, dys: list[Array]) -> Any:
        """Run backward and return what it returns."""
        call = getattr(self.layer, self.backward_name)
        left = list(dys)
        given: dict[str, Any] = {}
        inputs: dict[str, Any] = dict(zip(self.input_names, passed.inputs, strict=False))
        for name, role in self.roles.items():
            if role == "dy":
                given[name] = left.pop(0) if left else None
            elif role == "input":
                together = self.many and not self.apart
                first = tuple(passed.inputs) if together else passed.inputs[0]
                given[name] = inputs.get(name, first)
            elif role == "output":
                given[name] = passed.outputs[0]
            elif role == "cache":
                given[name] = passed.cache
            else:
                given[name] = self.rate
        return _pass(call, given, {}, self.only["backward"]) if self.roles else call(dys[0])

    def _attribute(self, names: Sequence[str]) -> Any:
        """Return the first array among the layer's attributes with one of these names."""
        own = {name.lower(): value for name, value in vars(self.layer).items()}
        found = (own.get(name) for name in names)
        return next((value for value in found if isinstance(value, np.ndarray)), None)

    def input_gradient(self) -> Any:
        """Return the input's gradient from the layer's attributes, None if there is none."""
        return self._attribute(INPUT_GRADIENT)


def leaves(returned: Any) -> list[Any]:
    """Return the arrays in nested tuples and lists, in their order."""
    if isinstance(returned, tuple | list):
        return [leaf for item in returned for leaf in leaves(item)]
    return [returned]
