"""Optimizers that are made with a list of parameters, and step without seeing a network."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._find.places import attributes, walk
from elunet.testing._optimizers.calls import Arrays, Design, Step


class Param:
    """A parameter as an object: its array as `value` and as `data`, and `grad`."""

    def __init__(self, array: Array) -> None:
        self.value = array
        self.grad = np.zeros_like(array)

    @property
    def data(self) -> Array:
        """The array."""
        return self.value

    @data.setter
    def data(self, array: Array) -> None:
        self.value = array

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.value.shape


def with_params(factory: Callable[[list[Any]], Any]) -> Design:
    """Return the design of an optimizer that is made with a list of parameters.

    It has ``step()``, and parameters are objects, or ``step(grads)``, and they are arrays.
    """

    def start(arrays: Arrays) -> Step:
        params = {name: Param(array) for name, array in arrays.items()}
        optimizer = factory(list(params.values()))
        if not callable(getattr(optimizer, "step", None)):
            raise TypeError(
                f"expected a function of one argument to make an optimizer with step() of a list of"
                f" parameters, got {type(optimizer).__name__} from it"
            )
        if _takes_one(optimizer.step):
            optimizer = factory(list(arrays.values()))

            def step_with(gradients: Arrays, t: int) -> tuple[Arrays, Arrays]:
                optimizer.step(list(gradients.values()))
                return arrays, gradients

            return step_with

        return _bare(optimizer, params, "value")

    said = "step(), made with a list of parameters that have value (or data) and grad"
    return Design(said, ("params[0]", "params[1]"), start, returns=False)


def with_own_params(optimizer: Any) -> Design | None:
    """Return the design of an optimizer that was made with its parameters; None if it has none."""
    found = _params_of(optimizer)
    if not found:
        return None
    kind = found[0][1]
    shapes = tuple(np.shape(getattr(param, kind)) for param, kind in found)

    def start(arrays: Arrays) -> Step:
        runner = copy.deepcopy(optimizer)
        own = [param for param, _ in _params_of(runner)]
        params = dict(zip(arrays, own, strict=True))
        for name, param in params.items():
            live = np.asarray(getattr(param, kind))
            if live.dtype == np.float64 and live.flags.writeable:
                live[...] = arrays[name]  # somebody else may hold it as well
            else:
                setattr(param, kind, arrays[name])
            param.grad = np.zeros(live.shape)
        return _bare(runner, params, kind)

    names = tuple(f"params[{place}]" for place in range(len(found)))
    said = f"step(), with its own {len(found)} parameters, found by their {kind} and grad"
    return Design(said, names, start, returns=False, shapes=shapes)


def _params_of(optimizer: Any) -> list[tuple[Any, str]]:
    """Return the objects with a value and grad that an optimizer holds, each once."""
    found: dict[int, tuple[Any, str]] = {}
    for place in walk(optimizer, shared=False):
        item = place.get()
        its = {} if isinstance(item, np.ndarray | dict | list | tuple) else attributes(item)
        kind = next((name for name in ("data", "value") if name in its), None)
        if kind and "grad" in its and isinstance(its[kind], np.ndarray):
            found[id(item)] = item, kind
    return list(found.values())


def _bare(optimizer: Any, params: dict[str, Any], kind: str) -> Step:
    """Return a step of ``step()``; gradients' arrays stay the same."""

    def step(gradients: Arrays, t: int) -> tuple[Arrays, Arrays]:
        for name, g in gradients.items():
            params[name].grad[...] = g
        handed = {name: param.grad for name, param in params.items()}
        optimizer.step()
        for name, g in handed.items():
            if not g.any():  # it has set them back to zero for the next pass
                g[...] = gradients[name]
            params[name].grad = g
        return {name: getattr(param, kind) for name, param in params.items()}, handed

    return step


def _takes_one(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(
        its.default is its.empty and its.kind not in (its.VAR_POSITIONAL, its.VAR_KEYWORD)
        for its in parameters
    )
