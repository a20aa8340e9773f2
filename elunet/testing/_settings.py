"""The settings of a check, and the numbers that it starts from.

Arrays are checked and copied, random numbers come from a domain of the checker's own, and values
are moved away from the zeros, ones and equal numbers that hide faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from elunet._checks import integer, number
from elunet._types import Array

POSITIVE = "(0, inf)"
FITTING = {"float64": (1e-6, 1e-5, 1e-7), "float32": (1e-2, 1e-2, 1e-3)}
"""Default eps, rtol and atol by dtype; eps is near the cube root of the rounding error."""


def real(x: npt.ArrayLike, what: str, dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    """Copy x to a C-contiguous array of float64, or of another dtype.

    Raises
    ------
    TypeError
        If x does not hold real numbers.
    ValueError
        If x is empty or holds NaN or infinity.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what}: expected an array of real numbers, got dtype {array.dtype}")
    if array.size == 0:
        raise ValueError(f"{what}: expected at least one entry, got shape {array.shape}")
    if not np.all(np.isfinite(array)):
        place = first_index(~np.isfinite(array))
        raise ValueError(f"{what}: expected finite numbers, got {array[place]} at {list(place)}")
    return np.array(array, dtype=dtype, order="C")


def first_index(mask: Array) -> tuple[int, ...]:
    """Index of the first true entry."""
    return tuple(int(i) for i in np.argwhere(mask)[0])


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """Return a generator of the checker's own domain."""
    key = (int.from_bytes(b"chk"), *purpose)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def moved(value: Array, rng: np.random.Generator) -> Array:
    """Return another array nearby, so that zeros, ones and equal entries all move.

    Noise is added: 0.1 to 0.3 of the array's largest entry, up or down (of an array of zeros 0.1
    to 0.3). Where all entries are positive, each is changed by 10 to 35 percent instead and stays
    positive. Integers stay as they are.
    """
    if value.dtype.kind != "f":
        return value.copy()
    noise = rng.uniform(0.1, 0.3, value.shape) * rng.choice([-1.0, 1.0], value.shape)
    if value.size and np.all(value > 0):
        return np.asarray(value * np.exp(noise), value.dtype)
    scale = float(np.max(np.abs(value), initial=0.0)) or 1.0
    return np.asarray(value + scale * noise, value.dtype)


def only_while(symbol: str, value: Array) -> str:
    """Say what is special about a value ("gamma is 1"), "" if nothing is.

    The words follow "right only while".
    """
    flat = np.asarray(value).reshape(-1)
    if not flat.size:
        return ""
    if np.all(flat == flat[0]):
        if flat[0] in (0.0, 1.0, -1.0):
            return f"{symbol} is {flat[0]:g}"
        return f"all entries of {symbol} are equal" if flat.size > 1 else ""
    if np.all((flat == 0.0) | (flat == 1.0)):
        return f"{symbol} holds only 0 and 1"
    return ""


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
            If a setting is no number, or out of its range, or dtype is neither float64 nor
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
            If a setting is no number, or out of its range.
        """
        for name in ("eps", "rtol", "atol"):
            number(who, name, getattr(self, name), POSITIVE)
        integer(who, "entries", self.entries)
        return self
