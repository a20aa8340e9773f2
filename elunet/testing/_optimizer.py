"""`check_optimizer`: compare an optimizer, step by step, with its update rule.

There is nothing to differentiate here, but bugs are as hard to see: a bias correction that forgets
the step's number moves every weight, and the loss still falls.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elunet._checks import integer, number
from elunet._types import Array, Shape
from elunet.testing._diagnose import number_text, ratio
from elunet.testing._differences import POSITIVE, stream
from elunet.testing._report import CheckResult, GradientCheckError, Row
from elunet.testing.updates import Update


class _Parameters:
    """The part of a network that an optimizer needs."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self.arrays = arrays
        self.latest: dict[str, Array] = {}

    def parameters(self) -> dict[str, Array]:
        """Return the live arrays by name."""
        return dict(self.arrays)

    def gradients(self) -> dict[str, Array]:
        """Return the gradients by the same names."""
        return dict(self.latest)


def check_optimizer(
    optimizer: Any,
    update: Update | Mapping[str, Update],
    steps: int = 5,
    shape: Shape = (3, 4),
    seed: int = 0,
    *,
    names: Sequence[str] | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-12,
) -> CheckResult:
    """Run an optimizer for a few steps and compare each with its update rule.

    Parameters
    ----------
    optimizer : object
        New, with ``step(net)``, where net has ``parameters()`` and ``gradients()``, dicts of arrays
        by name; step writes into the parameters. As in a network, the gradients' arrays stay the
        same from step to step and only their contents change. A deep copy is run.
    update : callable, or dict of callables
        The update rule, ``update(w, g, state, t) -> new w``: state is a dict for each parameter,
        empty at first, and t the step's number from 1. See `updates` for the usual ones. A dict
        gives each parameter its own, by name: ``{"first.W": updates.sgd(0.1, l2=0.5), "first.b":
        updates.sgd(0.1)}``, where biases are not decayed.
    steps : int
        How many steps.
    shape : tuple of int
        Shape of each parameter.
    seed : int
        Draws parameters and gradients (of sizes from 1e-4 to 3, so that eps matters).
    names : sequence of str, optional
        The parameters' names, by default first.W and second.W, or the keys of `update`.
        elunet's optimizers penalize those that end in ".W".
    rtol, atol : float
        An entry passes if it differs from the expected one by no more than
        ``atol + rtol * |expected change|``.

    Returns
    -------
    CheckResult

    Raises
    ------
    GradientCheckError
        If a step differs; it says which step, parameter and entry, and the likely cause.
    TypeError
        If optimizer has no ``step``.
    ValueError
        If `update` returns an array of another shape, or a number is out of its range.

    Examples
    --------
    >>> from elunet.testing import check_optimizer, updates
    >>> class Descent:
    ...     def step(self, net):
    ...         gradients = net.gradients()
    ...         for name, w in net.parameters().items():
    ...             w -= 0.1 * gradients[name]
    >>> check_optimizer(Descent(), updates.sgd(0.1)).arrays
    ['first.W', 'second.W']
    """
    if isinstance(optimizer, type) or not callable(getattr(optimizer, "step", None)):
        raise TypeError(
            "check_optimizer: expected an optimizer with step(net), got "
            f"{optimizer!r} ({type(optimizer).__name__})"
        )
    steps = integer("check_optimizer", "steps", steps)
    number("check_optimizer", "rtol", rtol, POSITIVE)
    number("check_optimizer", "atol", atol, POSITIVE)
    if isinstance(update, Mapping):
        names = list(update if names is None else names)
        updates = {name: update[name] for name in names if name in update}
    else:
        names = ["first.W", "second.W"] if names is None else list(names)
        updates = dict.fromkeys(names, update)
    if not names or updates.keys() != set(names):
        missing = [name for name in names if name not in updates]
        raise ValueError(
            "check_optimizer: expected an update rule for each parameter, got none for "
            f"{missing or 'any'}"
        )
    label = type(optimizer).__name__
    runner = copy.deepcopy(optimizer)
    rng = stream(seed, 4)
    net = _Parameters({name: rng.standard_normal(shape) for name in names})
    net.latest = {name: np.zeros(shape) for name in names}
    states: dict[str, dict[str, Any]] = {name: {} for name in names}
    errors = dict.fromkeys(names, (0.0, 0.0))
    for t in range(1, steps + 1):
        before = {name: w.copy() for name, w in net.arrays.items()}
        gradients = {
            name: rng.standard_normal(shape) * 10 ** rng.uniform(-4, 0.5, shape) for name in names
        }
        expected = {}
        for name in names:
            new = np.asarray(
                updates[name](before[name].copy(), gradients[name].copy(), states[name], t)
            )
            if new.shape != before[name].shape:
                raise ValueError(
                    f"check_optimizer: expected update to return shape {before[name].shape}, "
                    f"got {new.shape}"
                )
            expected[name] = new
        for name in names:
            net.latest[name][...] = gradients[name]
        runner.step(net)
        for name in names:
            if not np.array_equal(net.latest[name], gradients[name]):
                raise GradientCheckError(
                    f"{label}: step changed the gradient of {name} in place; an optimizer may only "
                    "read it",
                    name,
                )
        wrong = {
            name: np.abs(net.arrays[name] - expected[name])
            > atol + rtol * np.abs(expected[name] - before[name])
            for name in names
        }
        wrong = {name: mask | ~np.isfinite(net.arrays[name]) for name, mask in wrong.items()}
        if any(mask.any() for mask in wrong.values()):
            raise _error(label, t, wrong, before, net.arrays, expected, gradients)
        for name in names:
            gap = float(np.max(np.abs(net.arrays[name] - expected[name])))
            change = float(np.max(np.abs(expected[name] - before[name]))) or 1.0
            old = errors[name]
            errors[name] = max(old[0], gap), max(old[1], gap / change)
            net.arrays[name][...] = expected[name]  # so that rounding errors do not add up
    count = int(np.prod(shape)) * steps
    rows = [Row(name, *errors[name], count, count) for name in names]
    return CheckResult(label, tuple(rows), (f"{steps} steps",))


def _error(
    label: str,
    t: int,
    wrong: dict[str, Array],
    before: dict[str, Array],
    after: dict[str, Array],
    expected: dict[str, Array],
    gradients: dict[str, Array],
) -> GradientCheckError:
    name = next(name for name, mask in wrong.items() if mask.any())
    gap = np.where(wrong[name], np.abs(after[name] - expected[name]), -1.0)
    place = tuple(map(int, np.unravel_index(np.argmax(gap), gap.shape)))
    cause = _cause(t, wrong, before, after, expected, gradients)
    message = (
        f"{label}: step {t} differs from the update rule for {name}, at "
        f"{int(wrong[name].sum())} of {wrong[name].size} entries\n"
        f"  worst at {name}{list(place)}: {before[name][place]:.8g} became "
        f"{after[name][place]:.8g}, expected {expected[name][place]:.8g}"
        + (f"\n  likely cause: {cause}" if cause else "")
    )
    return GradientCheckError(message, name, place, cause)


def _cause(
    t: int,
    wrong: dict[str, Array],
    before: dict[str, Array],
    after: dict[str, Array],
    expected: dict[str, Array],
    gradients: dict[str, Array],
) -> str:
    def flat(arrays: dict[str, Array]) -> Array:
        return np.concatenate([array.reshape(-1) for array in arrays.values()])

    got, due = flat(after) - flat(before), flat(expected) - flat(before)
    size = np.abs(flat(gradients))
    if not np.all(np.isfinite(got)):
        return "the step is not finite"
    if not np.any(got):
        return (
            "no parameter changed: step has to write into the arrays (w -= ..., w[...] = ...), "
            "not to put new ones in their place"
        )
    large = size >= np.median(size)  # where eps does not blur a factor
    k = ratio(got[large], due[large])
    later = "step 1 is right, so what changes from step to step is at fault: " if t > 1 else ""
    if k is not None and abs(k + 1) < 1e-4:
        return "the sign is flipped: the step goes uphill"
    if k is not None and t > 1:
        return (
            f"{later}the step is {number_text(k)} x the update rule's, as with a bias "
            "correction or a schedule that does not use the step's number t (1 - beta instead of "
            "1 - beta**t)"
        )
    if k is not None:
        return (
            f"the step is {number_text(k)} x the update rule's: the learning rate, or a "
            "missing bias correction (Adam's first step without it is "
            "(1 - beta1) / sqrt(1 - beta2) = 3.162 x too long)"
        )
    right = [name for name, one in wrong.items() if not one.any()]
    if right and len(wrong) > 1 and t == 1:
        return (
            f"{right[0]} is right at the same step: is state shared between parameters, or are "
            "they treated differently by name?"
        )
    off = np.abs(got - due) / np.maximum(np.abs(due), np.finfo(float).tiny)
    if t == 1 and np.median(off[~large]) > 10 * np.median(off[large]):
        return "it is off most where the gradient is small: eps has another value or place"
    if t > 1:
        return f"{later}what the optimizer remembers (momentum, averages), or its use of t"
    return ""
