"""How an optimizer is called: one function for each design that courses and books have.

A design is started with the first parameters, and then takes steps: gradients in, parameters out.
What an optimizer returns is what it is given at the next step, as in a training loop.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from elunet._types import Array, Shape

Arrays = dict[str, Array]
Step = Callable[[Arrays, int], tuple[Arrays, Arrays]]
"""``step(gradients, t)`` returns the parameters, and the gradients that were handed over."""


@dataclass(frozen=True)
class Design:
    """One way to call an optimizer.

    Attributes
    ----------
    said : str
        How it is called, for messages.
    names : tuple of str
        The parameters' names, if no others are given.
    start : callable
        ``start(parameters) -> Step``.
    returns : bool
        Whether new parameters may be returned instead of written in place.
    shapes : tuple of tuple of int, optional
        Those of the parameters, if it has its own.
    """

    said: str
    names: tuple[str, ...]
    start: Callable[[Arrays], Step]
    returns: bool = True
    shapes: tuple[Shape, ...] | None = None


TWO = ("first.W", "second.W")
KEYS = ("W1", "b1", "W2", "b2")


class Net:
    """The part of a network that an optimizer needs."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self.latest = {name: np.zeros_like(array) for name, array in arrays.items()}

    def parameters(self) -> Arrays:
        """Return the live arrays by name."""
        return dict(self.arrays)

    def gradients(self) -> Arrays:
        """Return the gradients by the same names."""
        return dict(self.latest)


def with_net(method: str, optimizer: Any) -> Design:
    """Return the design ``step(net)``; gradients' arrays stay the same, as a network's do."""

    def start(arrays: Arrays) -> Step:
        net, call = Net(arrays), _bound(optimizer, method)

        def step(gradients: Arrays, t: int) -> tuple[Arrays, Arrays]:
            for name, g in gradients.items():
                net.latest[name][...] = g
            call(net)
            return net.arrays, net.latest

        return step

    return Design(f"{method}(net)", TWO, start, returns=False)


def with_layers(method: str, optimizer: Any, kinds: tuple[str, str]) -> Design:
    """Return the design ``update_params(layer)``: two layers, with W and dW, b and db, or so."""

    def start(arrays: Arrays) -> Step:
        layers: dict[str, Any] = {}
        for name, array in arrays.items():
            owner, _, kind = name.rpartition(".")
            layer = layers.setdefault(owner, SimpleNamespace(params={}, grads={}))
            setattr(layer, kind, array)
            layer.params[kind] = array
        call, runner = _bound_to(optimizer, method)
        live = dict(arrays)

        def step(gradients: Arrays, t: int) -> tuple[Arrays, Arrays]:
            for name, g in gradients.items():
                owner, _, kind = name.rpartition(".")
                setattr(layers[owner], f"d{kind}", g)
                layers[owner].grads[kind] = g
            getattr(runner, "pre_update_params", _nothing)()
            for layer in layers.values():
                call(layer)
            getattr(runner, "post_update_params", _nothing)()
            now = {}
            for name in arrays:
                owner, _, kind = name.rpartition(".")
                now[name] = live[name] = _replaced(layers[owner], kind, live[name])
            return now, gradients

        return step

    names = tuple(f"layer{place}.{kind}" for place in (1, 2) for kind in kinds)
    said = f"{method}(layer) with layer.{kinds[0]} and layer.d{kinds[0]}"
    return Design(said, names, start, returns=False)


def _replaced(layer: Any, kind: str, before: Array) -> Array:
    """Return a layer's parameter, also where an optimizer replaced it in `params`."""
    now: Array = getattr(layer, kind)
    if now is before:
        now = layer.params[kind]
    setattr(layer, kind, now)
    layer.params[kind] = now
    return now


class Gradients(dict[str, Array]):
    """Gradients by the parameters' names, found as dW1 and the like as well."""

    def __missing__(self, key: str) -> Array:
        if (match := re.fullmatch(r"(?:d|grad|nabla|delta)_?(\w+)", str(key))) is None:
            raise KeyError(key)
        return dict.__getitem__(self, match[1])

    def __contains__(self, key: object) -> bool:
        return self.get(str(key)) is not None

    def get(self, key: str, default: Any = None) -> Any:
        """Return the gradient, or the default."""
        try:
            return self[key]
        except KeyError:
            return default


def with_dicts(said: str, call: Callable[[], Callable[..., Any]]) -> Design:
    """Return a design that takes and may return a dict of all parameters."""

    def start(arrays: Arrays) -> Step:
        live, names, run = arrays, list(arrays), call()

        def step(gradients: Arrays, t: int) -> tuple[Arrays, Arrays]:
            nonlocal live
            result = _first(run(params=live, grads=Gradients(gradients), t=t), Mapping)
            live = live if result is None else result
            return {name: live[name] for name in names}, gradients

        return step

    return Design(f"{said} with dicts", KEYS, start)


def with_lists(said: str, call: Callable[[], Callable[..., Any]]) -> Design:
    """Return a design that takes and may return a list of all parameters."""

    def start(arrays: Arrays) -> Step:
        live: list[Array] = list(arrays.values())
        names, run = list(arrays), call()

        def step(gradients: Arrays, t: int) -> tuple[Arrays, Arrays]:
            nonlocal live
            result = run(params=live, grads=list(gradients.values()), t=t)
            if not isinstance(result, tuple) or len(result) != len(names):
                result = _first(result, list)
            live = live if result is None else list(result)
            return dict(zip(names, live, strict=True)), gradients

        return step

    return Design(f"{said} with lists", ("params[0]", "params[1]"), start)


def with_pairs(method: str, optimizer: Any) -> Design:
    """Return the design ``apply_gradients([(g, w), ...])``."""

    def start(arrays: Arrays) -> Step:
        call = _bound(optimizer, method)

        def step(gradients: Arrays, t: int) -> tuple[Arrays, Arrays]:
            call([(gradients[name], array) for name, array in arrays.items()])
            return arrays, gradients

        return step

    return Design(f"{method}([(g, w), ...])", TWO, start, returns=False)


def with_arrays(
    said: str, call: Callable[[], Callable[..., Any]], apart: bool, names: tuple[str, ...] = TWO
) -> Design:
    """Return a design that takes one parameter at a time; `apart`: by an optimizer of its own."""

    def start(arrays: Arrays) -> Step:
        shared = None if apart else call()
        runs = {name: shared or call() for name in arrays}
        configs: dict[str, Any] = {}
        live = dict(arrays)

        def step(gradients: Arrays, t: int) -> tuple[Arrays, Arrays]:
            for index, (name, w) in enumerate(live.items()):
                result = runs[name](
                    params=w,
                    grads=gradients[name],
                    t=t,
                    name=name,
                    index=index,
                    config=configs.get(name),
                )
                for part in result if isinstance(result, tuple) else ():
                    if isinstance(part, dict):
                        configs[name] = part
                new = _first(result, np.ndarray)
                live[name] = w if new is None else new
            return dict(live), gradients

        return step

    return Design(f"{said} with one array at a time", names, start)


def _first(result: Any, kind: type) -> Any:
    """Return the result, or the first of a tuple, that is of this kind; None if there is none."""
    parts: Sequence[Any] = result if isinstance(result, tuple) else (result,)
    return next((part for part in parts if isinstance(part, kind)), None)


def _bound(optimizer: Any, method: str) -> Callable[..., Any]:
    """Return a method of a deep copy, or the function itself."""
    return _bound_to(optimizer, method)[0]


def _bound_to(optimizer: Any, method: str) -> tuple[Callable[..., Any], Any]:
    if is_function(optimizer):
        return optimizer, optimizer
    runner = copy.deepcopy(optimizer)
    return getattr(runner, method), runner


def is_function(optimizer: Any) -> bool:
    """Whether it is called itself, and not a method of it."""
    return inspect.isroutine(optimizer) or isinstance(optimizer, partial)


def _nothing() -> None:
    return None
