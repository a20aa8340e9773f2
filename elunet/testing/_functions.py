"""`check_functions`: a gradient check without classes, in the style of many courses.

There, ``out, cache = forward(x, w, b)`` is followed by ``dx, dw, db = backward(dout, cache)``, with
one gradient for each array that forward takes, or ``grads = backward(dout, cache)``, a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from elunet.testing._call.signatures import argument_names
from elunet.testing._compare.check import check
from elunet.testing._compare.settings import Settings
from elunet.testing._find.returned import Getter
from elunet.testing._perturb.function_run import Run
from elunet.testing._perturb.snapshot import Snapshot
from elunet.testing._report import CheckResult

__tracebackhide__ = True  # pytest shows the frames of the code that is checked


def check_functions(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *args: Any,
    gradients: Mapping[str, Getter] | None = None,
    batch_axis: int = 0,
    averaged: bool = False,
    dtype: npt.DTypeLike = np.float64,
    seed: int = 0,
    eps: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    entries: int = 500,
    skip_kinks: bool = False,
) -> CheckResult:
    """Check ``grads = backward(dout, cache)`` against ``out, cache = forward(*args)``.

    Parameters
    ----------
    forward : callable
        Returns ``out``, ``(out, cache)`` or several outputs and a cache, ``(h, c, cache)``. The
        cache may be anything.
    backward : callable
        Called as its signature says: with a random gradient for each output, the cache, and
        arguments that are named like forward's. It returns one gradient for each array that
        forward takes, in this order (None for labels and options), or a dict with keys such as
        dW1.
    *args
        forward's arguments. Arrays and numbers in them are found, also within dicts, lists and
        objects; they are copied, arrays to `dtype`. Integers that forward cannot take as floats
        (labels, indices) stay as they are. Everything else is passed as a deep copy.
    gradients : mapping
        Where a value's gradient is in what backward returns, if its name does not say so:
        ``{"W": "dW_total", "parameters['b']": "[1]"}``, or a function of it. None says that a
        value is a constant and has no gradient.
    batch_axis : int
        The axis of examples in the first argument: 1 if they are columns.
    averaged : bool
        Whether backward divides the gradients of all but the first argument by the number of
        examples, as in some courses.
    dtype : dtype
        float32 for code that computes in it, with steps and tolerances that fit.
    seed, eps, rtol, atol, entries, skip_kinks
        As for `check_layer`.

    Returns
    -------
    CheckResult
        With a note for each number that moves the output and was taken as a setting.

    Raises
    ------
    GradientCheckError
        If a gradient is wrong; it is named after forward's argument: dx, dw. Also if an argument
        moves the output and has no gradient.
    TypeError
        If forward and backward do not fit together, or no argument holds a number.
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
    settings = Settings.fitting(
        "check_functions",
        dtype,
        eps=eps,
        rtol=rtol,
        atol=atol,
        entries=entries,
        skip_kinks=skip_kinks,
        seed=seed,
    )
    names = argument_names(forward, len(args))
    run = Run(forward, backward, dict(zip(names, args, strict=True)), dict(gradients or {}))
    run.averaged_over = batch_axis if averaged else None
    run.batch_axis, run.dtype = batch_axis, np.dtype(dtype)
    snapshot = Snapshot([forward, backward])
    try:
        return check(run.problem(), settings)
    finally:
        snapshot.restore()
