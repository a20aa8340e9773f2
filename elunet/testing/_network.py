"""`check_network`: the gradient of one number, the loss.

A layer that is right by itself may be connected wrongly. In the backward pass, gradients are right
until the bug and wrong from there on; the error says between which layers that happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from elunet._types import Array
from elunet.testing._call.scored import Scored
from elunet.testing._compare.layers import check_passes
from elunet.testing._compare.settings import Settings
from elunet.testing._find.values import Given
from elunet.testing._perturb.layer_run import Options, Runner
from elunet.testing._perturb.moves import real
from elunet.testing._perturb.snapshot import Snapshot
from elunet.testing._report import CheckResult, Row

__tracebackhide__ = True  # pytest shows the frames of the code that is checked


def check_network(
    net: Any,
    x: Any,
    y: Any,
    loss: Callable[[Array, Any], tuple[float, Array]] | None = None,
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
    entries: int = 50,
    skip_kinks: bool = True,
) -> CheckResult:
    """Check the loss's gradient with respect to a network's parameters and its input.

    Runs ``value, dy = loss(net.forward(x, train), y)`` and ``net.backward(dy)``, and compares the
    gradients with central differences of value, in float64 and with the random state restored
    before each pass. A network that computes its own loss is checked without one.

    Parameters
    ----------
    net : Network
        Or any object with a forward and a backward pass; or with a method ``loss(X, y)`` that
        returns the loss and its gradients in a dict; or with ``loss(x, t)`` and ``gradient(x,
        t)``. Parameters are found as in `check_layer`, or by ``parameters()`` and ``gradients()``
        if these return dicts.
    x : array_like
        A small batch; cast to float64.
    y : object
        The target, passed to the loss as it is.
    loss : callable, optional
        ``loss(prediction, target) -> (value, dy)``; None if the network computes its own.
    train, seed, eps, rtol, atol
        As for `check_layer`.
    gradients, batch_axis, averaged, l2, state, dtype, learning_rate
        As for `check_layer`.
    entries : int
        Entries compared one by one in each array; a random direction covers the rest.
    skip_kinks : bool
        Whether to leave out entries where the loss has no derivative. Inside a network they cannot
        be avoided (a ReLU after a layer whose output is exactly 0). The result counts them.

    Returns
    -------
    CheckResult

    Raises
    ------
    GradientCheckError
        If a gradient is wrong; it names the parameter, as in conv1.W, and the layers to look at.
    TypeError
        If net has none of the known methods.
    ValueError
        If x is empty or not finite, or a number is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> from elunet.testing import check_network
    >>> net = eln.Sequential([eln.layers.Linear(3, 4), eln.layers.ELU()], seed=0)
    >>> x, y = np.random.default_rng(0).normal(size=(5, 3)), np.zeros((5, 4))
    >>> check_network(net, x, y, eln.losses.MeanSquaredError()).arrays
    ['dx', 'linear1.W', 'linear1.b']
    """
    settings = Settings.fitting(
        "check_network",
        dtype,
        eps=eps,
        rtol=rtol,
        atol=atol,
        entries=entries,
        skip_kinks=skip_kinks,
        seed=seed,
    )
    value = real(x, "check_network: x")
    name = type(net).__name__
    scored = Scored(net, y, loss, train)
    snapshot = Snapshot(net)
    try:
        options = Options(
            dict(gradients or {}), batch_axis, averaged, l2, tuple(state), dtype, learning_rate
        )
        run = Runner(scored, [value.astype(dtype)], ["x"], False, train, options, net)
        run.name = name
        return check_passes(run, settings, partial(_advice, net))[0]
    finally:
        snapshot.restore()


def _advice(net: Any, rows: list[Row]) -> str:
    """Return between which layers the gradient becomes wrong in the backward pass."""
    names = list(getattr(net, "names", ()))
    layers = dict(zip(names, getattr(net, "layers", ()), strict=False))
    place = (
        {row.array: names.index(row.array.rpartition(".")[0]) for row in rows[1:]}
        if (names and all(row.array.rpartition(".")[0] in names for row in rows[1:]))
        else {}
    )
    if not place:
        return ""
    place = {"dx": -1, **place}
    wrong = [place[row.array] for row in rows if not row.ok]
    if not wrong:
        return ""
    last = max(wrong)
    above = min((i for i in place.values() if i > last), default=len(names))
    suspects = names[max(last, 0) : above + 1]
    if above == len(names):
        found = "the gradients are wrong from the last layer on"
    else:
        found = f"from the output back to {names[above]} the gradients are right"
    listed = ", ".join(f"{name} = {layers[name]!r}" for name in suspects)
    return f"{found}; run check_layer on {listed}"
