"""Weights to and from PyTorch.

PyTorch keeps a convolution's weight as (C_out, C_in, kh, kw), a Linear's as (out, in), and images
channels first. So a Linear after Flatten gets the same numbers in another order, and its rows have
to be reordered as well. For this the image's shape before Flatten is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elunet._types import Array, Shape
from elunet.exchange._entries import Entry, Layout, as_array, fill, output_shapes, same
from elunet.graph import INPUT, Node
from elunet.layers import (
    Add,
    BatchNorm,
    Conv2D,
    Flatten,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Linear,
    Multiply,
    PReLU,
    Softmax,
)
from elunet.network import Network

COUNTER = "num_batches_tracked"


def to_torch(
    net: Network, names: Mapping[str, str] | None = None, input_shape: Sequence[int] | None = None
) -> dict[str, Array]:
    """Return copies of a network's arrays with PyTorch's names and layouts.

    Parameters
    ----------
    net : Network
    names : dict of str to str, optional
        The PyTorch module's name for each layer, such as ``{"conv1": "features.0"}``; see
        `torch_names`. A layer that is not in it keeps its name.
    input_shape : tuple of int, optional
        One image's shape (H, W, C). Needed if there is a Flatten: PyTorch flattens (C, H, W), so
        the next layer's rows are in another order.

    Returns
    -------
    dict of str to array
        ``{"conv1.weight": array, "conv1.bias": array, ...}`` in forward order, in the arrays' own
        dtypes: float32 for parameters, float64 for BatchNorm's running averages, which
        ``load_state_dict`` casts to the module's dtype. ``num_batches_tracked`` is 0 if momentum is
        fixed, since then neither elunet counts batches nor PyTorch reads it.

    Raises
    ------
    TypeError, ValueError
        If `names` or `input_shape` does not fit the network, or is needed and missing.

    Notes
    -----
    The arrays of a custom layer keep their names and layout.

    Examples
    --------
    With ``import torch``, ``{name: torch.as_tensor(a) for name, a in arrays.items()}`` is what a
    module's ``load_state_dict`` takes.

    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Conv2D(3, 16, 5), eln.layers.ELU()], seed=0)
    >>> arrays = eln.exchange.to_torch(net, {"conv1": "0"})
    >>> {name: array.shape for name, array in arrays.items()}
    {'0.weight': (16, 3, 5, 5), '0.bias': (16,)}
    """
    arrays = {}
    for node, entries in _entries("to_torch", net, names, input_shape):
        arrays.update({entry.theirs: entry.exported() for entry in entries})
        if isinstance(node.layer, BatchNorm):
            count = node.layer.state.get("batches", 0)
            arrays[_join(_module(node, names), COUNTER)] = np.array(count, np.int64)
    return arrays


def from_torch(
    net: Network,
    state_dict: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
    input_shape: Sequence[int] | None = None,
) -> None:
    """Load weights from PyTorch into a network with the same layers.

    Parameters
    ----------
    net : Network
        Changed only if everything fits. A float32 array becomes float64 if PyTorch's is float64, so
        nothing is rounded.
    state_dict : dict of str to tensor or array
        From a module's ``state_dict()``. Of BatchNorm's ``num_batches_tracked`` only that without
        momentum is loaded.
    names, input_shape : optional
        As in `to_torch`.

    Raises
    ------
    TypeError, ValueError
        If `state_dict` is not a dictionary; if names or shapes differ from the network's (the error
        lists all differences); if `names` or `input_shape` does not fit, or is needed and missing.

    Notes
    -----
    Only arrays are loaded. You have to make sure that the layers do the same: strides and padding,
    ELU's alpha, BatchNorm's eps. "same" agrees with PyTorch at stride 1. At larger strides PyTorch
    has no "same", and elunet may pad with one more row of zeros below than above.

    Examples
    --------
    To load only a part, combine it with the network's own arrays:
    ``from_torch(net, {**to_torch(net), **part})``.

    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(3, 2)])
    >>> eln.exchange.from_torch(net, {"linear1.weight": np.eye(2, 3), "linear1.bias": np.zeros(2)})
    >>> net(np.array([[5.0, 6.0, 7.0]]))
    array([[5., 6.]])
    """
    found = _checked("from_torch", state_dict)
    listed = _entries("from_torch", net, names, input_shape)
    entries = [entry for _, of_layer in listed for entry in of_layer]
    wanted = {entry.theirs for entry in entries}
    problems = [
        f"  {entry.theirs}, here {entry.ours}: not in the state_dict"
        for entry in entries
        if entry.theirs not in found
    ]
    problems += [
        f"  {name}: not in the network"
        for name in found
        if name not in wanted and _split(name)[1] != COUNTER
    ]
    pairs = [
        (entry, as_array("from_torch", found[entry.theirs]))
        for entry in entries
        if entry.theirs in found
    ]
    pairs = [
        (entry, array.astype(np.float64) if entry.key == "batches" else array)
        for entry, array in pairs
    ]
    fill("from_torch", "state_dict", pairs, problems)


def torch_names(net: Network, state_dict: Mapping[str, Any]) -> dict[str, str]:
    """Match a network's layers with a module's submodules, by their order.

    Parameters
    ----------
    net : Network
    state_dict : dict
        Its order is the order in which the module's ``__init__`` made its submodules. Usually, but
        not always, they are called in the same order: look at the result.

    Returns
    -------
    dict of str to str
        For the `names` of `to_torch` and `from_torch`.

    Raises
    ------
    TypeError, ValueError
        If `state_dict` is not a dictionary, or it has not as many submodules as the network has
        layers with arrays.

    Examples
    --------
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(3, 8), eln.layers.ELU(), eln.layers.Linear(8, 2)])
    >>> eln.exchange.torch_names(net, dict.fromkeys(["0.weight", "0.bias", "2.weight", "2.bias"]))
    {'linear1': '0', 'linear2': '2'}
    """
    modules = list(dict.fromkeys(_split(name)[0] for name in _checked("torch_names", state_dict)))
    layers = [node.name for node in net.homes if node.layer.params or node.layer.state]
    if len(modules) != len(layers):
        raise ValueError(
            f"torch_names: expected as many submodules with arrays as layers, {len(layers)}"
            f" ({', '.join(layers)}), got {len(modules)} ({', '.join(modules)})"
        )
    return dict(zip(layers, modules, strict=True))


def _checked(owner: str, state_dict: object) -> Mapping[str, Any]:
    if isinstance(state_dict, Mapping):
        return state_dict
    hint = "; a module's is module.state_dict()" if hasattr(state_dict, "state_dict") else ""
    raise TypeError(
        f"{owner}: expected state_dict as a dictionary of names and arrays, got"
        f" {type(state_dict).__name__}{hint}"
    )


def _entries(
    owner: str,
    net: Network,
    names: Mapping[str, str] | None,
    input_shape: Sequence[int] | None,
) -> list[tuple[Node, list[Entry]]]:
    """Return every layer's arrays with PyTorch's names and layouts."""
    homes = [node.name for node in net.homes]
    unknown = sorted(set(names or {}) - set(homes))
    if unknown:
        raise ValueError(f"{owner}: expected names of layers among {homes}, got {unknown}")
    orders = _orders(owner, net, input_shape)
    listed = []
    taken: dict[str, str] = {}
    for node in net.homes:
        entries = []
        for home in (node.layer.params, node.layer.state):
            for key, array in home.items():
                theirs = _join(_module(node, names), _their_key(node, key))
                ours = f"{node.name}.{key}"
                if theirs in taken:
                    raise ValueError(
                        f"{owner}: expected a different name for each array, got {theirs} for"
                        f" {taken[theirs]} and {ours}"
                    )
                taken[theirs] = ours
                layout = _layout(node, key, array.shape, orders[node.name])
                entries.append(Entry(home, key, ours, theirs, layout))
        listed.append((node, entries))
    return listed


def _their_key(node: Node, key: str) -> str:
    if isinstance(node.layer, Conv2D | Linear):
        return {"W": "weight", "b": "bias"}.get(key, key)
    if isinstance(node.layer, BatchNorm | LayerNorm | GroupNorm | InstanceNorm):
        return {"gamma": "weight", "beta": "bias", "batches": COUNTER}.get(key, key)
    if isinstance(node.layer, PReLU):
        return {"alpha": "weight"}.get(key, key)
    return key


def _layout(node: Node, key: str, shape: Shape, order: Shape | None) -> Layout:
    """Return an array's layout; `order` is the shape that the layer's input was flattened from."""
    if isinstance(node.layer, Conv2D) and key == "W":
        return Layout(shape, shape, (3, 2, 0, 1), tuple(shape[axis] for axis in (3, 2, 0, 1)))
    if isinstance(node.layer, Linear):
        if key != "W":
            return same(shape)
        rows = order or shape[:1]
        features = len(rows)
        return Layout(shape, (*rows, shape[1]), (features, *_first(features)), shape[::-1])
    if order is not None and math.prod(shape) == math.prod(
        order
    ):  # one number for each feature, as BatchNorm has
        features = len(order)
        return Layout(shape, order, _first(features), shape)
    return same(shape)


def _first(axes: int) -> Shape:
    """Return the axes with the last one, the channels, first."""
    return (axes - 1, *range(axes - 1))


def _orders(owner: str, net: Network, input_shape: Sequence[int] | None) -> dict[str, Shape | None]:
    """Return, for each layer, the shape of the image that its input was flattened from.

    None if the input is not a flattened image. Elementwise layers keep the order of features, and a
    Linear ends it.
    """
    flattens = [node.name for node in net.nodes if isinstance(node.layer, Flatten)]
    if not flattens:
        return dict.fromkeys(net.names)
    if input_shape is None:
        raise ValueError(
            f"{owner}: expected input_shape, one image's (H, W, C), got None; {flattens[0]}"
            " flattens in another order than PyTorch, which has channels first"
        )
    shapes = output_shapes(owner, net, input_shape)
    arrives: dict[str, Shape | None] = {}
    leaves: dict[str, Shape | None] = {INPUT: None}
    for node in net.nodes:
        coming = {leaves[source] for source in node.inputs}
        if len(coming) > 1:
            raise ValueError(
                f"{owner}: expected the inputs of {node.name} to have their features in one order,"
                f" got {', '.join(node.inputs)}, of which some are flattened images"
            )
        (order,) = coming
        arrives[node.name] = order
        shape = shapes[node.inputs[0]]
        if isinstance(node.layer, Flatten):
            reordered = min(math.prod(shape[:-1]), shape[-1]) > 1  # not of one pixel or channel
            leaves[node.name] = shape if reordered else order
        elif isinstance(node.layer, GroupNorm) and order is not None:
            raise ValueError(
                f"{owner}: expected no groups of features after Flatten, got {node.layer!r}"
                f" ({node.name}); PyTorch flattens in another order, so its groups differ"
            )
        elif node.layer.pointwise or isinstance(node.layer, Add | Multiply | Softmax):
            leaves[node.name] = order
        else:
            leaves[node.name] = None
            if order is not None and not isinstance(node.layer, Linear):
                raise ValueError(
                    f"{owner}: expected a Linear or an elementwise layer after Flatten, got"
                    f" {node.layer!r} ({node.name}), which may depend on the order of its features"
                )
    return arrives


def _module(node: Node, names: Mapping[str, str] | None) -> str:
    return (names or {}).get(node.name, node.name)


def _split(name: str) -> tuple[str, str]:
    """Return ("features.0", "weight") for "features.0.weight"."""
    module, _, key = name.rpartition(".")
    return module, key


def _join(module: str, key: str) -> str:
    return f"{module}.{key}" if module else key
