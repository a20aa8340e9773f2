"""Optimizers that are made with a list of parameters, and step without seeing a network."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from elunet._types import Array
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

        def step(gradients: Arrays, t: int) -> tuple[Arrays, Arrays]:
            for name, g in gradients.items():
                params[name].grad[...] = g
            handed = {name: param.grad for name, param in params.items()}
            optimizer.step()
            for name, g in handed.items():
                if not g.any():  # it has set them back to zero for the next pass
                    g[...] = gradients[name]
                params[name].grad = g
            return {name: param.value for name, param in params.items()}, handed

        return step

    said = "step(), made with a list of parameters that have value (or data) and grad"
    return Design(said, ("params[0]", "params[1]"), start, returns=False)


def _takes_one(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(
        its.default is its.empty and its.kind not in (its.VAR_POSITIONAL, its.VAR_KEYWORD)
        for its in parameters
    )
