"""`check_loss`: the gradient that belongs to a loss's value.

A loss that is right for one row may be wrong for a batch: the mean over the batch is in the value
and has to be in the gradient. The loss may be a function, an object or two functions;
`_call.losses` finds out how it is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from elunet._types import Array
from elunet.testing._call.losses import LossCall
from elunet.testing._compare.check import check
from elunet.testing._compare.settings import Settings
from elunet.testing._diagnose import Factor
from elunet.testing._find.returned import Claim
from elunet.testing._perturb.moves import first_index, moved, real
from elunet.testing._perturb.problem import Changed, Problem
from elunet.testing._perturb.snapshot import Randomness, Snapshot
from elunet.testing._report import CheckResult

__tracebackhide__ = True  # pytest shows the frames of the code that is checked


def check_loss(
    loss: Any,
    prediction: Any,
    target: Any,
    seed: int = 0,
    *,
    dtype: npt.DTypeLike = np.float64,
    eps: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    entries: int = 500,
    skip_kinks: bool = False,
) -> CheckResult:
    """Check the gradient of a loss.

    Parameters
    ----------
    loss : callable, object or tuple
        ``loss(prediction, target) -> (value, dy)``, dy of prediction's shape; or an object (or a
        class of static methods) with two methods, such as forward and backward, loss and gradient,
        calculate and backward with the result in ``dinputs``; or two functions ``(loss,
        loss_prime)``. The target comes first where the arguments' names say so: ``loss(y_true,
        y_pred)``. The method ``delta(z, a, y)`` is taken as the gradient by z, with a =
        sigmoid(z). A value of prediction's shape, or one for each row, is checked as its sum.
    prediction : array_like
        Copied to `dtype`. Give probabilities to a loss of probabilities. If the loss has a kink
        (the mean absolute error where prediction equals target), keep away from it.
    target : object
        Passed to the loss as it is.
    dtype : dtype
        float32 for code that computes in it.
    seed, eps, rtol, atol, entries, skip_kinks
        As for `check_layer`.

    Returns
    -------
    CheckResult
        With a note if the value looks like a sum over the batch: elunet's losses are means.

    Raises
    ------
    GradientCheckError
        If dy is wrong, or an argument was changed in place.
    TypeError
        If loss does not give a value and a gradient.
    ValueError
        If prediction is empty or not finite, or a number is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.testing import check_loss
    >>> def half_squares(prediction, target):
    ...     gap = prediction - target
    ...     return 0.5 * np.sum(gap**2) / len(gap), gap / len(gap)
    >>> check_loss(half_squares, np.ones((3, 2)), np.zeros((3, 2))).arrays
    ['dy']
    """
    settings = Settings.fitting(
        "check_loss",
        dtype,
        eps=eps,
        rtol=rtol,
        atol=atol,
        entries=entries,
        skip_kinks=skip_kinks,
        seed=seed,
    )
    value = real(prediction, "check_loss: prediction").astype(dtype)
    snapshot = Snapshot(None if isinstance(loss, type | tuple) else loss)
    run = _Run(loss, value, target)
    try:
        return check(run.problem(), settings)
    finally:
        snapshot.restore()
        run.randomness.restore()


class _Run:
    """One loss at predictions that can be replaced."""

    def __init__(self, loss: Any, value: Array, target: Any) -> None:
        self.call = LossCall(loss)
        if self.call.is_by_z and np.all((value > 0) & (value < 1)):
            self.call, value = self.call.by_z(), np.log(value / (1 - value))
        self.value, self.target = value, target
        self.aim = np.array(target) if isinstance(target, np.ndarray) else None
        self.randomness = Randomness(loss)
        self.result = Problem(
            self.call.name,
            {"prediction": value},
            self.output,
            self.claims,
            lambda rng, y: np.ones_like(y),
            lambda path, y: _factors(value),
            is_scored=True,
            all_learned=True,
            move=_moved,
            advice="move the prediction away from it",
            dtype=value.dtype,
        )

    def problem(self) -> Problem:
        """Look at the value's form and at side effects."""
        number = self._number(self._value(self.value))
        self._note_sum(number)
        return self.result

    def _value(self, prediction: Array) -> Any:
        self.randomness.restore()
        return self.call.value_of(self.call.run(prediction.copy(), self.target))

    def _number(self, value: Any) -> float:
        """Return the value as one number; of elements the sum."""
        shape = np.shape(value)
        each = self.value.shape[:1]
        elements = self.value.size > 1 and shape in (self.value.shape, each, (*each, 1))
        if shape and not elements and np.size(value) != 1:
            raise self.result.error(f"expected the loss as one finite number, got shape {shape}")
        if not np.all(np.isfinite(value)):
            raise self.result.error(f"expected the loss as one finite number, got {value}")
        if shape and elements:
            what = "prediction's shape" if shape == self.value.shape else "one entry for each row"
            self.result.note(f"the value has {what}: the gradient of its sum was checked")
        return float(np.sum(value))

    def output(self, changed: Changed) -> Array:
        """Return the value, a sum of elements as one number."""
        prediction = np.asarray(changed.get("prediction", self.value))
        value = self._value(prediction)
        return np.array(np.sum(value), dtype=self.value.dtype)

    def claims(self, changed: Changed, dy: Array) -> dict[str, Claim]:
        """Return the gradient, and see that the arguments stayed as they were."""
        before: Mapping[str, Any] = {
            "prediction": np.asarray(changed.get("prediction", self.value)),
            "target": self.aim,
        }
        given = {"prediction": before["prediction"].copy(), "target": self.target}
        self.randomness.restore()
        result = self.call.run(**given)
        self.call.value_of(result)
        gradient = self.call.gradient_of(result, **given)
        for label, old in before.items():
            if old is not None and not np.array_equal(given[label], old, equal_nan=_floats(old)):
                index = list(first_index(given[label] != old)) if old.ndim else ""
                raise self.result.error(f"changed {label} in place at {index}", label)
        return {"prediction": Claim("dy", gradient)}

    def _note_sum(self, number: float) -> None:
        """Note a value that grows with the batch."""
        value, aim = self.value, self.aim
        if not value.ndim or aim is None or aim.shape[:1] != value.shape[:1]:
            return
        if self._doubled(0) != 2 or abs(number) <= 1e-9:
            return
        if value.ndim == 2 and aim.shape == value.shape and self._doubled(1) == 1:
            if len(value) > 1:
                self.result.note(
                    "the value is a sum over rows and a mean over columns: right if examples are "
                    "columns; if they are rows, it and its gradient grow with the batch"
                )
            return
        self.result.note(
            "the value is a sum over the batch, not a mean: it and its gradient grow with the batch"
        )

    def _doubled(self, axis: int) -> int:
        """Return by which whole factor the value grows with everything twice; 0 for no such."""
        value, aim = self.value, np.asarray(self.aim)
        number = float(np.sum(self._value(value)))
        try:
            both = [np.concatenate([array, array], axis) for array in (value, aim)]
            twice = self.call.value_of(self.call.run(*both))
        except Exception:  # a loss of one row
            return 0
        if np.ndim(twice):
            return 0
        close = 1e-9 * abs(number)
        return next((n for n in (1, 2) if abs(float(twice) - n * number) < close), 0)


def _floats(array: Array) -> bool:
    return bool(array.dtype.kind == "f")


def _moved(value: Array, rng: np.random.Generator) -> Array:
    """Return another prediction nearby; probabilities stay so, and rows that sum to 1 too."""
    if not np.all((value > 0) & (value < 1)):
        return moved(value, rng)
    room = np.minimum(value, 1 - value)
    other = value + 0.3 * room * rng.uniform(-1, 1, value.shape)
    if value.ndim and np.allclose(value.sum(axis=-1), 1, atol=1e-5):
        other = other / other.sum(axis=-1, keepdims=True)
    return np.asarray(other, dtype=value.dtype)


def _factors(prediction: Array) -> list[Factor]:
    if not prediction.ndim:
        return []
    factors = [
        Factor(
            len(prediction),
            f"a missing 1/{len(prediction)}: the value is a mean over the batch, its gradient is "
            "not",
            f"divided by the batch size {len(prediction)} once too often",
        )
    ]
    if prediction.size > len(prediction):
        factors.append(
            Factor(
                prediction.size,
                f"a missing 1/{prediction.size}: the value is a mean over all elements, its "
                "gradient is not",
                f"divided by the number of elements {prediction.size} once too often",
            )
        )
    columns = prediction.size // len(prediction)
    factors.append(
        Factor(
            columns,
            f"a missing 1/{columns}, the number of columns",
            f"divided by the number of columns {columns} once too often",
        )
    )
    return factors
