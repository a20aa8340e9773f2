"""From the pattern of a gradient's errors to the bug that made them.

Most wrong gradients are wrong in a simple way: by one factor, in some places only, by a term, or
for lack of a sum. Each file here knows one family of such patterns. A cause is named only if its
formula gives the analytic gradient to rounding at every entry that was compared, and the sentence
states the formula. Nothing is guessed from the source code, and where values are so special that
several causes fit, none is named.

Most checks pass and need no cause: the patterns are imported at the first gradient that is wrong.
"""

from __future__ import annotations

import importlib

from elunet.testing._diagnose.evidence import (
    CLOSE,
    FITS,
    Evidence,
    Factor,
    Jacobian,
    Misshapen,
    Other,
    batch_factor,
)
from elunet.testing._diagnose.numbers import number_text, ratio

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


def explain(evidence: Evidence) -> str:
    """Return the likely cause, or "" where no pattern fits."""
    return str(importlib.import_module(f"{__name__}.patterns").explain(evidence))


def explain_shape(m: Misshapen) -> str:
    """Return the likely cause of a wrong shape, or ""."""
    return str(importlib.import_module(f"{__name__}.shapes").explain_shape(m))
