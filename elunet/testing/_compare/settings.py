"""The settings of a check: the step of the differences, tolerances, how many entries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from elunet._checks import integer, number
from elunet.testing._perturb.moves import stream

POSITIVE = "(0, inf)"
FITTING = {"float64": (1e-6, 1e-5, 1e-7), "float32": (1e-2, 1e-2, 1e-3)}
"""Default eps, rtol and atol by dtype; eps is near the cube root of the rounding error."""


@dataclass(frozen=True)
class Settings:
    """How a check is done; see check_layer for the meaning.

    With ``dtype=np.float32`` values, outputs and differences are float32, and the rounding error
    that a comparison allows is float32's. The defaults of eps, rtol and atol fit float64;
    `fitting` gives those that fit a dtype.
    """

    eps: float = 1e-6
    rtol: float = 1e-5
    atol: float = 1e-7
    entries: int = 500
    skip_kinks: bool = False
    seed: int = 0
    dtype: npt.DTypeLike = np.float64

    @classmethod
    def fitting(
        cls,
        who: str,
        dtype: npt.DTypeLike = np.float64,
        *,
        eps: float | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        entries: int = 500,
        skip_kinks: bool = False,
        seed: int = 0,
    ) -> Settings:
        """Return validated settings; where eps, rtol or atol is None, what fits the dtype.

        Raises
        ------
        TypeError, ValueError
            If a setting is not a number, or out of its range, or dtype is neither float64 nor
            float32.
        """
        name = np.dtype(dtype).name
        if name not in FITTING:
            raise ValueError(f"{who}: expected dtype float64 or float32, got {name}")
        fit_eps, fit_rtol, fit_atol = FITTING[name]
        return cls(
            fit_eps if eps is None else eps,
            fit_rtol if rtol is None else rtol,
            fit_atol if atol is None else atol,
            entries,
            skip_kinks,
            seed,
            dtype,
        ).validated(who)

    @property
    def machine(self) -> float:
        """The rounding error of one operation in `dtype`."""
        return float(np.finfo(np.dtype(self.dtype)).eps)

    def rng(self, *purpose: int) -> np.random.Generator:
        """Return a generator for one purpose, different from default_rng(seed).

        A dy that equals x, drawn from the same seed, would hide errors.
        """
        return stream(self.seed, *purpose)

    def validated(self, who: str) -> Settings:
        """Return self.

        Raises
        ------
        TypeError, ValueError
            If a setting is not a number, or out of its range.
        """
        for name in ("eps", "rtol", "atol"):
            number(who, name, getattr(self, name), POSITIVE)
        integer(who, "entries", self.entries)
        return self
