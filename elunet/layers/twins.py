"""Copies of a layer that share its parameters: in a second place, or for an additional pass.

A layer keeps what its backward pass needs, in ways of its own: by `keep`, in attributes, in a dict.
Two passes through one layer object would write over each other's. So each has a copy of the layer,
in which nothing is shared but what has to be.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from elunet.layers.base import Layer

SHARED = ("params", "state", "rng")
"""The attributes that a layer in a second place shares with its home."""

OWN = ("grads", "_kept", "_passed")
"""The attributes that no copy shares, and that start empty."""


def sharing(layer: Layer, owner: str) -> Layer:
    """Return a copy for a second place: it shares parameters, statistics and random numbers.

    Raises
    ------
    TypeError
        If the layer cannot be copied; the message begins with `owner`.
    """
    memo: dict[int, Any] = {}
    for name in SHARED:
        _share(memo, getattr(layer, name))
    twin, stuck = _copied(layer, memo)
    for name, error in stuck.items():
        raise TypeError(
            f"{owner}: expected a layer that can be copied, because it shares its weights"
            f" with another place, got {layer!r}, whose attribute {name} cannot be copied:"
            f" {error}"
        ) from error
    return twin


def follow(twin: Layer, home: Layer) -> None:
    """Give a layer in a second place the settings of its home: arrays, a rate, a momentum."""
    for name, value in vars(home).items():
        plain = isinstance(value, bool | int | float | str | None) and name not in OWN
        if plain or name in SHARED:
            setattr(twin, name, value)


def aside(layers: Sequence[Layer]) -> list[Layer]:
    """Return copies for additional passes, which share the parameters only.

    Those of layers that share their weights share them too, and statistics and generators among
    themselves. What cannot be copied is shared.
    """
    memo: dict[int, Any] = {}
    for layer in layers:
        _share(memo, layer.params)
    return [_copied(layer, memo)[0] for layer in layers]


def _share(memo: dict[int, Any], value: Any) -> None:
    """Keep an object, and arrays in it, from being copied."""
    values: Iterable[Any] = value.values() if isinstance(value, dict) else ()
    memo.update({id(one): one for one in (value, *values)})


def _copied(layer: Layer, memo: dict[int, Any]) -> tuple[Layer, dict[str, Exception]]:
    """Return a copy of a layer, and the attributes that could not be copied, with the reasons."""
    twin = copy.copy(layer)
    twin._passed = None
    _share(memo, layer.seed)
    memo.update({id(layer): twin, id(layer.grads): {}, id(layer._kept): None})
    stuck = {}
    for name, value in vars(twin).items():
        try:
            vars(twin)[name] = copy.deepcopy(value, memo)
        except Exception as error:  # whatever a custom class raises
            stuck[name] = error
    return twin, stuck
