"""Gradients that cannot be compared: of the wrong shape, not finite, or where there is a kink."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.testing._compare.collect import misshapen
from elunet.testing._compare.probe import Probe, Target
from elunet.testing._compare.settings import Settings
from elunet.testing._diagnose import explain_shape
from elunet.testing._perturb.moves import first_index
from elunet.testing._report import GradientCheckError


def check_form(target: Target, dy: Array, settings: Settings) -> None:
    """Raise an error if a gradient has not its value's shape, or is not finite."""
    analytic, shape = target.analytic, target.value.shape
    if analytic.shape != shape:
        cause = explain_shape(misshapen(target, dy, settings))
        raise GradientCheckError(
            f"{target.array} has shape {analytic.shape}, expected {shape} as {target.symbol}"
            + (f"\n  likely cause: {cause}" if cause else ""),
            target.array,
            cause=cause,
        )
    if not np.all(np.isfinite(analytic)):
        index = first_index(~np.isfinite(analytic))
        raise GradientCheckError(
            f"{target.array}{list(index)} is {analytic[index]}, expected a finite number "
            f"({target.symbol}{list(index)} is {target.value[index]:.8g})",
            target.array,
            index,
        )


def kink_error(probe: Probe, i: int, count: int) -> GradientCheckError:
    """Return the error for a value on a kink: entry i, the first of several."""
    target = probe.target
    index = tuple(map(int, np.unravel_index(i, target.value.shape)))
    step = probe.step(i, probe.settings.eps)
    _, above, _, below = probe.sides((i, step))
    left = float(np.sum(probe.dy * (probe.middle - below))) / step
    right = float(np.sum(probe.dy * (above - probe.middle))) / step
    others = f", and so do {count - 1} more" if count > 1 else ""
    cause = (
        f"{target.symbol}{list(index)} = {target.value[index]:.8g} sits on a kink or a tie, where "
        f"the function has no derivative (from the left {left:.8g}, from the right {right:.8g}, "
        f"analytic {probe.analytic[i]:.8g}){others}"
    )
    return GradientCheckError(
        f"{target.array} cannot be checked: {cause}; {target.advice}", target.array, index, cause
    )
