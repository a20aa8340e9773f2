"""What a design is, and how its wrong variant comes about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from elunet.testing import CheckResult


@dataclass(frozen=True)
class Design:
    """A way to write a program; `check(wrong)` checks it, with or without a wrong gradient."""

    name: str
    check: Callable[[bool], CheckResult]


def normal(*shape, seed=0):
    """Return random numbers that are the same each time."""
    return np.random.default_rng(seed).standard_normal(shape)


def off(wrong, gradient):
    """Return a gradient, or what a wrong program has in its place."""
    return gradient * 1.5 if wrong else gradient
