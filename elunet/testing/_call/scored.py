"""A network and its loss as one layer, whose output is the loss.

Networks are written in several ways: forward and backward with a loss beside them; a method
`loss(X, y)` that returns the loss and its gradients in a dict; `loss(x, t)` and `gradient(x, t)`;
`compute_loss_and_gradients(X, y)`. For a check all of them have a forward pass that gives one
number and a backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._call.passes import BACKWARD, FORWARD, Design, flags, method_of, name_of
from elunet.testing._report import GradientCheckError

LOSS = ("loss", "compute_loss", "compute_loss_and_gradients", "loss_and_gradients", "compute_cost")
GRADIENT = (
    "gradient",
    "compute_gradient",
    "compute_gradients",
    "grad_loss",
    "loss_grad",
    "loss_gradient",
    "grad",
)

Loss = Callable[[Array, Any], tuple[float, Array]]


class Scored:
    """A network with a target and a loss.

    Parameters
    ----------
    net : object
    target : object
    loss : callable or None
        None if the network computes its own.
    train : bool

    Raises
    ------
    TypeError
        If the network has none of the known methods.
    """

    is_loss = True

    def __init__(self, net: Any, target: Any, loss: Loss | None, train: bool) -> None:
        self.net, self.target, self.loss = net, target, loss
        if loss is not None:
            for names in (FORWARD, BACKWARD):
                if method_of(net, names) is None:
                    raise TypeError(
                        f"check_network: expected a network with a method {names[0]}, got "
                        f"{type(net).__name__}"
                    )
            self.design = Design(net, 1, False, train)
            return
        found = method_of(net, LOSS)
        if found is None:
            raise TypeError(
                "check_network: expected a loss, or a network with a method loss(X, y), got "
                f"{type(net).__name__}"
            )
        self.method = getattr(net, found)
        self.flags = flags(self.method, train)
        other = method_of(net, GRADIENT)
        self.gradient = None if other is None else getattr(net, other)

    def named(self) -> tuple[dict[str, Array], dict[str, Array]] | None:
        """Return parameters and gradients by name, for a network that gives both as dicts."""
        both = [getattr(self.net, name, None) for name in ("parameters", "gradients")]
        if self.loss is None or not all(callable(one) for one in both):
            return None
        found = tuple(one() for one in both if one is not None)
        if not all(isinstance(one, dict) for one in found):
            return None
        return found[0], found[1]

    def forward(self, x: Array) -> Array:
        """Return the loss, and keep what the backward pass needs."""
        self.x = x
        if self.loss is not None:
            self.passed = self.design.forward([x])
            prediction = self.passed.outputs[0]
            if prediction.dtype != x.dtype:
                raise GradientCheckError(
                    f"{type(self.net).__name__}: forward returned {prediction.dtype} for x in "
                    f"{x.dtype}; expected {x.dtype} (compute in x's dtype)"
                )
            value, self.dy = self.loss(prediction, self.target)
        else:
            result = self.method(x, self.target, **self.flags)
            value, self.found = result if isinstance(result, tuple) else (result, None)
        if np.ndim(value) != 0 or not np.isfinite(value):
            got = f"shape {np.shape(value)}" if np.ndim(value) else str(value)
            raise GradientCheckError(
                f"{type(self.net).__name__}: expected the loss as one finite number, got {got}"
            )
        return np.array(value, dtype=x.dtype)

    def backward(self, dy: Array) -> Any:
        """Return the input's gradient, a dict of gradients, or None."""
        if self.loss is not None:
            return self.design.backward(self.passed, [self.dy])
        if self.found is None and self.gradient is not None:
            self.found = self.gradient(self.x, self.target)
        return self.found

    def __repr__(self) -> str:
        return name_of(self.net)
