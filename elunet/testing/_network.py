"""`check_network` and `check_loss`: the gradient of one number, the loss.

A layer that is right by itself may be connected wrongly, and a loss that is right for one row may
be wrong for a batch. On the way back, gradients are right until the bug and wrong from there on;
the error says between which layers that happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from elunet._types import Array
from elunet.testing._calls import name_of
from elunet.testing._diagnose import Factor, batch_factor
from elunet.testing._differences import Settings, Target, compare_gradient, first_index, real
from elunet.testing._gradients import check_elsewhere, rows_of
from elunet.testing._report import CheckResult, GradientCheckError, Row, conclude
from elunet.testing._runner import Options, Runner
from elunet.testing._scored import Scored
from elunet.testing._side_effects import check_backward, check_forward
from elunet.testing._snapshot import Snapshot
from elunet.testing._unseen import check_unseen
from elunet.testing._values import Given


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

    Runs ``value, dy = loss(net.forward(x, train), y)`` and ``net.backward(dy)``, and compares
    ``net.gradients()`` with central differences of value, in float64 and with the random state
    restored before each pass.

    Parameters
    ----------
    net : Network
        Or anything with forward, backward, ``parameters()`` and ``gradients()`` (dicts by name).
    x : array_like
        A small batch; cast to float64.
    y : object
        The target, passed to the loss as it is.
    loss : callable
        ``loss(prediction, target) -> (value, dy)``.
    train, seed, eps, rtol, atol
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
        If net lacks a method.
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
        first = check_forward(run)
        sample = check_backward(run, first, run.draw_dy(settings.rng(0), first))
        rows = rows_of(run, sample, settings)
        conclude(name, rows, advice=_advice(net, rows))
        check_unseen(run, sample)
        check_elsewhere(run, sample, settings)
        return conclude(name, rows, run.notes)
    finally:
        snapshot.restore()


def check_loss(
    loss: Callable[[Array, Any], tuple[float, Array]],
    prediction: Any,
    target: Any,
    seed: int = 0,
    *,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    entries: int = 500,
    skip_kinks: bool = False,
) -> CheckResult:
    """Check the gradient that a loss returns with its value.

    Parameters
    ----------
    loss : callable
        ``loss(prediction, target) -> (value, dy)``, dy of prediction's shape.
    prediction : array_like
        Copied to float64. Give probabilities to a loss of probabilities. If the loss has a kink
        (the mean absolute error where prediction equals target), keep away from it.
    target : object
        Passed to the loss as it is.
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
        If loss does not return two things.
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
    settings = Settings(eps, rtol, atol, entries, skip_kinks, seed).validated("check_loss")
    value = real(prediction, "check_loss: prediction")
    name = name_of(loss)

    def run(v: Array) -> Any:
        result = loss(v, target)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"check_loss: expected {name} to return (value, dy), got {type(result).__name__}"
            )
        return result

    given = value.copy()
    aim = np.array(target) if isinstance(target, np.ndarray) else None
    number, dy = run(given)
    _finite_number(name, number)
    for label, now, before in (("prediction", given, value), ("target", target, aim)):
        if before is not None and not np.array_equal(now, before):
            index = first_index(now != before)
            raise GradientCheckError(f"{name}: changed {label} in place at {list(index)}", label)
    checked = Target(
        "dy",
        "prediction",
        value,
        np.array(dy, dtype=np.float64),
        lambda v: np.array(float(run(v.copy())[0])),
        _loss_factors(value),
        advice="move the prediction away from it",
    )
    row = compare_gradient(name, checked, np.array(1.0), settings)
    notes = []
    if value.ndim and aim is not None and aim.shape[:1] == value.shape[:1]:
        twice = float(loss(np.concatenate([value, value]), np.concatenate([aim, aim]))[0])
        if abs(number) > 1e-9 and abs(twice - 2 * number) < 1e-9 * abs(number):
            notes.append(
                "the value is a sum over the batch, not a mean: it and its gradient grow with "
                "the batch"
            )
    return conclude(name, [row], notes)


def _finite_number(name: str, value: Any) -> None:
    if np.ndim(value) != 0 or not np.isfinite(value):
        got = f"shape {np.shape(value)}" if np.ndim(value) else str(value)
        raise GradientCheckError(f"{name}: expected the loss as one finite number, got {got}")


def _batch(x: Array) -> list[Factor]:
    return [batch_factor(len(x))] if x.ndim > 1 else []


def _loss_factors(prediction: Array) -> list[Factor]:
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


def _advice(net: Any, rows: list[Row]) -> str:
    """Say between which layers the gradient goes wrong on its way down."""
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
        found = "the gradients are wrong from the top"
    else:
        found = f"going backwards the gradients are right down to {names[above]}"
    listed = ", ".join(f"{name} = {layers[name]!r}" for name in suspects)
    return f"{found}: check_layer these: {listed}"
