"""A layer under observation: run in float64, from the same state each time.

This is the sampling half of a check. It draws nothing and judges nothing but the form of what comes
back; `_manners` and `_verdict` say what it should have been.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._report import GradientCheckError
from elunet.testing._subject import (
    USUAL_PARAMETERS,
    Frozen,
    Parameter,
    flags,
    in_float64,
    name_of,
)


class Runner:
    """Runs one layer; it is in float64 while this lives, so the caller holds a `Snapshot`."""

    def __init__(
        self,
        layer: Any,
        parts: dict[str, Any],
        inputs: list[Array],
        labels: list[str],
        many: bool,
        train: bool,
    ) -> None:
        self.layer, self.parts = layer, parts
        self.inputs, self.labels, self.many = inputs, labels, many
        self.name = name_of(layer)
        self.flags = flags(layer.forward, train)
        self.candidates = in_float64(parts)
        self.frozen = Frozen(parts)
        self.notes: list[str] = []

    def copies(self) -> list[Array]:
        """Return copies of the inputs, to be handed over."""
        return [value.copy() for value in self.inputs]

    def forward(self, inputs: list[Array]) -> Array:
        """Run forward from the frozen state; the arrays are handed over as they are."""
        self.frozen.restore()
        y = self.layer.forward(tuple(inputs) if self.many else inputs[0], **self.flags)
        if isinstance(y, tuple | list) or y is None:
            raise self.error(
                f"forward returned {type(y).__name__}, expected one array"
                + (": is a `return` missing?" if y is None else " (see check_functions)")
            )
        return np.asarray(y)

    def backward(self, dy: Array) -> list[Array]:
        """Run backward; what it returns, one for each input, as it is."""
        dx = self.layer.backward(dy)
        return self.unpack(dx, "backward")

    def unpack(self, dx: Any, method: str) -> list[Array]:
        """Return one gradient for each input, or raise what is wrong with them."""
        if dx is None:
            raise self.error(f"{method} returned None, expected dx: is a `return` missing?", "dx")
        if self.many:
            if not isinstance(dx, tuple | list) or len(dx) != len(self.inputs):
                got = f"{len(dx)}" if isinstance(dx, tuple | list) else type(dx).__name__
                raise self.error(
                    f"{method} returned {got}, expected a tuple of {len(self.inputs)} arrays, "
                    "one for each input",
                    "dx",
                )
            return [np.asarray(item) for item in dx]
        if isinstance(dx, tuple | list):
            raise self.error(
                f"{method} returned {len(dx)} arrays, expected dx alone (parameters' gradients "
                "belong into self.grads, or into attributes such as self.dW)",
                "dx",
            )
        return [np.asarray(dx)]

    def error(self, message: str, array: str = "") -> GradientCheckError:
        """Return an error that names the layer."""
        return GradientCheckError(f"{self.name}: {message}", array, cause=message)

    def gradients(self) -> tuple[list[Parameter], list[Array]]:
        """Return the parameters that have a gradient, and copies of the gradients."""
        parameters, gradients = [], []
        for parameter in self.candidates:
            gradient = parameter.gradient()
            if parameter.slots[0].get() is not parameter.value:
                if parameter.listed:
                    raise self.error(
                        f"the passes put another array in the place of {parameter.symbol}",
                        parameter.name,
                    )
                continue  # an attribute that forward sets, not a parameter
            if gradient is None:
                if parameter.listed:
                    raise self.error(
                        f"backward left no {parameter.name} for {parameter.symbol}: "
                        "expected one gradient for each parameter",
                        parameter.name,
                    )
                if parameter.symbol.rpartition(".")[2] in USUAL_PARAMETERS:
                    self.notes.append(
                        f"{parameter.symbol} was not checked: no attribute {parameter.name}"
                    )
                continue
            parameters.append(parameter)
            gradients.append(np.array(gradient, dtype=np.float64))
        return parameters, gradients

    def send(self, dy: Array, **weight: Array) -> list[Array]:
        """Run forward and then backward_input alone."""
        self.forward(self.copies())
        return self.unpack(self.layer.backward_input(dy.copy(), **weight), "backward_input")

    def halves(self) -> tuple[bool, bool, bool]:
        """Whether there are backward_params, backward_input, and its argument `weight`."""
        params_half = callable(getattr(self.layer, "backward_params", None))
        input_half = getattr(self.layer, "backward_input", None)
        if not callable(input_half):
            return params_half, False, False
        return params_half, True, "weight" in inspect.signature(input_half).parameters


@dataclass
class Sample:
    """What one forward and one backward pass gave, in copies."""

    y: Array
    dy: Array
    dxs: list[Array]
    parameters: list[Parameter]
    gradients: list[Array]
