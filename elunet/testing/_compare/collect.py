"""What a diagnosis may ask for: rows of the Jacobian, and the gradient at other values.

Both cost forward passes, so they are only computed for a gradient that is wrong, when a pattern
asks for them, and not for large arrays.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from elunet._types import Array
from elunet.testing._compare.probe import Probe, Target
from elunet.testing._compare.settings import Settings
from elunet.testing._diagnose import FITS, Evidence, Jacobian, Misshapen, Other

PASSES = 1000
"""The largest number of forward passes for a diagnosis."""
WORK = 20_000_000
"""The largest number of values that they may produce."""


def evidence_of(probe: Probe, indices: Array, numeric: Array, wrong: Array) -> Evidence:
    """Collect what is known about a wrong gradient.

    Parameters
    ----------
    probe : Probe
    indices : array of int, shape (K,)
        The flat places of the entries that were compared.
    numeric : array, shape (K,)
    wrong : array of bool, shape (K,)
    """
    target = probe.target
    return Evidence(
        target.symbol,
        np.atleast_1d(target.value),
        np.atleast_1d(target.analytic),
        indices,
        numeric,
        wrong,
        target.factors,
        target.is_input,
        target.array,
        np.asarray(probe.dy, np.float64),
        target.dy_name,
        probe.middle,
        {target.symbol: target.value, **target.inputs},
        target.numbers,
        _others(target, probe.dy, probe.settings),
        lambda: _jacobian(probe, indices, wrong),
        lambda v, dy: _again(probe, indices, v, dy),
        closeness(probe, numeric),
    )


def misshapen(target: Target, dy: Array, settings: Settings) -> Misshapen:
    """Collect what is known about a gradient of the wrong shape."""
    probe = Probe(target, dy, settings)
    return Misshapen(
        target.array,
        target.symbol,
        target.value.shape,
        target.analytic,
        np.asarray(dy, np.float64),
        target.dy_name,
        partial(numeric_at, target, dy, settings),
        target.inputs,
        _others(target, dy, settings),
        closeness(probe, np.ones(1)),
    )


def _others(target: Target, dy: Array, settings: Settings) -> dict[str, Other]:
    return {
        other.array: Other(other.symbol, other.analytic, partial(numeric_at, other, dy, settings))
        for other in target.others
    }


def closeness(probe: Probe, numeric: Array) -> float:
    """Return how well a formula can fit: the rounding of differences, relative to the largest."""
    settings = probe.settings
    felt = 8 * settings.machine * float(np.sqrt(np.sum((probe.dy * probe.middle) ** 2)))
    largest = float(np.max(np.abs(numeric[np.isfinite(numeric)]), initial=0.0))
    noise = felt / (2 * settings.eps) / largest if largest else 0.0
    return max(FITS, settings.eps**2, noise)


def numeric_at(target: Target, dy: Array, settings: Settings, indices: Array) -> Array:
    """Return the numeric gradient at flat indices."""
    probe = Probe(replace(target, analytic=np.zeros(target.value.shape)), dy, settings)
    return np.array([probe.entry(int(i), settings.eps)[0] for i in indices])


def _affordable(probe: Probe, count: int) -> bool:
    size = probe.flat.size + probe.middle.size
    return 2 * count <= PASSES and 2 * count * size <= WORK


def _jacobian(probe: Probe, indices: Array, wrong: Array) -> Jacobian | None:
    """Return rows at all checked entries, or at as many as the work allows, wrong ones first."""
    size = probe.flat.size + probe.middle.size
    most = min(PASSES // 2, WORK // (2 * size))
    chosen = np.arange(len(indices))
    if len(chosen) > most:
        order = np.random.default_rng(0).permutation(len(chosen))
        chosen = np.sort(order[np.argsort(~wrong[order], kind="stable")][:most])
    if len(chosen) < min(4, len(indices)):
        return None
    rows = np.empty((len(chosen), *probe.middle.shape))
    for row, i in zip(rows, indices[chosen], strict=True):
        v_high, above, v_low, below = probe.sides((int(i), probe.step(int(i), probe.settings.eps)))
        row[...] = (above - below) / float(v_high[i] - v_low[i])
    if not np.all(np.isfinite(rows)):
        return None
    return Jacobian(chosen, rows)


def _again(probe: Probe, indices: Array, value: Array, dy: Array) -> Array | None:
    """Return the numeric gradient at another value, None if forward does not take it."""
    target = probe.target
    if value.shape != target.value.shape or not _affordable(probe, len(indices)):
        return None
    try:
        with np.errstate(all="ignore"):
            there = Probe(_at(target, value), dy, probe.settings)
            if there.middle.shape != dy.shape:
                return None
            found = [there.entry(int(i), probe.settings.eps)[0] for i in indices]
    except Exception:  # whatever another value makes of the code
        return None
    result = np.array(found)
    return result if np.all(np.isfinite(result)) else None


def _at(target: Target, value: Array) -> Target:
    return replace(target, value=value)
