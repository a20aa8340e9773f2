"""The argument checks that the data functions share.

Every message names the function, the argument, what was expected and what was given. Integer seeds
have a domain of their own, so ``Batches(seed=0)`` never draws the same numbers as a layer or a
network with seed 0, or as ``split(..., seed=0)``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from elunet._checks import plain
from elunet._checks import seed as checked_seed
from elunet._types import Array, Seed

_DOMAIN = 0xDA7A
_KEYS = {"Batches": (_DOMAIN,), "split": (_DOMAIN, 1), "make_shapes": (_DOMAIN, 2)}


def examples(where: str, name: str, x: object) -> Array:
    """Return `x` as an array, if it is a batch: images (N, H, W, C), (N, H, W), or rows (N, D)."""
    array = plain(where, name, x)
    if array.dtype.kind not in "uif":
        words = array.dtype.kind in "OUS" and array.ndim == 2
        hint = "; convert columns of text to numbers first (one-hot)" if words else ""
        raise TypeError(
            f"{where}: expected {name} of an integer or float dtype, got {array.dtype}{hint}"
        )
    if not 2 <= array.ndim <= 4:
        hint = f"; reshape it to ({len(array)}, 1)" if array.ndim == 1 else ""
        raise ValueError(
            f"{where}: expected {name} of shape (N, H, W, C), (N, H, W) or (N, D),"
            f" got {array.shape}{hint}"
        )
    return array


def generators(where: str, seed: Seed, count: int) -> list[np.random.Generator]:
    """Make `count` independent generators from a seed of any accepted kind."""
    seed = checked_seed(where, seed)
    if isinstance(seed, np.random.Generator):
        return seed.spawn(count)
    if not isinstance(seed, np.random.SeedSequence):
        seed = np.random.SeedSequence(seed, spawn_key=_KEYS[where])
    return [np.random.default_rng(child) for child in seed.spawn(count)]


def callables(owner: str, name: str, values: Iterable[object]) -> None:
    """Raise a TypeError unless all values are functions or callable objects, not classes."""
    for value in values:
        if isinstance(value, type):
            made = f"{value.__name__}(...)"
            raise TypeError(
                f"{owner}: expected {name} to be an object, {made}, got the class {value.__name__}"
            )
        if not callable(value):
            raise TypeError(f"{owner}: expected {name} to be callable, got {value!r}")


def is_array(value: object) -> bool:
    """Whether a value is an array of at least one axis."""
    return isinstance(value, np.ndarray) and value.ndim > 0
