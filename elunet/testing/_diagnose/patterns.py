"""All patterns, in the order in which they are tried."""

from __future__ import annotations

from elunet.testing._diagnose.contributions import overwritten
from elunet.testing._diagnose.evidence import TOO_NOISY, Evidence
from elunet.testing._diagnose.factors import at_wrong, everywhere, not_finite, per_axis, silent
from elunet.testing._diagnose.normalization import normalization
from elunet.testing._diagnose.penalties import penalty
from elunet.testing._diagnose.places import border, branch, one_place, rearranged, regular
from elunet.testing._diagnose.products import products
from elunet.testing._diagnose.recurrent import recurrent
from elunet.testing._diagnose.scales import array_factor, mask
from elunet.testing._diagnose.signals import signal
from elunet.testing._diagnose.slopes import slope
from elunet.testing._diagnose.sums import summed
from elunet.testing._diagnose.swaps import another_array, swapped, through_dy
from elunet.testing._diagnose.windows import windows

PATTERNS = (
    # one number, or nothing at all
    not_finite,
    silent,
    everywhere,
    # exact formulas of known arrays
    swapped,
    rearranged,
    penalty,
    normalization,
    array_factor,
    # places: less exact, so only where chance is excluded
    branch,
    # formulas that need the Jacobian, or the layer's kind
    mask,
    another_array,
    through_dy,
    summed,
    products,
    windows,
    recurrent,
    slope,
    signal,
    overwritten,
    border,
    regular,
    one_place,
    per_axis,
    at_wrong,
)


def explain(evidence: Evidence) -> str:
    """Return the likely cause, or "" where no pattern fits."""
    if evidence.close > TOO_NOISY:
        return not_finite(evidence) or silent(evidence)
    return next((text for pattern in PATTERNS if (text := pattern(evidence))), "")
