"""`check_optimizer`: compare an optimizer, step by step, with its update rule.

There is nothing to differentiate here, but bugs are as hard to see: a bias correction that forgets
the step's number moves every weight, and the loss still falls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from elunet._checks import integer, number
from elunet._types import Array, Shape
from elunet.testing._compare.settings import POSITIVE
from elunet.testing._optimizers.calls import Design
from elunet.testing._optimizers.designs import UnknownDesignError, designs
from elunet.testing._optimizers.run import Run
from elunet.testing._perturb.moves import stream
from elunet.testing._report import CheckResult
from elunet.testing.updates import Update

__tracebackhide__ = True  # pytest shows the frames of the code that is checked

MISFITS = (TypeError, AttributeError, KeyError, IndexError, ValueError)
"""Errors of the first step if the optimizer has a different design."""


def check_optimizer(
    optimizer: Any,
    update: Update | Mapping[str, Update],
    steps: int = 5,
    shape: Shape = (3, 4),
    seed: int = 0,
    *,
    names: Sequence[str] | None = None,
    learning_rate: float | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-12,
) -> CheckResult:
    """Run an optimizer for a few steps and compare each with its update rule.

    Parameters
    ----------
    optimizer : object or function
        New; of an object, a deep copy is run. Its design is found by its methods and the names of
        what they take:

        - ``step(net)``, where net has ``parameters()`` and ``gradients()``, dicts of arrays by
          name; step writes into the parameters. As in a network, the gradients' arrays stay the
          same from step to step and only their contents change;
        - ``update(params, grads)`` (or ``step``) with dicts or lists, or ``update(w, g)`` with one
          array, which change the arrays or return new ones; of an object with ``update(w, g)`` each
          parameter gets a copy. Gradients in dicts are found as W1 and as dW1;
        - ``update_params(layer)`` or ``update_layer(layer)``, where layer has weights and dweights,
          biases and dbiases (or W and dW, b and db; or dicts params and grads of these), with
          ``pre_update_params()`` and ``post_update_params()`` if there are;
        - ``apply_gradients([(g, w), ...])``;
        - a function of such arguments, of ``(w, dw, config)``, which returns the new w and a
          config, or of ``(parameters, grads, learning_rate)``. A function that remembers something
          should be new as well; if it takes one array, it gets only one parameter;
        - ``step()``, which takes nothing: an optimizer that was made with its parameters, objects
          that have value (or data) and grad; or a function that makes it,
          ``lambda params: MyOptimizer(params)``. It gets a list of such objects; if step takes the
          gradients, a list of arrays.

        What takes more can be wrapped in a function of (w, g) or (params, grads).
    update : callable, or dict of callables
        The update rule, ``update(w, g, state, t) -> new w``: state is a dict for each parameter,
        empty at first, and t the step's number from 1. See `updates` for the usual ones. A dict
        gives each parameter its own, by name: ``{"first.W": updates.sgd(0.1, l2=0.5), "first.b":
        updates.sgd(0.1)}``, where biases are not decayed.
    steps : int
        How many steps.
    shape : tuple of int
        Shape of each parameter; what has its own keeps theirs.
    seed : int
        Draws parameters and gradients (of sizes from 1e-4 to 3, so that eps matters).
    names : sequence of str, optional
        The parameters' names, by default the keys of `update`, or what suits the design: first.W
        and second.W, W1, b1, W2 and b2. elunet's optimizers penalize those that end in ".W".
    learning_rate : float, optional
        For functions that take one, or have it in their config; by default that of `update`.
    rtol, atol : float
        An entry passes if it differs from the expected one by no more than
        ``atol + rtol * |expected change|``.

    Returns
    -------
    CheckResult
        A note says how the optimizer was called, if not by ``step(net)``.

    Raises
    ------
    GradientCheckError
        If a step differs; it says which step, parameter and entry, and the likely cause.
    TypeError
        If optimizer has none of these designs; it says what was tried.
    ValueError
        If `update` returns an array of another shape, a number is out of its range, or a learning
        rate is missing.

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

    A function in the style of CS231n:

    >>> def sgd(w, dw, config=None):
    ...     return w - config["learning_rate"] * dw, config
    >>> check_optimizer(sgd, updates.sgd(0.1)).notes
    ('5 steps', 'called as sgd(w, dw, config) with one array at a time')
    """
    steps = integer("check_optimizer", "steps", steps)
    number("check_optimizer", "rtol", rtol, POSITIVE)
    number("check_optimizer", "atol", atol, POSITIVE)
    if learning_rate is None:
        learning_rate = _rate(update)
    else:
        number("check_optimizer", "learning_rate", learning_rate)
    misfits: list[tuple[Design, Exception]] = []
    for design in designs(optimizer, learning_rate):
        rules = _rules(update, _names(update, design, names))
        rng = stream(seed, 4)
        shapes = dict.fromkeys(rules, shape)
        if design.shapes is not None:
            shapes = dict(zip(rules, design.shapes, strict=True))
        arrays = {name: rng.standard_normal(its) for name, its in shapes.items()}
        run = Run(_label(optimizer), design, rules, rtol, atol)
        first = _gradients(rng, shapes)
        try:
            step = design.start({name: array.copy() for name, array in arrays.items()})
            after = run.call(step, arrays, first, 1)
        except MISFITS as error:
            misfits.append((design, error))
            continue
        run.compare(arrays, after, first, 1)
        run.finish(step, partial(_gradients, rng, shapes), steps)
        return run.result(steps)
    if len(misfits) == 1:
        raise misfits[0][1]
    tried = [f"{design.said}: {type(error).__name__}: {error}" for design, error in misfits]
    raise UnknownDesignError.of(optimizer, tried) from misfits[0][1]


def _gradients(rng: np.random.Generator, shapes: Mapping[str, Shape]) -> dict[str, Array]:
    return {
        name: rng.standard_normal(shape) * 10 ** rng.uniform(-4, 0.5, shape)
        for name, shape in shapes.items()
    }


def _rules(update: Update | Mapping[str, Update], names: Sequence[str]) -> dict[str, Update]:
    """Return each parameter's rule."""
    if not isinstance(update, Mapping):
        rules = dict.fromkeys(names, update)
    else:
        rules = {name: update[name] for name in names if name in update}
    missing = [name for name in names if name not in rules]
    if missing or not rules:
        raise ValueError(
            "check_optimizer: expected an update rule for each parameter, got none for "
            f"{missing or 'any'}"
        )
    return rules


def _rate(update: Update | Mapping[str, Update]) -> float | None:
    """Return the learning rate of a rule that says its own."""
    rules = update.values() if isinstance(update, Mapping) else [update]
    rates = [rule.settings["lr"] for rule in rules if hasattr(rule, "settings")]
    return next((float(rate) for rate in rates), None)


def _label(optimizer: Any) -> str:
    name = getattr(optimizer, "__name__", "") or type(optimizer).__name__
    return "the optimizer" if name == "<lambda>" else str(name)


def _names(
    update: Update | Mapping[str, Update], design: Design, names: Sequence[str] | None
) -> Sequence[str]:
    if names is not None:
        return list(names)
    return list(update) if isinstance(update, Mapping) else design.names
