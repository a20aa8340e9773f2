"""`check_layer`: backward has to compute the derivative of forward.

There are five parts. Side effects: the same x gives the same y, and no pass writes to arrays that
are not its own. The gradients of x and of each parameter, compared with central differences of
<dy, y> for a random dy. The same along one direction, after x and the parameters have changed. And,
if the layer has them, the two halves of backward, compared with the whole, and `tangent`, compared
with backward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from elunet.testing._call.passes import BACKWARD, FORWARD, method_of
from elunet.testing._compare.layers import check_passes
from elunet.testing._compare.settings import Settings
from elunet.testing._find.values import Given
from elunet.testing._perturb.layer_run import Options, Runner
from elunet.testing._perturb.moves import real
from elunet.testing._perturb.side_effects import check_halves, check_tangent
from elunet.testing._perturb.snapshot import Snapshot
from elunet.testing._report import CheckResult

__tracebackhide__ = True  # pytest shows the frames of the code that is checked


def check_layer(
    layer: Any,
    x: Any,
    train: bool = True,
    seed: int = 0,
    *,
    gradients: Given | None = None,
    batch_axis: int = 0,
    averaged: bool = False,
    l2: float | Mapping[str, float] = 0.0,
    state: Sequence[str] = (),
    dtype: npt.DTypeLike = np.float64,
    learning_rate: float = 0.1,
    eps: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    entries: int = 500,
    skip_kinks: bool = False,
) -> CheckResult:
    """Check a layer's backward pass against numeric differences of its forward pass.

    Compares dx and the gradient of every parameter, for a random gradient dy at the output,
    with ``<dy, y(v + eps) - y(v - eps)> / (2 eps)`` in float64. The random state is restored
    before each forward pass, so dropout keeps its mask.

    Parameters
    ----------
    layer : object
        Any object with a forward and a backward pass, elunet's or your own. It may return its
        output or keep it in ``self.output``; backward may take dy, or the input and dy, or dy and
        a learning rate with which it updates at once, and may return dx, dx and the parameters'
        gradients, or keep them. Parameters are all arrays and numbers that the object holds,
        however deep, and that go together with a gradient by name: W and dW,
        ``params['W']`` and ``grads['W']``, ``weights`` and ``dweights``. One that moves the
        output and has no gradient is an error.
    x : array_like or tuple of array_like
        The input, any shape that the layer takes; a tuple for a layer with several inputs, whose
        backward returns a tuple. It is copied to float64; integers that forward needs as they are
        (indices) stay. Small is enough: an image of 5 x 5, a batch of 2 or 3.
    train : bool
        Passed to forward, if it takes it.
    seed : int
        Draws dy, and the sample of entries.
    gradients : dict, optional
        Where the gradients are that no name gives away: ``{"W": "total"}`` for a path from the
        layer, or a function of the layer that returns it. None marks a constant, which has none.
    batch_axis : int
        1 if examples are columns (features x batch).
    averaged : bool
        Whether the layer divides the parameters' gradients by the batch size, as some courses do.
    l2 : float or dict
        The weight decay that the layer adds to the gradients of its weights (arrays of two or more
        axes): ``l2 * W``. A dict gives it by the parameter's name.
    state : sequence of str
        Attributes that are carried from call to call on purpose, such as a hidden state. Each pass
        starts from their values.
    dtype : dtype
        float32 for code that computes in float32: steps and tolerances fit it, and only larger
        mistakes are found.
    learning_rate : float
        Passed to a backward pass that takes one. The gradients are read off its update.
    eps : float, optional
        Half the step of the differences, relative for values above 1. An entry counts as wrong
        only if it disagrees at eps, 10 eps and eps / 10. By default 1e-6.
    rtol, atol : float, optional
        An entry passes if ``|analytic - numeric| <= atol + rtol * max(|analytic|, |numeric|)``
        (and a rounding error estimated from y). In float64 both sides agree to about 1e-9, so
        the defaults 1e-5 and 1e-7 are a hundred times tighter than is usual, and still leave room.
    entries : int
        Entries compared one by one in each array, fewer if the arrays are very large. A larger
        array is sampled, and a random direction through all of it is compared as well.
    skip_kinks : bool
        Whether to leave out entries where the function has no derivative (ReLU at 0, ties in a
        pooling window) instead of raising.

    Returns
    -------
    CheckResult
        Its repr is a table of each array's errors.

    Raises
    ------
    GradientCheckError
        An AssertionError that says which array, where, by how much, and the likely cause; or
        which value was not checked, and how to name its gradient.
    TypeError
        If layer has no forward and backward, or x is not of real numbers.
    ValueError
        If x is empty or not finite, or a number is out of its range.

    Notes
    -----
    Everything is checked at the given values, and along one direction at others, with noise added:
    a fault that zeros or ones hide shows there.

    The layer is left as it was: parameters, gradients, `state`, generators, and what its last
    forward pass kept.

    The comparison is the usual one, as in torch.autograd.gradcheck; the search for the likely cause
    is not.

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
    settings = Settings.fitting(
        "check_layer",
        dtype,
        eps=eps,
        rtol=rtol,
        atol=atol,
        entries=entries,
        skip_kinks=skip_kinks,
        seed=seed,
    )
    if isinstance(layer, type):
        raise TypeError(f"check_layer: expected a layer, got the class {layer.__name__}: call it")
    if method_of(layer, FORWARD) is None or method_of(layer, BACKWARD) is None:
        raise TypeError(
            "check_layer: expected an object with forward(x) and backward(dy), got "
            f"{type(layer).__name__} (for functions there is check_functions)"
        )
    options = Options(
        dict(gradients or {}), batch_axis, averaged, l2, tuple(state), dtype, learning_rate
    )
    many = isinstance(x, tuple)
    given = list(x) if many else [x]
    labels = [f"x[{i}]" for i in range(len(given))] if many else ["x"]
    inputs = [
        real(item, f"check_layer: {label}").astype(dtype)
        for item, label in zip(given, labels, strict=True)
    ]
    snapshot = Snapshot(layer)
    try:
        run = Runner(layer, inputs, labels, many, train, options)
        leave_integers(run, given)
        result, sample = check_passes(run, settings)
        check_halves(run, sample, settings.rng(2))
        check_tangent(run, sample, settings.rng(3))
        return replace(result, notes=tuple(run.notes))
    finally:
        snapshot.restore()


def leave_integers(run: Runner, given: list[Any]) -> None:
    """Leave integer inputs as they are where forward does not take them as floats."""
    whole = [i for i, item in enumerate(given) if np.asarray(item).dtype.kind in "iu"]
    if not whole:
        return
    try:
        run.forward(run.copies())
    except (IndexError, TypeError, ValueError):
        floats = list(run.inputs)
        for i in whole:
            run.inputs[i] = np.array(given[i])
        try:
            run.forward(run.copies())
        except Exception:
            run.inputs[:] = floats
            return
        run.left_alone = set(whole)
        for i in whole:
            run.note(
                f"{run.labels[i]} holds integers that forward takes as they are (indices?): only "
                "the rest was checked"
            )
