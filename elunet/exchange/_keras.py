"""Weights to and from Keras' ``get_weights`` and ``set_weights``.

Keras lays kernels out as elunet does, (kh, kw, C_in, C_out) and (in, out), and flattens channels
last. Its lists of weights have no names, only an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elunet._types import Array
from elunet.exchange._entries import Entry, as_array, fill, same
from elunet.network import Network


def to_keras(net: Network) -> list[Array]:
    """Return copies of a network's arrays in the order of Keras' ``get_weights()``.

    Parameters
    ----------
    net : Network

    Returns
    -------
    list of array
        Layer by layer, in the order in which they were added: kernel and bias of Conv2D and Linear
        (Dense in Keras); gamma, beta, moving mean and moving variance of BatchNorm.

    Notes
    -----
    This follows Keras' documentation; it was not run against Keras itself. The model needs
    ``BatchNormalization(epsilon=1e-5, momentum=0.9)`` for BatchNorm's defaults (Keras' momentum is
    the weight of the old average), ``use_bias=False`` where a layer has no bias, and ELU's alpha.
    A model with several paths may list its layers in another order.

    References
    ----------
    Keras API reference, ``Layer.weights``, ``Conv2D``, ``Dense``, ``BatchNormalization``.

    Examples
    --------
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Conv2D(3, 16, 5), eln.layers.BatchNorm(16)], seed=0)
    >>> [array.shape for array in eln.exchange.to_keras(net)]
    [(5, 5, 3, 16), (16,), (16,), (16,), (16,), (16,)]
    """
    return [entry.exported() for entry in _entries(net)]


def from_keras(net: Network, arrays: Sequence[Any]) -> None:
    """Load weights in the order of Keras' ``model.get_weights()``.

    Parameters
    ----------
    net : Network
        Changed only if everything fits. A float32 array becomes float64 if Keras' is float64, so
        nothing is rounded.
    arrays : sequence of array
        See `to_keras`.

    Raises
    ------
    TypeError, ValueError
        If `arrays` is no sequence, there are more or fewer than the network has, or shapes differ
        (the error lists all differences).

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(3, 2)])
    >>> eln.exchange.from_keras(net, [np.eye(3, 2), np.zeros(2)])
    >>> net(np.array([[5.0, 6.0, 7.0]]))
    array([[5., 6.]])
    """
    if not isinstance(arrays, Sequence) or isinstance(arrays, str):
        hint = "; a model's are model.get_weights()" if hasattr(arrays, "get_weights") else ""
        raise TypeError(
            f"from_keras: expected arrays as a list of arrays, got {type(arrays).__name__}{hint}"
        )
    entries = _entries(net)
    problems = []
    if len(arrays) != len(entries):
        problems = [f"  expected {len(entries)} arrays, got {len(arrays)}"]
    given = [as_array("from_keras", array) for array in arrays]
    pairs = list(zip(entries, given, strict=False))
    fill("from_keras", "arrays", pairs, problems)


def _entries(net: Network) -> list[Entry]:
    """Return a network's arrays in Keras' order."""
    found = [
        (home, key, f"{node.name}.{key}", array.shape)
        for node in net.nodes
        for home in (node.layer.params, node.layer.state)
        for key, array in home.items()
    ]
    return [
        Entry(home, key, ours, f"array {place}", same(shape))
        for place, (home, key, ours, shape) in enumerate(found)
    ]
