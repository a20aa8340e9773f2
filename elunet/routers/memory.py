"""What a router may remember: plain data, which is checked and copied when a state is made or read.

A state holds numbers, texts and arrays only, so that it can be written as JSON and arrays. Random
generators are not among them: what a rule draws follows from its seed, a name and a count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from elunet._checks import integer, number
from elunet._types import Array
from elunet.layers.base import describe

Check = Callable[[str, str, Any], Any]
"""``check(owner, name, value)`` returns a copy, or raises a TypeError or ValueError."""


def count(owner: str, name: str, value: Any) -> int:
    """Return an integer of at least 0.

    Parameters
    ----------
    owner, name : str
        The rule and its attribute, for the error's message.
    value : object

    Raises
    ------
    TypeError, ValueError
        If the value is another.

    Examples
    --------
    >>> from elunet.routers import memory
    >>> memory.count("MyRule", "passes", 3)
    3
    """
    return integer(owner, name, value, 0)


def numbers(owner: str, name: str, value: Any) -> dict[str, float]:
    """Return a copy of {layer's name: number}.

    Parameters
    ----------
    owner, name : str
        The rule and its attribute, for the error's message.
    value : object

    Raises
    ------
    TypeError, ValueError
        If the value is another.

    Examples
    --------
    >>> from elunet.routers import memory
    >>> memory.numbers("MyRule", "rates", {"conv1": 0.5})
    {'conv1': 0.5}
    """
    found = _by_layer(owner, name, value)
    return {layer: number(owner, f"{name} of {layer}", item) for layer, item in found.items()}


def arrays(owner: str, name: str, value: Any) -> dict[str, Array]:
    """Return a copy of {layer's name: float array}.

    Parameters
    ----------
    owner, name : str
        The rule and its attribute, for the error's message.
    value : object

    Raises
    ------
    TypeError, ValueError
        If the value is another.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.routers import memory
    >>> memory.arrays("MyRule", "traces", {"conv1": np.zeros(2)})
    {'conv1': array([0., 0.])}
    """
    for layer, item in _by_layer(owner, name, value).items():
        if not isinstance(item, np.ndarray) or item.dtype.kind != "f":
            raise ValueError(
                f"{owner}: expected {name} of {layer} as a float array, got {describe(item)}"
            )
    return {layer: item.copy() for layer, item in value.items()}


def _by_layer(owner: str, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(layer, str) for layer in value):
        raise ValueError(f"{owner}: expected {name} as a dict by layer names, got {value!r}")
    return value
