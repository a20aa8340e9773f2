"""From the pattern of a gradient's errors to the bug that made them.

Most wrong gradients are wrong in a simple way: by one factor, in some places only, by a term, or
for lack of a sum. Each file here knows one family of such patterns. A cause is named only if its
formula gives the analytic gradient to rounding at every entry that was compared, and the sentence
states the formula. Nothing is guessed from the source code, and where values are so special that
several causes fit, none is named.
"""

from elunet.testing._diagnose._contributions import overwritten
from elunet.testing._diagnose._evidence import (
    CLOSE,
    FITS,
    TOO_NOISY,
    Evidence,
    Factor,
    Jacobian,
    Other,
    batch_factor,
)
from elunet.testing._diagnose._factors import at_wrong, everywhere, not_finite, per_axis, silent
from elunet.testing._diagnose._normalization import normalization
from elunet.testing._diagnose._numbers import number_text, ratio
from elunet.testing._diagnose._penalties import penalty
from elunet.testing._diagnose._places import border, branch, one_place, rearranged, regular
from elunet.testing._diagnose._products import products
from elunet.testing._diagnose._recurrent import recurrent
from elunet.testing._diagnose._scales import array_factor, mask
from elunet.testing._diagnose._shapes import Misshapen, explain_shape
from elunet.testing._diagnose._signals import signal
from elunet.testing._diagnose._slopes import slope
from elunet.testing._diagnose._sums import summed
from elunet.testing._diagnose._swaps import another_array, swapped, through_dy
from elunet.testing._diagnose._windows import windows

__all__ = [
    "CLOSE",
    "FITS",
    "Evidence",
    "Factor",
    "Jacobian",
    "Misshapen",
    "Other",
    "batch_factor",
    "explain",
    "explain_shape",
    "number_text",
    "ratio",
]

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
