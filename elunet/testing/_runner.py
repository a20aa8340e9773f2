"""Run a layer's passes for a check: in float64, from the same random state each time.

This half of a check only collects numbers; it draws none and checks only the form of what the layer
returns. `_side_effects` and `_gradients` check the values.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._contents import (
    USUAL_PARAMETERS,
    Frozen,
    Parameter,
    flags,
    in_float64,
    name_of,
)
from elunet.testing._report import GradientCheckError


class Runner:
    """Runs one layer and puts it into float64; the caller restores it from a `Snapshot`."""

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
        """Return copies of the inputs, to pass to the layer."""
        return [value.copy() for value in self.inputs]

    def forward(self, inputs: list[Array]) -> Array:
        """Run forward from the frozen state; the arrays are passed as they are."""
        self.frozen.restore()
        y = self.layer.forward(tuple(inputs) if self.many else inputs[0], **self.flags)
        if isinstance(y, tuple | list) or y is None:
            raise self.error(
                f"forward returned {type(y).__name__}, expected one array"
                + (": is a `return` missing?" if y is None else " (see check_functions)")
            )
        return np.asarray(y)

    def backward(self, dy: Array) -> list[Array]:
        """Run backward and return its result unchanged, one array for each input."""
        dx = self.layer.backward(dy)
        return self.unpack(dx, "backward")

    def unpack(self, dx: Any, method: str) -> list[Array]:
        """Return one gradient for each input, or raise an error about their form."""
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
                "belong in self.grads, or into attributes such as self.dW)",
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
            if parameter.locations[0].get() is not parameter.value:
                if parameter.listed:
                    raise self.error(
                        f"the passes replaced {parameter.symbol} by another array",
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
    """The results of one forward and one backward pass, as copies."""

    y: Array
    dy: Array
    dxs: list[Array]
    parameters: list[Parameter]
    gradients: list[Array]
