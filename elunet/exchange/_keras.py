"""Weights to and from Keras' ``get_weights`` and ``set_weights``.

Keras lays kernels out as elunet does, (kh, kw, C_in, C_out) and (in, out), and flattens channels
last. A model's list of weights has no names, only an order; where paths branch, layers are told
apart by their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from elunet.exchange._entries import Entry, as_array, fill, same
from elunet.network import Network


def to_keras(net: Network, names: Mapping[str, str] | None = None) -> Any:
    """Return copies of a network's arrays in the order of Keras' ``get_weights()``.

    Parameters
    ----------
    net : Network
    names : dict of str to str, optional
        The Keras layer's name for each layer that has arrays; see `keras_names`.

    Returns
    -------
    list of array, or dict of str to list of array
        Layer by layer, in the order in which they were added: kernel and bias of Conv2D and Linear
        (Dense in Keras); gamma, beta, moving mean and moving variance of BatchNorm. With `names`, a
        list for each Keras layer, for its ``set_weights``.

    Raises
    ------
    ValueError
        If `names` does not fit the network.

    Notes
    -----
    The model needs ``BatchNormalization(epsilon=1e-5, momentum=0.9)`` for BatchNorm's defaults
    (Keras' momentum is the weight of the old average), ``use_bias=False`` where a layer has no
    bias, and ELU's alpha. Keras averages the biased variance, elunet the unbiased one, as PyTorch:
    predictions agree, running averages of a training that continues do not.

    References
    ----------
    Keras API reference, ``Layer.weights``, ``Conv2D``, ``Dense``, ``BatchNormalization``.

    Examples
    --------
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Conv2D(3, 16, 5), eln.layers.BatchNorm(16)], seed=0)
    >>> [array.shape for array in eln.exchange.to_keras(net)]
    [(5, 5, 3, 16), (16,), (16,), (16,), (16,), (16,)]
    >>> list(eln.exchange.to_keras(net, {"conv1": "conv2d", "batchnorm1": "bn"}))
    ['conv2d', 'bn']
    """
    if names is None:
        return [entry.exported() for entry in _entries(net)]
    theirs = _names("to_keras", net, names)
    return {theirs[n]: [entry.exported() for entry in its] for n, its in _by_layer(net).items()}


def from_keras(
    net: Network,
    arrays: Sequence[Any] | Mapping[str, Sequence[Any]],
    names: Mapping[str, str] | None = None,
) -> None:
    """Load weights from Keras into a network with the same layers.

    Parameters
    ----------
    net : Network
        Changed only if everything fits. A float32 array becomes float64 if Keras' is float64, so
        nothing is rounded.
    arrays : dict of str to list of array, or list of array
        ``{layer.name: layer.get_weights() for layer in model.layers}``; or, for a chain of layers,
        ``model.get_weights()``.
    names : dict of str to str, optional
        The Keras layer's name for each layer that has arrays; see `keras_names`. A layer that is
        not in it has the same name in Keras.

    Raises
    ------
    TypeError, ValueError
        If `arrays` is neither, or a plain list for a network in which paths branch: Keras may list
        its layers in another order, with arrays of the same shapes. If there are more or fewer
        arrays than the network has, or shapes differ (the error lists all differences).

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(3, 2)])
    >>> eln.exchange.from_keras(net, {"dense": [np.eye(3, 2), np.zeros(2)]}, {"linear1": "dense"})
    >>> net(np.array([[5.0, 6.0, 7.0]]))
    array([[5., 6.]])
    """
    if isinstance(arrays, Mapping):
        _load_by_name(net, arrays, names or {})
        return
    if not isinstance(arrays, Sequence) or isinstance(arrays, str):
        hint = "; see its parameter arrays" if hasattr(arrays, "get_weights") else ""
        raise TypeError(
            "from_keras: expected arrays as a dict of lists, or a list, got"
            f" {type(arrays).__name__}{hint}"
        )
    if branching := _branching(net):
        raise ValueError(
            "from_keras: expected arrays as {layer.name: layer.get_weights() for layer in"
            f" model.layers}}, because {branching} has several inputs and Keras may list its"
            " layers in another order, got a list"
        )
    entries = _entries(net)
    problems = []
    if len(arrays) != len(entries):
        problems = [f"  expected {len(entries)} arrays, got {len(arrays)}"]
    given = [as_array("from_keras", array) for array in arrays]
    pairs = list(zip(entries, given, strict=False))
    fill("from_keras", "arrays", pairs, problems)


def keras_names(net: Network, arrays: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Match a network's layers with a Keras model's, by their order.

    Parameters
    ----------
    net : Network
    arrays : dict of str to list of array
        ``{layer.name: layer.get_weights() for layer in model.layers}``. Its order is the order in
        which Keras lists the layers. Where paths branch, it may not be that of the network: look at
        the result.

    Returns
    -------
    dict of str to str
        For the `names` of `to_keras` and `from_keras`.

    Raises
    ------
    ValueError
        If there are more or fewer layers with arrays than the network has, or the arrays of two
        layers that are matched have other shapes.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(3, 2), eln.layers.ELU()])
    >>> weights = {"dense": [np.eye(3, 2), np.zeros(2)], "elu": []}
    >>> eln.exchange.keras_names(net, weights)
    {'linear1': 'dense'}
    """
    ours, theirs = _by_layer(net), {name: its for name, its in arrays.items() if len(its)}
    if len(ours) != len(theirs):
        raise ValueError(
            f"keras_names: expected {len(ours)} layers with arrays ({', '.join(ours)}), got"
            f" {len(theirs)} ({', '.join(theirs)})"
        )
    for (name, entries), (other, its) in zip(ours.items(), theirs.items(), strict=True):
        wanted = [entry.layout.theirs for entry in entries]
        got = [as_array("keras_names", array).shape for array in its]
        if wanted != got:
            raise ValueError(
                f"keras_names: expected {other}, matched with {name}, to have arrays of shapes"
                f" {wanted}, got {got}"
            )
    return dict(zip(ours, theirs, strict=True))


def _load_by_name(
    net: Network, arrays: Mapping[str, Sequence[Any]], names: Mapping[str, str]
) -> None:
    theirs, pairs, problems = _names("from_keras", net, names), [], []
    for name, entries in _by_layer(net).items():
        its = arrays.get(theirs[name])
        if its is None or len(its) != len(entries):
            got = "no such layer" if its is None else f"{len(its)} arrays"
            problems.append(
                f"  {theirs[name]}, here {name}: expected {len(entries)} arrays, got {got}"
            )
            continue
        pairs += list(zip(entries, (as_array("from_keras", a) for a in its), strict=True))
    left = [name for name, its in arrays.items() if len(its) and name not in theirs.values()]
    problems += [f"  {name}: not in the network" for name in left]
    fill("from_keras", "arrays", pairs, problems)


def _names(owner: str, net: Network, names: Mapping[str, str]) -> dict[str, str]:
    """Return the Keras name of each layer that has arrays; each may be taken once."""
    layers = _by_layer(net)
    if unknown := sorted(set(names) - set(layers)):
        raise ValueError(
            f"{owner}: expected names of layers with arrays among {list(layers)}, got {unknown}"
        )
    theirs = {name: names.get(name, name) for name in layers}
    if len(set(theirs.values())) < len(theirs):
        raise ValueError(f"{owner}: expected a different name for each layer, got {theirs}")
    return theirs


def _branching(net: Network) -> str | None:
    """Return the name of a layer with several inputs, None in a chain."""
    return next((node.name for node in net.nodes if len(node.inputs) > 1), None)


def _by_layer(net: Network) -> dict[str, list[Entry]]:
    """Return the arrays of each layer that has some, in Keras' order."""
    found: dict[str, list[Entry]] = {}
    for node in net.homes:
        for home in (node.layer.params, node.layer.state):
            for key, array in home.items():
                ours, place = f"{node.name}.{key}", len(found.get(node.name, []))
                entry = Entry(home, key, ours, f"array {place} of {node.name}", same(array.shape))
                found.setdefault(node.name, []).append(entry)
    return found


def _entries(net: Network) -> list[Entry]:
    """Return a network's arrays in Keras' order."""
    listed = [entry for entries in _by_layer(net).values() for entry in entries]
    return [replace(entry, theirs=f"array {place}") for place, entry in enumerate(listed)]
