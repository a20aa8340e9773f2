"""Shared type aliases."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
"""A NumPy array of any dtype."""

Shape = tuple[int, ...]
"""An array's shape."""

Seed = int | np.random.SeedSequence | np.random.Generator | None
"""The kinds of seeds that are accepted everywhere; None draws a new seed."""
