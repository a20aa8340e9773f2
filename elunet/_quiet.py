"""Silence floating-point warnings: what overflows or is not a number shows in the result."""

from __future__ import annotations

import numpy as np

quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
"""Decorator: silence NumPy's warnings of overflow, invalid values and division by zero."""
