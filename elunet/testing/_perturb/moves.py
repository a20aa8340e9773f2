"""The numbers that a check starts from, and those that it moves to.

Arrays are checked and copied, random numbers come from a domain of the checker's own, and values
are moved away from the zeros, ones and equal numbers that hide faults.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from elunet._types import Array


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
