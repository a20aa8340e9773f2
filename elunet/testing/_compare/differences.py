"""The comparison that all checks share: a gradient against central differences.

`compare_gradient` compares one array's gradient with differences
of the output, all entries or of large arrays a sample, and collects what `_diagnose` needs to name
the cause if it is wrong. `compare_gradients` does so for all arrays of a check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from elunet._progress import steps
from elunet._types import Array
from elunet.testing._compare.collect import evidence_of
from elunet.testing._compare.probe import Probe, Target
from elunet.testing._compare.refused import check_form, kink_error
from elunet.testing._compare.settings import Settings
from elunet.testing._diagnose import explain
from elunet.testing._report import GradientCheckError, Row

__tracebackhide__ = True  # pytest shows the frames of the code that is checked

LARGEST_PICTURE = 100_000
"""Larger arrays keep no error for each entry."""


def compare_gradient(owner: str, target: Target, dy: Array, settings: Settings) -> Row:
    """Compare a target's gradient with central differences of <dy, output>.

    Parameters
    ----------
    owner : str
        What is checked, for an error's message.
    target : Target
    dy : array
    settings : Settings

    Returns
    -------
    Row
        With the worst place and the likely cause if it is wrong.

    Raises
    ------
    GradientCheckError
        If the gradient has the wrong shape, is not finite, or (unless ``settings.skip_kinks``)
        cannot be compared because the value sits on a kink.
    """
    try:
        return _compared(owner, target, dy, settings)
    except GradientCheckError as error:
        message = f"{owner}: {error}"
        raise GradientCheckError(message, error.array, error.index, error.cause) from None


def compare_gradients(
    owner: str, targets: Sequence[Target], dy: Array, settings: Settings
) -> list[Row]:
    """Compare the gradients of one check, one row for each.

    As `compare_gradient`; besides, each target knows of the others: a gradient may have been
    swapped with another's, and a cause may name another value ("the factor gamma is missing").
    """
    known = {target.symbol: target.value for target in targets}
    complete = [
        replace(
            target,
            inputs={**known, **target.inputs},
            others=[other for other in targets if other is not target],
        )
        for target in targets
    ]
    return [compare_gradient(owner, target, dy, settings) for target in complete]


def _compared(owner: str, target: Target, dy: Array, settings: Settings) -> Row:
    check_form(target, dy, settings)
    probe = Probe(target, dy, settings)
    size = probe.flat.size
    rng = settings.rng(1, size)
    # Each entry costs two forward passes: fewer entries if a pass is long.
    work = 20_000_000 // (size + dy.size)
    count = min(settings.entries, max(12, work))
    order = rng.permutation(size) if size > count else np.arange(size)
    found = {}
    with steps(count, "value", f"{owner}, {target.array}") as advance:
        for i in order[:count]:
            found[int(i)] = probe.judge(int(i))
            advance()
    lost = False
    if size > count and not any(wrong for *_, wrong in found.values()):
        u = rng.standard_normal(size)
        if probe.direction_wrong(u):
            place = probe.locate(u)
            lost = place is None
            if place is not None:
                found[place] = probe.judge(place)
    if any(wrong for *_, wrong in found.values()):
        # More entries, so that a pattern shows.
        found |= {int(i): probe.judge(int(i)) for i in order[count : min(2000, max(60, work))]}
    wrong = {i for i, (*_, one) in found.items() if one}
    kinks = {i for i in wrong if probe.kink(i, found[i][1])}
    wrong -= kinks
    if kinks and not wrong and not settings.skip_kinks:
        raise kink_error(probe, min(kinks), len(kinks))
    return _row(probe, found, wrong, kinks, lost)


def _row(
    probe: Probe,
    found: dict[int, tuple[float, float, bool]],
    wrong: set[int],
    kinks: set[int],
    lost: bool,
) -> Row:
    target, analytic = probe.target, probe.analytic
    kept = np.array(sorted(found.keys() - kinks), dtype=np.intp)
    numeric = np.array([found[int(i)][0] for i in kept])
    gap = np.abs(analytic[kept] - numeric)
    size = np.maximum(np.abs(analytic[kept]), np.abs(numeric))
    floor = max(1e-3 * float(size.max(initial=0.0)), 100 * probe.settings.atol)
    row = Row(
        target.array,
        float(gap.max(initial=0.0)),
        float((gap / np.maximum(size, floor)).max(initial=0.0)),
        len(kept),
        probe.flat.size,
        len(kinks),
    )
    if lost:
        return replace(
            row,
            wrong=1,
            cause="a random direction through the whole array disagrees although the entries "
            "compared one by one agree: raise entries=, or shrink the input",
        )
    if not wrong:
        return row
    marks = np.isin(kept, list(wrong))
    error = np.where(marks, gap / np.maximum(size, floor), -1.0)
    # Of those within rounding of the worst the first, so that it does not depend on last digits.
    worst = int(np.argmax(error >= (1 - probe.settings.rtol) * error.max()))
    evidence = evidence_of(probe, kept, numeric, marks)
    return replace(
        row,
        wrong=len(wrong),
        index=tuple(map(int, np.unravel_index(kept[worst], target.value.shape))),
        analytic=float(analytic[kept[worst]]),
        numeric=float(numeric[worst]),
        cause=explain(evidence),
        errors=_errors(probe, kept, gap),
    )


def _errors(probe: Probe, kept: Array, gap: Array) -> Array | None:
    """Return the error of each entry in the array's shape, NaN where nothing was compared."""
    if probe.flat.size > LARGEST_PICTURE:
        return None
    errors = np.full(probe.flat.size, np.nan)
    errors[kept] = gap
    return errors.reshape(probe.target.value.shape)
