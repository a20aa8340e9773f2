"""Call a loss in the design in which it was written.

A loss returns ``(value, dy)``, or the value alone and has the gradient in another method
(``backward``, ``gradient``) or function. Which argument is the target is found by its name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from elunet.testing._call.passes import INPUT_GRADIENT, method_of, name_of
from elunet.testing._call.signatures import Parameters, is_readable, parameters_of
from elunet.testing._find.places import attributes

__tracebackhide__ = True  # pytest shows the frames of the code that is checked

VALUE = (
    "calculate",
    "forward",
    "loss",
    "compute_loss",
    "compute",
    "value",
    "cost",
    "fn",
    "f",
    "forward_pass",
    "call",
    "__call__",
)
GRADIENT = (
    "backward",
    "gradient",
    "grad",
    "backward_pass",
    "loss_gradient",
    "compute_gradient",
    "gradients",
    "derivative",
    "prime",
    "loss_prime",
    "loss_derivative",
    "cost_derivative",
    "dloss",
    "delta",
    "df",
)
SURE = (
    "t",
    "true",
    "truth",
    "actual",
    "expected",
    "desired",
    "correct",
    "onehot",
    "tbatch",
    "ybatch",
)
SURE_START = ("target", "label", "ytrue", "groundtruth")
UPSTREAM = ("dout", "dvalue", "dloss", "dl", "upstream", "grad", "gradoutput", "dz", "g", "delta")


def targetness(name: str) -> int:
    """Return 2 for a name that only a target has, 1 for one that a target may have."""
    plain = name.lower().replace("_", "")
    if plain in SURE or plain.startswith(SURE_START):
        return 2
    return int(plain == "y")


def required(function: Callable[..., Any]) -> Parameters:
    """Return the positional arguments that have no default."""
    found = parameters_of(function)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {n: p for n, p in found.items() if p.kind in kinds and p.default is p.empty}


class LossCall:
    """How one loss is called.

    Parameters
    ----------
    loss : object
        A function, an object or class with methods, or a tuple of two functions.
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss
        self.name_of_gradient = ""
        self.gradient: Callable[..., Any] | None = None
        if isinstance(loss, tuple) and len(loss) == 2 and all(map(callable, loss)):
            self.value, self.gradient = loss
            self.name = f"{name_of(self.value)} and {name_of(self.gradient)}"
            return
        self.name = name_of(loss)
        found = _method(loss, GRADIENT)
        if found is not None:
            self.gradient, self.name_of_gradient = getattr(loss, found), found
        is_function = inspect.isroutine(loss) or (callable(loss) and found is None)
        names = VALUE if isinstance(loss, type) or not callable(loss) else ("__call__", *VALUE)
        method = None if is_function and not isinstance(loss, type) else _method(loss, names)
        if method is None and not callable(loss):
            raise TypeError(
                "check_loss: expected loss(prediction, target) -> (value, dy), or an object with "
                f"forward and backward, got {type(loss).__name__}"
            )
        self.value = loss if method is None else getattr(loss, method)

    @property
    def is_by_z(self) -> bool:
        """Whether the gradient is ``delta(z, a, y)``, by the input z of the last layer's sigmoid.

        So it is in Nielsen's book, where the cost is ``fn(a, y)``.
        """
        if self.gradient is None or self.name_of_gradient != "delta":
            return False
        return [name.lower() for name in required(self.gradient)] == ["z", "a", "y"]

    def by_z(self) -> LossCall:
        """Return the loss as a function of z, with a = sigmoid(z)."""
        value = self.value
        gradient: Callable[..., Any] = self.gradient  # type: ignore[assignment]  # see is_by_z

        def loss(z: Any, y: Any) -> Any:
            return value(sigmoid(z), y)

        def slope(z: Any, y: Any) -> Any:
            return gradient(z, sigmoid(z), y)

        call = LossCall((loss, slope))
        call.name = f"{self.name} (by z, a = sigmoid(z))"
        return call

    def run(self, prediction: Any, target: Any) -> Any:
        """Return what the loss returns."""
        return self.value(*self._ordered(self.value, prediction, target))

    def value_of(self, result: Any) -> Any:
        """Return the value in what the loss returned.

        Raises
        ------
        TypeError
            If there is neither a gradient beside it nor a method that gives it.
        """
        if isinstance(result, tuple) and len(result) == 2 and self.gradient is None:
            return result[0]
        if self.gradient is None:
            raise TypeError(
                f"check_loss: expected {self.name} to return (value, dy), got "
                f"{type(result).__name__} (an object needs a method backward or gradient; of two "
                "functions give both: check_loss((loss, loss_prime), prediction, target))"
            )
        return result[0] if isinstance(result, tuple) and np.ndim(result[0]) == 0 else result

    def gradient_of(self, result: Any, prediction: Any, target: Any) -> Any:
        """Return the gradient after the loss returned this result."""
        if self.gradient is None:
            return result[1]
        given = self._backward_arguments(self.gradient, result, prediction, target)
        returned = self.gradient(*given)
        if returned is None:
            own = {name.lower(): thing for name, thing in attributes(self.loss).items()}
            names = (*INPUT_GRADIENT, "dy", "grad", "gradient", "dpred", "dlogits", "delta")
            returned = next((own[n] for n in names if isinstance(own.get(n), np.ndarray)), None)
        if isinstance(returned, tuple) and returned:
            returned = returned[0]
        return returned

    def _ordered(self, function: Callable[..., Any], prediction: Any, target: Any) -> list[Any]:
        names = list(required(function))[:2]
        if len(names) == 1 and not _takes_two(function):
            return [prediction]
        first = len(names) == 2 and targetness(names[0]) > targetness(names[1])
        return [target, prediction] if first else [prediction, target]

    def _backward_arguments(
        self, gradient: Callable[..., Any], result: Any, prediction: Any, target: Any
    ) -> list[Any]:
        """Return what the gradient's method takes: nothing, the two, or an upstream gradient."""
        names = list(required(gradient))
        if not names and not (isinstance(self.loss, tuple) or not is_readable(gradient)):
            return []
        roles = dict(zip(required(self.value), ("prediction", "target"), strict=False))
        if self._ordered(self.value, 0, 1) == [1, 0]:
            roles = dict(zip(required(self.value), ("target", "prediction"), strict=False))
        things = {"prediction": prediction, "target": target}
        if names and all(name in roles for name in names):
            return [things[roles[name]] for name in names]
        if len(names) == 1:
            plain = names[0].lower().replace("_", "")
            if targetness(names[0]):
                return [target]
            if plain in UPSTREAM:
                return [np.ones_like(np.asarray(self.value_of(result), dtype=float))[()]]
            return [prediction]
        if len(names) == 2 or not names:
            return self._ordered(gradient, prediction, target)
        raise TypeError(
            f"check_loss: expected {name_of(gradient)} to take the prediction and the target, "
            f"got ({', '.join(names)}): wrap it, check_loss((loss, lambda p, t: ...), ...)"
        )


def sigmoid(z: Any) -> Any:
    """Return 1 / (1 + exp(-z))."""
    return 1 / (1 + np.exp(-np.asarray(z)))


def _method(loss: Any, names: Sequence[str]) -> str | None:
    """Return the first of these methods, also of a class with static methods."""
    if not isinstance(loss, type):
        return method_of(loss, names)
    own = [name for name in names if name != "__call__"]
    return next((name for name in own if callable(getattr(loss, name, None))), None)


def _takes_two(function: Callable[..., Any]) -> bool:
    found = parameters_of(function).values()
    positional = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) > 1 or any(p.kind is p.VAR_POSITIONAL for p in found)
