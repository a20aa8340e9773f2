"""`check_functions`: a gradient check without classes, in the style of many courses.

There, ``out, cache = forward(x, w, b)`` is followed by ``dx, dw, db = backward(dout, cache)``, with
one gradient for each array that forward takes.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._calls import name_of
from elunet.testing._diagnose import batch_factor
from elunet.testing._differences import Settings, Target, compare_gradient, first_index, real
from elunet.testing._report import CheckResult, GradientCheckError, conclude
from elunet.testing._snapshot import Randomness


def check_functions(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *args: Any,
    seed: int = 0,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    entries: int = 500,
    skip_kinks: bool = False,
) -> CheckResult:
    """Check ``grads = backward(dout, cache)`` against ``out, cache = forward(*args)``.

    Parameters
    ----------
    forward : callable
        Returns ``(out, cache)``; the cache may be anything.
    backward : callable
        Called with a random dout and the cache. It returns one gradient for each argument that is
        a float array, in their order (a single one need not be in a tuple). It may return None for
        the other arguments.
    *args
        forward's arguments. Float arrays are copied to float64 and their gradients are checked.
        Everything else (labels, a stride, a dict of options) is passed as a deep copy, so that a
        call that changes it does not affect the next.
    seed, eps, rtol, atol, entries, skip_kinks
        As for `check_layer`.

    Returns
    -------
    CheckResult

    Raises
    ------
    GradientCheckError
        If a gradient is wrong; it is named after forward's argument: dx, dw.
    TypeError
        If forward does not return two things, or no argument is a float array.
    ValueError
        If an array is empty or not finite, or a number out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.testing import check_functions
    >>> def affine_forward(x, w, b):
    ...     return x @ w + b, (x, w)
    >>> def affine_backward(dout, cache):
    ...     x, w = cache
    ...     return dout @ w.T, x.T @ dout, dout.sum(axis=0)
    >>> rng = np.random.default_rng(0)
    >>> x, w, b = rng.normal(size=(4, 3)), rng.normal(size=(3, 2)), np.zeros(2)
    >>> check_functions(affine_forward, affine_backward, x, w, b).arrays
    ['dx', 'dw', 'db']
    """
    settings = Settings(eps, rtol, atol, entries, skip_kinks, seed).validated("check_functions")
    places = [i for i, arg in enumerate(args) if isinstance(arg, np.ndarray | np.floating)]
    places = [i for i in places if args[i].dtype.kind == "f"]
    if not places:
        raise TypeError("check_functions: expected a float array among the arguments, got none")
    name = f"{name_of(forward)} and {name_of(backward)}"
    symbols = _argument_names(forward, len(args))
    values = {i: real(args[i], f"check_functions: {symbols[i]}") for i in places}
    randomness = Randomness()

    def run(changed: dict[int, Array]) -> tuple[Array, Any, list[Any]]:
        randomness.restore()
        given = [
            changed.get(i, values[i]).copy() if i in values else copy.deepcopy(arg)
            for i, arg in enumerate(args)
        ]
        result = forward(*given)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"check_functions: expected {name_of(forward)} to return (out, cache), got "
                f"{type(result).__name__}"
            )
        return np.asarray(result[0]), result[1], given

    try:
        out, cache, given = run({})
        _require(name, _unchanged(given, values, symbols), "forward changed {} in place")
        if out.dtype != np.float64:
            raise GradientCheckError(
                f"{name}: forward returned {out.dtype} for arrays in float64; expected float64, "
                "in which differences are exact enough"
            )
        kept = out.copy()
        _require(
            name,
            "" if np.allclose(run({})[0], kept, rtol=1e-12, atol=1e-12) else "out",
            "forward is not deterministic: the same arguments give another {}",
        )
        dout = settings.rng(0).standard_normal(out.shape)
        handed = dout.copy()
        out, cache, given = run({})
        gradients = _unpack(name, backward(handed, cache), places, len(args))
        _require(name, _unchanged(given, values, symbols), "backward changed {} in place")
        changed = "" if np.array_equal(handed, dout) else "dout"
        _require(name, changed, "backward changed {} in place")
        rows = []
        for i, gradient in zip(places, gradients, strict=True):
            if gradient is None:
                raise GradientCheckError(
                    f"{name}: backward returned None for d{symbols[i]}", f"d{symbols[i]}"
                )
            target = Target(
                f"d{symbols[i]}",
                symbols[i],
                values[i],
                np.array(gradient, dtype=np.float64),
                lambda v, i=i: run({i: v})[0].copy(),  # type: ignore[misc]
                [batch_factor(len(out))] if out.ndim > 1 else [],
                is_input=i == places[0],
            )
            rows.append(compare_gradient(name, target, dout, settings))
        return conclude(name, rows)
    finally:
        randomness.restore()


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    try:
        names = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):  # a builtin or a compiled function
        names = []
    return [*names, *(f"arg{i}" for i in range(len(names), count))][:count]


def _unchanged(given: list[Any], values: dict[int, Array], symbols: list[str]) -> str:
    """Return the name and place of the first argument that was written to, or ""."""
    for i, value in values.items():
        if not np.array_equal(given[i], value):
            return f"{symbols[i]}{list(first_index(given[i] != value))}"
    return ""


def _require(name: str, culprit: str, text: str) -> None:
    if culprit:
        message = text.format(culprit)
        raise GradientCheckError(f"{name}: {message}", culprit.partition("[")[0], cause=message)


def _unpack(name: str, returned: Any, places: list[int], arguments: int) -> list[Any]:
    gradients = list(returned) if isinstance(returned, tuple | list) else [returned]
    if len(gradients) == arguments and arguments != len(places):
        gradients = [gradients[i] for i in places]
    if len(gradients) != len(places):
        raise GradientCheckError(
            f"{name}: backward returned {len(gradients)} gradients, expected {len(places)}, one "
            "for each float array that forward takes"
        )
    return gradients
