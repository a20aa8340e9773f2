"""An update rule with its settings, so that a checker can ask what another setting would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from elunet._types import Array

Update = Callable[[Array, Array, dict[str, Any], int], Array]


@dataclass(frozen=True)
class Rule:
    """``rule(w, g, state, t) -> new w``, as a formula and its settings.

    Attributes
    ----------
    formula : callable
        ``formula(w, g, state, t, **settings) -> new w``.
    settings : mapping
    """

    formula: Callable[..., Array]
    settings: Mapping[str, Any]

    def __call__(self, w: Array, g: Array, state: dict[str, Any], t: int) -> Array:
        """Return the new w."""
        return np.asarray(self.formula(w, g, state, t, **self.settings))

    def but(self, **settings: Any) -> Rule:
        """Return the same rule with other settings."""
        return replace(self, settings={**self.settings, **settings})


def penalized(w: Array, g: Array, l2: float, l1: float) -> Array:
    """Return ``g + l2 w + l1 sign(w)``."""
    return np.asarray(g + l2 * w + l1 * np.sign(w))
