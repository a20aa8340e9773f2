"""The check of one layer: backward has to compute what forward implies.

Three things are looked at in turn. The layer's manners: same x, same y; nothing that it was given
or gave away is written to. The gradients of x and of each parameter against central differences of
<dy, y> with a random dy. And, for a layer that has them, the two halves of backward against the
whole.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._compare import Settings, Target, compare, first_index, real
from elunet.testing._diagnose import CLOSE, Factor
from elunet.testing._report import CheckResult, GradientCheckError, Row, conclude
from elunet.testing._subject import (
    USUAL_PARAMETERS,
    Frozen,
    Parameter,
    Snapshot,
    flags,
    held_arrays,
    in_float64,
    is_layer,
    name_of,
    parts_of,
)


def check_layer(
    layer: Any,
    x: Any,
    train: bool = True,
    seed: int = 0,
    *,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    entries: int = 500,
    skip_kinks: bool = False,
) -> CheckResult:
    """Check a layer's backward pass against numeric differences of its forward pass.

    Compares dx and the gradient of every parameter, for a random gradient dy at the output,
    with ``<dy, y(v + eps) - y(v - eps)> / (2 eps)`` in float64. The random state is set back
    before each forward pass, so dropout keeps its mask.

    Parameters
    ----------
    layer : object
        Any object with ``forward(x)`` (or ``forward(x, train)``) and ``backward(dy)``, of elunet
        or not. Parameters are found in the dicts (or lists) ``params`` and ``grads``, else in
        attributes with their gradients beside them: W and dW (or d_W, W_grad, grad_W). Layers
        within the layer are found too.
    x : array_like or tuple of array_like
        The input, any shape that the layer takes; a tuple for a layer of several inputs, whose
        backward returns a tuple. Cast to float64; the array itself is never touched. Small is
        enough: a picture of 5 x 5, a batch of 2 or 3.
    train : bool
        Passed on if forward takes it.
    seed : int
        Draws dy, and the sample of entries.
    eps : float
        Half the step of the differences, relative for values above 1. An entry counts as wrong
        only if it disagrees at eps, 10 eps and eps / 10.
    rtol, atol : float
        An entry passes if ``|analytic - numeric| <= atol + rtol * max(|analytic|, |numeric|)``
        (and a rounding error estimated from y). In float64 both sides agree to about 1e-9, so
        these are a hundred times tighter than is usual, and still roomy.
    entries : int
        Entries compared one by one in each array, fewer where the arrays are very large. An array
        with more is sampled, and a random direction through all of it compared besides.
    skip_kinks : bool
        Leave out entries where the function has no derivative (ReLU at 0, ties in a pooling
        window) instead of raising.

    Returns
    -------
    CheckResult
        Its repr is a table of the errors of each array.

    Raises
    ------
    GradientCheckError
        An AssertionError that says which array, where, by how much, and the likely cause.
    TypeError
        If layer has no forward and backward, or x is not of real numbers.
    ValueError
        If x is empty or not finite, or a number is out of its range.

    Notes
    -----
    The layer is left as it was: parameters, gradients, `state`, generators, and what its last
    forward pass kept.

    The idea is the usual one, see e.g. torch.autograd.gradcheck; diagnosing the error is not.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.testing import check_layer
    >>> class Cube:
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x**3
    ...     def backward(self, dy):
    ...         return dy * 3 * self.x**2
    >>> check_layer(Cube(), np.array([[0.5, -1.5], [2.0, 1.0]])).max_rel_error < 1e-6
    True
    """
    settings = Settings(eps, rtol, atol, entries, skip_kinks, seed).validated("check_layer")
    if isinstance(layer, type):
        raise TypeError(f"check_layer: expected a layer, got the class {layer.__name__}: call it")
    if not is_layer(layer):
        raise TypeError(
            "check_layer: expected an object with forward(x) and backward(dy), got "
            f"{type(layer).__name__} (for functions there is check_functions)"
        )
    many = isinstance(x, tuple)
    given = list(x) if many else [x]
    labels = [f"x[{i}]" for i in range(len(given))] if many else ["x"]
    inputs = [
        real(item, f"check_layer: {label}") for item, label in zip(given, labels, strict=True)
    ]
    parts = parts_of(layer)
    snapshot = Snapshot(parts)
    try:
        return _LayerCheck(layer, parts, inputs, labels, many, train, settings).run()
    finally:
        snapshot.restore()


class _LayerCheck:
    """One check; the layer is in float64 while it lives."""

    def __init__(
        self,
        layer: Any,
        parts: dict[str, Any],
        inputs: list[Array],
        labels: list[str],
        many: bool,
        train: bool,
        settings: Settings,
    ) -> None:
        self.layer, self.parts, self.settings = layer, parts, settings
        self.inputs, self.labels, self.many = inputs, labels, many
        self.name = name_of(layer)
        self.flags = flags(layer.forward, train)
        self.candidates = in_float64(parts)
        self.frozen = Frozen(parts)
        self.notes: list[str] = []

    def run(self) -> CheckResult:
        y = self._check_forward()
        dy = self.settings.rng(0).standard_normal(y.shape)
        dxs, parameters, gradients = self._check_backward(y, dy)
        self._check_halves(dy, dxs, parameters, gradients)
        rows = []
        for k, (label, value, dx) in enumerate(zip(self.labels, self.inputs, dxs, strict=True)):
            rows.append(self._compare(f"d{label}", label, value, dx, dy, k))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            rows.append(self._compare_parameter(parameter, gradient, y, dy))
        if any(not row.ok for row in rows):
            rows = self._look_closer(rows, y, dy, [*dxs, *gradients])
        return conclude(self.name, rows, self.notes)

    # -- running the layer

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
        return GradientCheckError(f"{self.name}: {message}", array, cause=message)

    # -- manners

    def _check_forward(self) -> Array:
        given = [value.copy() for value in self.inputs]
        y = self.forward(given)
        self._unchanged(given, self.inputs, "forward", self.labels)
        if y.dtype != np.float64:
            raise self.error(
                f"forward returned {y.dtype} for x in float64; expected float64, in which "
                "differences are exact enough (let x's dtype rule the computation)"
            )
        if not np.all(np.isfinite(y)):
            index = first_index(~np.isfinite(y))
            raise self.error(f"forward returned {y[index]} at y{list(index)}")
        first = y.copy()
        again = self.forward([value.copy() for value in self.inputs])
        if again.shape != first.shape or not np.allclose(again, first, rtol=1e-12, atol=1e-12):
            raise self.error(
                "forward is not deterministic: the same x gives another y although the random "
                "state was set back (keep the generator in an attribute, such as self.rng)"
            )
        other = [v * np.linspace(0.9, 1.1, v.size).reshape(v.shape) for v in self.inputs]
        self.forward(other)
        if not np.array_equal(y, first):
            raise self.error(
                "forward changed an earlier result: y is a buffer that is used again; "
                "return an array of its own"
            )
        return first

    def _check_backward(
        self, y: Array, dy: Array
    ) -> tuple[list[Array], list[Parameter], list[Array]]:
        given = [value.copy() for value in self.inputs]
        out = self.forward(given)
        values = [parameter.value.copy() for parameter in self.candidates]
        kept = held_arrays(self.parts)
        dy_given = dy.copy()
        returned = self.backward(dy_given)
        self._unchanged([dy_given], [dy], "backward", ["dy"])
        self._unchanged(given, self.inputs, "backward", self.labels)
        self._unchanged([out], [y], "backward", ["y, which forward returned,"])
        dxs = [np.array(dx, dtype=np.float64) for dx in returned]
        for label, dx in zip(self.labels, returned, strict=True):
            if dx.dtype != np.float64:
                self.notes.append(f"d{label} is {dx.dtype} although x was float64")
        parameters, gradients = self._gradients()
        self._unchanged(
            [parameter.value for parameter in self.candidates if parameter in parameters],
            [v for v, p in zip(values, self.candidates, strict=True) if p in parameters],
            "backward",
            [parameter.symbol for parameter in parameters],
            " (leave the update to the optimizer)",
        )
        own = {id(parameter.gradient()) for parameter in parameters}
        changed = [
            name
            for name, array, copy in kept
            if id(array) not in own and not np.array_equal(array, copy, equal_nan=True)
        ]
        self._check_again(dy, returned, dxs, parameters, gradients, changed)
        return dxs, parameters, gradients

    def _unchanged(
        self,
        now: list[Array],
        before: list[Array],
        method: str,
        labels: list[str],
        hint: str = "",
    ) -> None:
        for array, copy, label in zip(now, before, labels, strict=True):
            if not np.array_equal(array, copy):
                index = first_index(array != copy)
                raise self.error(
                    f"{method} changed {label} in place (first at {list(index)}: "
                    f"{copy[index]:.8g} became {array[index]:.8g}){hint}",
                    label,
                )

    def _gradients(self) -> tuple[list[Parameter], list[Array]]:
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

    def _check_again(
        self,
        dy: Array,
        returned: list[Array],
        dxs: list[Array],
        parameters: list[Parameter],
        gradients: list[Array],
        changed: list[str],
    ) -> None:
        """Run backward a second time: it must find all as the first left it."""
        try:
            again = [np.array(dx) for dx in self.backward(dy.copy())]
        except Exception as error:  # a layer may throw away what it kept
            self.notes.append(f"backward runs once for each forward ({type(error).__name__})")
            return
        for label, dx, old in zip(self.labels, again, dxs, strict=True):
            if not _same(dx, old):
                culprits = ", ".join(changed)
                raise self.error(
                    f"backward changed in place what forward kept: run twice, its d{label} "
                    "differs" + (f"; changed: {culprits}" if changed else ""),
                    f"d{label}",
                )
        for label, dx, old in zip(self.labels, returned, dxs, strict=True):
            if not _same(np.asarray(dx), old):
                raise self.error(
                    f"backward changed an earlier result: d{label} is a buffer that is used again; "
                    "return an array of its own",
                    f"d{label}",
                )
        for parameter, old in zip(parameters, gradients, strict=True):
            gradient = np.array(parameter.gradient(), dtype=np.float64)
            if not _same(gradient, old) and not hasattr(self.layer, "zero_grad"):
                doubled = _same(gradient, 2 * old)
                raise self.error(
                    f"{parameter.name} differs when backward runs twice"
                    + (
                        ": it is added up; overwrite it, or give the layer a zero_grad()"
                        if doubled
                        else ": backward changed what forward kept"
                    ),
                    parameter.name,
                )

    def _check_halves(
        self, dy: Array, dxs: list[Array], parameters: list[Parameter], gradients: list[Array]
    ) -> None:
        """Check that backward is backward_params and backward_input, with any weight."""
        params_half = getattr(self.layer, "backward_params", None)
        input_half = getattr(self.layer, "backward_input", None)
        if callable(params_half):
            self.forward([value.copy() for value in self.inputs])
            params_half(dy.copy())
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if not _same(np.asarray(parameter.gradient()), gradient):
                    raise self.error(
                        f"backward_params(dy) gives another {parameter.name} than backward(dy)",
                        parameter.name,
                    )
        if not callable(input_half):
            return

        def send(**weight: Array) -> list[Array]:
            self.forward([value.copy() for value in self.inputs])
            return self.unpack(input_half(dy.copy(), **weight), "backward_input")

        self._agree(send(), dxs, "backward_input(dy) gives another {} than backward(dy)")
        weight = next((p for p in parameters if p.symbol == "params['W']"), None)
        if weight is None or "weight" not in inspect.signature(input_half).parameters:
            return
        own = weight.value
        text = "backward_input(dy, weight=W) gives another {} than backward_input(dy)"
        self._agree(send(weight=own.copy()), dxs, text)
        stand_in = self.settings.rng(2).standard_normal(own.shape)
        claimed = [np.array(dx) for dx in send(weight=stand_in)]
        weight.place(stand_in)
        try:
            expected = send()
        finally:
            weight.place(own)
        text = "backward_input(dy, weight=B) gives another {} than a layer whose W is B"
        self._agree(claimed, expected, text)

    def _agree(self, got: list[Array], expected: list[Array], text: str) -> None:
        for label, one, other in zip(self.labels, got, expected, strict=True):
            if not _same(one, other):
                raise self.error(text.format(f"d{label}"), f"d{label}")

    # -- numbers

    def _compare(
        self, array: str, symbol: str, value: Array, dx: Array, dy: Array, place: int
    ) -> Row:
        def output(v: Array) -> Array:
            inputs = [other.copy() for other in self.inputs]
            inputs[place] = v.copy()
            return self.forward(inputs).copy()

        target = Target(array, symbol, value, dx, output, self._input_factors(value, dy))
        return self._prefixed(target, dy)

    def _compare_parameter(self, parameter: Parameter, gradient: Array, y: Array, dy: Array) -> Row:
        def output(v: Array) -> Array:
            parameter.place(v)
            try:
                return self.forward([value.copy() for value in self.inputs]).copy()
            finally:
                parameter.place(parameter.value)

        target = Target(
            parameter.name,
            parameter.symbol,
            parameter.value,
            gradient,
            output,
            self._parameter_factors(y),
            is_input=False,
        )
        return self._prefixed(target, dy)

    def _prefixed(self, target: Target, dy: Array) -> Row:
        try:
            return compare(target, dy, self.settings)
        except GradientCheckError as error:
            raise GradientCheckError(
                f"{self.name}: {error}", error.array, error.index, error.cause
            ) from None

    def _input_factors(self, x: Array, y: Array) -> list[Factor]:
        factors = []
        area = next(
            (
                int(np.prod(np.broadcast_to(size, 2)))
                for name in ("size", "pool_size", "kernel_size")
                if isinstance(size := getattr(self.layer, name, None), int | tuple)
            ),
            0,
        )
        if area > 1:
            factors.append(
                Factor(
                    area,
                    f"a missing factor 1/{area}, the window's area: mean pooling's gradient is "
                    "dy / (size * size)",
                    f"{area}, the window's area, is divided by once too often",
                )
            )
        if y.size and x.size % y.size == 0 and x.size // y.size not in (1, area):
            inputs = x.size // y.size
            factors.append(
                Factor(
                    inputs,
                    f"a missing factor 1/{inputs}, as of a mean: there are {inputs} inputs to "
                    "each output",
                    f"{inputs}, the number of inputs to each output, is divided by once too often",
                )
            )
        if y.ndim > 1 and x.shape[:1] == y.shape[:1]:
            factors.append(batch_factor(len(x)))
        return factors

    def _parameter_factors(self, y: Array) -> list[Factor]:
        if y.ndim < 2:
            return []
        count, positions = len(y), math.prod(y.shape[1:-1])
        factors = [batch_factor(count)]
        for number, what in (
            (positions, f"the {positions} positions of a picture"),
            (count * positions, f"the batch and its positions ({count} x {positions})"),
        ):
            if number not in [factor.number for factor in factors]:
                factors.append(
                    Factor(
                        number,
                        f"multiplied by the number of {what}",
                        f"averaged over {what} instead of summed",
                    )
                )
        return factors

    def _look_closer(
        self, rows: list[Row], y: Array, dy: Array, analytic: list[Array]
    ) -> list[Row]:
        """Look for causes that show in no pattern: rounding, and a backward not linear in dy."""
        rng = self.settings.rng(3)
        near = [v * (1 + 1e-3 * rng.standard_normal(v.shape)) for v in self.inputs]
        moved = self.forward(near)
        if np.any(moved != y) and np.array_equal(moved, moved.astype(np.float32)):
            cause = "forward rounds to float32 inside, too coarse for differences"
            return [row if row.ok else dataclasses.replace(row, cause=cause) for row in rows]
        self.forward([value.copy() for value in self.inputs])
        doubled = self.backward(2 * dy)
        doubled += [np.asarray(p.gradient()) for p in self._gradients()[0]]
        closer = []
        for row, once, twice in zip(rows, analytic, doubled, strict=True):
            cause = row.cause
            if not row.ok and not cause and not _same(twice, 2 * once):
                cause = "backward is not linear in dy: a doubled dy does not double the gradient"
                if _same(twice, once):
                    cause = f"backward ignores dy: {row.array} stays the same for any dy"
                elif _same(twice, 4 * once):
                    cause = "dy enters twice: a doubled dy gives four times the gradient"
            closer.append(dataclasses.replace(row, cause=cause))
        return closer


def batch_factor(count: int) -> Factor:
    """Return what a factor of the batch size would mean."""
    return Factor(
        count,
        f"multiplied by the batch size {count}",
        f"averaged over the batch of {count} instead of summed (the mean over the batch is in dy, "
        "it comes from the loss)",
    )


def _same(a: Array, b: Array) -> bool:
    """Whether two results are the same up to rounding (float32 results included)."""
    if a.shape != b.shape or np.array_equal(a, b, equal_nan=True):
        return a.shape == b.shape
    scale = float(np.max(np.abs(b), initial=0.0))
    tolerance = CLOSE if a.dtype != np.float64 else 1e-9
    return bool(np.all(np.abs(a - b) <= tolerance * scale))
