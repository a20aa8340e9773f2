"""Run a layer's passes for a check: in float64, from the same random state each time.

This half of a check only collects numbers; it draws none and checks only the form of what the layer
returns. `side_effects` and the comparing check the values.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._call.passes import TRAIN, Design, Passed, leaves, name_of
from elunet.testing._call.signatures import returned_names
from elunet.testing._find.pairs import pair
from elunet.testing._find.places import (
    Place,
    attributes,
    is_number,
)
from elunet.testing._find.returned import UnmatchedError, claims_in
from elunet.testing._find.structures import as_dict
from elunet.testing._find.values import Given, Held, Value, in_dtype
from elunet.testing._perturb.snapshot import Frozen, Snapshot
from elunet.testing._report import GradientCheckError

__tracebackhide__ = True  # pytest shows the frames of the code that is checked

RATES_KEPT = ("learning_rate", "lr", "eta", "step_size")
"""Names of an attribute that holds the learning rate of an update in backward."""
CLEARING = (
    "zero_grad",
    "zero_grads",
    "zero_gradients",
    "flush_gradients",
    "reset_gradients",
    "clear_grads",
    "cleargrads",
    "clear_gradients",
    "zero_gradient",
)


@dataclass
class Options:
    """What the user says of the layer's design; see check_layer."""

    gradients: Given = field(default_factory=dict)
    batch_axis: int = 0
    averaged: bool = False
    l2: Any = 0.0
    state: Sequence[str] = ()
    dtype: Any = np.float64
    learning_rate: float = 0.1


class Runner:
    """Runs one layer and puts it into float64; the caller restores it from a `Snapshot`."""

    def __init__(
        self,
        layer: Any,
        inputs: list[Array],
        labels: list[str],
        many: bool,
        train: bool,
        options: Options | None = None,
        root: Any = None,
    ) -> None:
        self.layer, self.inputs, self.labels, self.many = layer, inputs, labels, many
        self.root = layer if root is None else root
        """The object whose arrays are looked at: the layer, or the network behind a loss."""
        self.options = options or Options()
        self.name = name_of(layer)
        self.is_loss = self.root is not layer and layer.is_loss
        """Whether the output is a loss, whose own gradient is 1."""
        self.design = Design(layer, len(inputs), many, train, self.options.learning_rate)
        in_dtype(self.root, self.options.dtype)
        self.frozen = Frozen(self.root, tuple(self.options.state))
        self.values: list[Value] = []
        self.unpaired: dict[str, Any] = {}
        self.held = Held(self.root)
        self.given: dict[str, Array] = {}
        """Parameters' gradients that backward returned, by the value's path."""
        self.notes: list[str] = []
        self.left_alone: set[int] = set()
        """Inputs that are not differentiated: integers, such as the indices of an embedding."""

    def copies(self) -> list[Array]:
        """Return copies of the inputs, to pass to the layer."""
        return [value.copy() for value in self.inputs]

    def draw_dy(self, rng: np.random.Generator, y: Array) -> Array:
        """Draw a gradient for the output."""
        return np.ones_like(y) if self.is_loss else rng.standard_normal(y.shape).astype(y.dtype)

    def forward(self, inputs: list[Array]) -> Array:
        """Run forward from the frozen state; several outputs come as one flat array."""
        self.frozen.restore()
        return self.forward_again(inputs)

    def forward_again(self, inputs: list[Array]) -> Array:
        """Run forward from whatever state the last pass left."""
        try:
            self.passed = self.design.forward(inputs)
        except ValueError as error:
            text = str(error)
            if text.startswith(f"{self.design.forward_name} returned"):
                raise self.error(text) from None
            raise
        return self.joined(self.passed)

    def joined(self, passed: Passed) -> Array:
        """Return the outputs that take a gradient, as one array."""
        taken = passed.outputs[: self.design.gradients_taken]
        if len(taken) < len(passed.outputs):
            ignored = ", ".join(f"y[{i}]" for i in range(len(taken), len(passed.outputs)))
            self.note(f"{ignored} was not checked: backward takes {len(taken)} gradient")
        return taken[0] if len(taken) == 1 else np.concatenate([y.reshape(-1) for y in taken])

    def apart(self, dy: Array) -> list[Array]:
        """Return the gradient of each output."""
        taken = self.passed.outputs[: self.design.gradients_taken]
        if len(taken) == 1:
            return [dy]
        ends = np.cumsum([y.size for y in taken])[:-1]
        parts = np.split(dy, ends)
        return [part.reshape(y.shape) for part, y in zip(parts, taken, strict=True)]

    def backward(self, dy: Array) -> list[Array]:
        """Run backward and return its result unchanged, one array for each input."""
        before = {
            path: [(place, place.get(), np.copy(place.get())) for place in places]
            for path, places in self.held.places.items()
        }
        returned = self.design.backward(self.passed, self.apart(dy))
        rate = self.rate_of_updates()
        if rate is not None:
            for path, places in before.items():
                self._read_update(path, places, rate)
        return self.unpack(returned, self.design.backward_name)

    def rate_of_updates(self) -> float | None:
        """Return the learning rate if backward updates at once, else None.

        Either backward takes it, or it is an attribute.
        """
        if self.design.updates:
            return self.options.learning_rate
        own = {name.lower().strip("_"): value for name, value in attributes(self.layer).items()}
        rates = [own[name] for name in RATES_KEPT if is_number(own.get(name))]
        return float(rates[0]) if rates else None

    def _read_update(self, path: str, places: list[tuple[Place, Any, Array]], rate: float) -> None:
        """Read a gradient off what backward did to a parameter, and undo it."""
        old = places[0][2]
        now = np.array(places[0][0].get(), dtype=np.float64)
        if now.shape != old.shape or (path not in self.given and np.array_equal(now, old)):
            return
        self.given[path] = (old - now) / rate
        for place, thing, content in places:
            if isinstance(thing, np.ndarray):
                thing[...] = content
            place.set(thing)

    def unpack(self, returned: Any, method: str) -> list[Array]:
        """Return one gradient for each input, or raise an error about their form."""
        returned = as_dict(returned)
        if returned is None and (self.is_loss or len(self.left_alone) == len(self.inputs)):
            return self._no_input_gradient()
        if returned is None:
            found = self.design.input_gradient()
            if found is not None and not self.many:
                return [np.asarray(found)]
            raise self.error(f"{method} returned None, expected dx: is a `return` missing?", "dx")
        if isinstance(returned, dict) or self._has_more(returned):
            return self._sort_out(returned, method)
        if self.many or isinstance(returned, tuple | list):
            found = leaves(returned)
            if not isinstance(returned, tuple | list) or len(found) != len(self.inputs):
                count = isinstance(returned, tuple | list)
                raise self._count(str(len(found)) if count else type(returned).__name__, method)
            return [self._input_gradient(i, dx, method) for i, dx in enumerate(found)]
        return [np.asarray(returned)]

    def _input_gradient(self, place: int, dx: Any, method: str) -> Array:
        """Return an input's gradient as an array; None stands for that of integers."""
        if dx is not None:
            return np.asarray(dx)
        if place not in self.left_alone:
            label = f"d{self.labels[place]}"
            raise self.error(f"{method} returned None, expected {label}", label)
        return np.zeros(self.inputs[place].shape)

    def _has_more(self, returned: Any) -> bool:
        """Whether parameters' gradients are returned beside the inputs'."""
        if not isinstance(returned, tuple | list):
            return False
        arrays = [v for v in self.held.original.values() if isinstance(v, np.ndarray)]
        return 0 < len(leaves(returned)) - len(self.inputs) <= len(arrays)

    def _sort_out(self, returned: Any, method: str) -> list[Array]:
        """Take the inputs' gradients out of what backward returned, and note the parameters'."""
        names = self.design.input_names or self.labels
        inputs = dict(zip(names, self.inputs, strict=False))
        held = {path: value for path, value in self.held.original.items() if path not in inputs}
        shown = [] if isinstance(returned, dict) else returned_names(getattr(self.layer, method))
        dxs = self._by_aliases(leaves(returned), leaves(shown))
        if dxs:
            return dxs
        try:
            claims = claims_in(returned, {**inputs, **held}, shown)
        except UnmatchedError as error:
            raise self.error(f"{method} {error}", "dx") from None
        self.given |= {path: claims[path].gradient for path in held if path in claims}
        missing = [name for name in names if name not in claims]
        if missing and self.is_loss:
            return self._no_input_gradient()
        if missing:
            raise self.error(
                f"{method} returned no gradient of {missing[0]} beside the others, expected one "
                f"that is called d{missing[0]}",
                "dx",
            )
        return [np.asarray(claims[name].gradient) for name in names]

    def _by_aliases(self, found: list[Any], shown: list[Any]) -> list[Array]:
        """Take parameters' gradients by their names in `return`; [] if those do not tell.

        One array may have several names. Where params is a list, its order counts, not the names:
        an optimizer goes through it and the gradients side by side.
        """
        if any(re.search(r"(^|\.)params\[\d+\]$", path) for path in self.held.places):
            return []
        arrays = {name: np.asarray(g) for name, g in zip(shown, found, strict=False) if name}
        if len(shown) != len(found) or len(arrays) < len(found) - len(self.inputs):
            return []
        aliases = {p.path: path for path, places in self.held.places.items() for p in places}
        values = {alias: np.asarray(self.held.original[path]) for alias, path in aliases.items()}
        pairs = pair(values, arrays)
        given = {aliases[alias]: name for alias, name in pairs.items()}
        left = [g for name, g in zip(shown, found, strict=True) if name not in given.values()]
        if len(left) != len(self.inputs):
            return []
        self.given |= {path: arrays[name] for path, name in given.items()}
        return [np.asarray(g) for g in left]

    def _no_input_gradient(self) -> list[Array]:
        if not self.left_alone:
            self.left_alone = {0}
            self.note("dx was not checked: backward returns no gradient of x")
        return [np.zeros(value.shape) for value in self.inputs]

    def _count(self, got: str, method: str) -> GradientCheckError:
        if self.many:
            return self.error(
                f"{method} returned {got}, expected a tuple of {len(self.inputs)} arrays, one for "
                "each input",
                "dx",
            )
        return self.error(
            f"{method} returned {got} arrays, expected dx alone (parameters' gradients belong in "
            "self.grads, or into attributes such as self.dW)",
            "dx",
        )

    def error(self, message: str, array: str = "") -> GradientCheckError:
        """Return an error that names the layer."""
        return GradientCheckError(f"{self.name}: {message}", array, cause=message)

    def note(self, text: str) -> None:
        """Add a note to the result, once."""
        if text not in self.notes:
            self.notes.append(text)

    def gradient(self, value: Value) -> Array:
        """Return a copy of a value's gradient, times the batch size where it is averaged."""
        found = value.gradient()
        if found is None:
            raise self.error(
                f"backward left no {value.name} for {value.symbol}: expected one gradient for "
                "each parameter",
                value.name,
            )
        gradient = np.array(found, dtype=np.float64)
        decay = self.options.l2
        decay = decay.get(value.symbol, 0.0) if isinstance(decay, dict) else decay
        content = value.content
        if decay and (content.ndim > 1 or isinstance(self.options.l2, dict)):
            gradient -= decay * content
        if self.options.averaged:
            gradient *= self.inputs[0].shape[self.options.batch_axis]
        return gradient

    def clear(self) -> bool:
        """Set gradients to 0 that are added up; return whether they may be added up."""
        name = next((n for n in CLEARING if callable(getattr(self.root, n, None))), None)
        if name is not None:
            getattr(self.root, name)()
        beside = [value for value in self.values if value.adds_up]
        for value in self.values if name is not None else beside:
            gradient = value.gradient()
            if isinstance(gradient, np.ndarray) and gradient.flags.writeable:
                gradient[...] = 0.0
        return name is not None or bool(beside)

    def changes_in_training(self) -> set[str]:
        """Return the paths of what a forward pass in training changes, without doing it."""
        flag = next((n for n in (*TRAIN, "mode") if n in self.design.flags), None)
        if flag is None:
            return set()
        before, flags = Snapshot(self.root), self.design.flags
        try:
            self.design.flags = {**flags, flag: "train" if flag == "mode" else True}
            self.design.forward(self.copies())
            return {path for path, _ in before.changed()}
        finally:
            self.design.flags = flags
            before.restore()

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
    values: list[Value]
    gradients: list[Array]
