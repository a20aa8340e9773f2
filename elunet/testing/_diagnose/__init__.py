"""From the pattern of a gradient's errors to the bug that made them."""

from elunet.testing._diagnose._evidence import CLOSE, Evidence, Factor, Jacobian, batch_factor
from elunet.testing._diagnose._old import explain, number_text, ratio

__all__ = [
    "CLOSE",
    "Evidence",
    "Factor",
    "Jacobian",
    "batch_factor",
    "explain",
    "number_text",
    "ratio",
]
