"""`check_gradient`: the gradient of one number, whatever the code around it looks like.

The general check: f gives a number, gradient gives the derivative by each of the values. It serves
what no other check takes, such as lists of layers' gradients, or functions of other libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from elunet.testing._compare.check import check
from elunet.testing._compare.settings import Settings
from elunet.testing._find.returned import Getter
from elunet.testing._perturb.gradient_run import Run
from elunet.testing._perturb.snapshot import Randomness, Snapshot
from elunet.testing._report import CheckResult


def check_gradient(
    f: Callable[..., Any],
    gradient: Callable[..., Any],
    values: Any,
    *,
    gradients: Mapping[str, Getter] | None = None,
    dtype: npt.DTypeLike = np.float64,
    seed: int = 0,
    eps: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    entries: int = 500,
    skip_kinks: bool = False,
) -> CheckResult:
    """Check the gradient of a function of arrays that returns one number.

    Parameters
    ----------
    f : callable
        ``f(values) -> number``. Or ``f() -> number``, which reads the arrays of `values` where they
        are; these are then changed in place, one entry at a time, and restored.
    gradient : callable
        ``gradient(values)`` or ``gradient()``, called after f. It returns what `values` is: an
        array, or nested dicts, lists and tuples of arrays of the same shapes. A dict's keys may be
        ``dW1`` for ``W1``.
    values : array_like, dict, list or tuple
        Arrays and numbers, nested as you like; all of them need a gradient.
    gradients : mapping
        Where a value's gradient is in what gradient returns, as for `check_functions`; None for a
        constant.
    dtype : dtype
        float32 for code that computes in it.
    seed, eps, rtol, atol, entries, skip_kinks
        As for `check_layer`.

    Returns
    -------
    CheckResult

    Raises
    ------
    GradientCheckError
        If a gradient is wrong, or a value that changes f has none.
    TypeError
        If values hold no number, or numbers that cannot be changed in place.
    ValueError
        If an array is empty or not finite, or a number out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.testing import check_gradient
    >>> def f(v):
    ...     return np.sum((v["w"] * v["x"]) ** 2)
    >>> def gradient(v):
    ...     return {"dw": 2 * v["w"] * v["x"] ** 2, "dx": 2 * v["w"] ** 2 * v["x"]}
    >>> check_gradient(f, gradient, {"w": np.array([1.0, 2.0]), "x": np.ones(2)}).arrays
    ['dw', 'dx']
    """
    settings = Settings.fitting(
        "check_gradient",
        dtype,
        eps=eps,
        rtol=rtol,
        atol=atol,
        entries=entries,
        skip_kinks=skip_kinks,
        seed=seed,
    )
    snapshot, randomness = Snapshot([f, gradient]), Randomness([f, gradient])
    run = Run(f, gradient, dict(gradients or {}), np.dtype(dtype), randomness)
    try:
        return check(run.problem(values), settings)
    finally:
        snapshot.restore()
