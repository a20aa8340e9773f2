"""Networks: layers with names, joined to a graph, and the one backward walk of all learning rules.

`forward` goes through the layers in the order in which they were added; `walk` goes back and asks
its caller two things only: what arrives at a layer's output, and what a layer sends down. Backprop
and every other learning rule is an answer to these two questions.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from elunet import _display, parallel, workspace
from elunet._checks import integer
from elunet._checks import seed as checked_seed
from elunet._types import Array, Seed, Shape
from elunet.deferred import Queue, is_deferrable
from elunet.layers.base import Layer, check_float

INPUT = "input"

Tap = Callable[[str, Array], None]


Arrive = Callable[[Layer, Array], Array]
"""``arrive(layer, dy)``: what reaches a layer's output, given what came down (summed)."""

Send = Callable[[Layer, Array], Array]
"""``send(layer, dy)``: what goes down from a weighted layer."""

Weight = Callable[[Layer], Array | None]
"""``weight(layer)``: the matrix through which a weighted layer sends down; None for its own W."""


@dataclass(frozen=True)
class Node:
    """A layer in its place: its name, and the names of what it takes."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    learns: bool  # whether it or anything below it has parameters


class _Naming:
    """Adds a layer's name and place to an error about what it was given."""

    def __init__(self, net: Network, node: Node, place: int) -> None:
        self.net, self.node, self.place = net, node, place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TypeError | ValueError):
            after = ", ".join(self.node.inputs)
            where = f"layer {self.place} of {len(self.net)}, after {after}"
            text = f"{self.node.name} ({where}): {error}"
            try:
                named = type(error)(text)
            except Exception:  # its class is made from other things than a text
                named = TypeError(text) if isinstance(error, TypeError) else ValueError(text)
            raise named from error


class Network:
    """A graph of named layers; what each takes was added before it.

    ``net["conv1"]`` is a layer, ``"conv1" in net`` asks for one, and ``for layer in net`` goes
    through all in forward order. A network runs in one Python thread at a time.

    Parameters
    ----------
    seed : int, SeedSequence or Generator, optional
        From it each layer that has no seed yet gets one of its own, by its place in the network,
        and draws its weights anew. Layers of an earlier network have theirs, and keep what they
        learned. Weights that were assigned by hand to a layer without a seed are drawn over: assign
        them after the layer was added, or leave the seed out.

    Raises
    ------
    TypeError, ValueError
        If `seed` is none.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Network(seed=0)
    >>> net.add(eln.layers.Linear(4, 4), name="skip")
    'skip'
    >>> net.add(eln.layers.ELU(), name="elu")
    'elu'
    >>> net.add(eln.layers.Add(), inputs=["skip", "elu"])
    'add1'
    >>> net.forward(np.ones((2, 4), np.float32)).shape
    (2, 4)
    """

    def __init__(self, seed: Seed = None) -> None:
        self.nodes: list[Node] = []
        self._by_name: dict[str, Node] = {}
        self._seed = checked_seed(type(self).__name__, seed)
        self._workspace = workspace.Workspace()
        self._output: tuple[Shape, np.dtype[Any]] | None = None
        self.shapes: dict[str, Shape] = {}

    def add(
        self, layer: Layer, name: str | None = None, inputs: str | Sequence[str] | None = None
    ) -> str:
        """Add a layer and return its name.

        Parameters
        ----------
        layer : Layer
            A layer object may appear once.
        name : str, optional
            By default kind and count: conv1, elu1, conv2.
        inputs : str or sequence of str, optional
            Names of what the layer takes, "input" for the network's own; by default what was added
            last. A layer with several gets a tuple.

        Raises
        ------
        TypeError, ValueError
            If the layer is no layer or is there already, the name is taken, or an input unknown.
        """
        if not isinstance(layer, Layer):
            raise TypeError(
                f"Network.add: expected layer as a Layer, got {layer!r}; a layer of your own"
                " subclasses elunet.layers.Layer"
            )
        if not hasattr(layer, "params"):
            raise TypeError(
                f"Network.add: expected layer with params, got a {type(layer).__name__} without;"
                " its __init__ has to call super().__init__() first"
            )
        for node in self.nodes:
            if node.layer is layer:
                raise ValueError(
                    f"Network.add: expected a layer object that is not in the network yet, got"
                    f" {node.name} again; a weight cannot be shared between two places"
                )
        name = self._check_name(self._default_name(layer) if name is None else name)
        if inputs is None:
            inputs = self.nodes[-1].name if self.nodes else INPUT
        taken = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        if not taken:
            raise ValueError(f"Network.add: expected at least one of inputs of {name}, got none")
        for source in taken:
            if source != INPUT and source not in self._by_name:
                raise ValueError(
                    f"Network.add: expected inputs of {name} among {[INPUT, *self.names]},"
                    f" got {source!r}"
                )
        if layer.seed is None:  # now it gets one, so that no other network draws it anew
            layer.seed = _child(self._seed, len(self.nodes))
            if self._seed is not None:
                layer.reset(layer.seed)
        below = any(source != INPUT and self._by_name[source].learns for source in taken)
        node = Node(name, layer, taken, bool(layer.params) or below)
        self.nodes.append(node)
        self._by_name[name] = node
        self._output = None  # a forward pass before knew nothing of this layer
        return name

    @property
    def layers(self) -> list[Layer]:
        """The layers in forward order."""
        return [node.layer for node in self.nodes]

    @property
    def names(self) -> list[str]:
        """The layers' names in forward order."""
        return [node.name for node in self.nodes]

    def __getitem__(self, name: str) -> Layer:
        """Return the layer of this name."""
        if name not in self._by_name:
            raise KeyError(f"Network: expected one of {self.names}, got {name!r}")
        return self._by_name[name].layer

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Layer]:
        """Go through the layers in forward order."""
        return iter(self.layers)

    def __contains__(self, item: object) -> bool:
        """Whether there is a layer of this name, or this very layer."""
        return any(item == node.name or item is node.layer for node in self.nodes)

    def forward(self, x: Array, train: bool = False, tap: Tap | None = None) -> Array:
        """Return the last layer's output.

        Parameters
        ----------
        x : float array
            Its dtype rules the computation: float64 in, float64 out.
        train : bool, default False
            Whether layers behave as in training and keep what a backward pass needs. Without it
            nothing is kept.
        tap : callable, optional
            ``tap(name, y)`` is shown every layer's output; it must not write into it.

        Raises
        ------
        TypeError, ValueError
            If x does not fit; the message names the layer and its place.
        RuntimeError
            If the network has no layer, or is running in another thread.
        """
        check_float(x, "Network: expected x")
        consumers = self._consumers()
        waiting = consumers.copy()
        values: dict[str, Array] = {INPUT: x}
        shapes = {INPUT: x.shape}
        spare = set[str]()  # outputs that only the layer that takes them will look at
        with self._running() as queue:
            self.release()  # so that the last pass's memory can be lent again
            for place, node in enumerate(self.nodes, start=1):
                taken = tuple(values[source] for source in node.inputs)
                given_up = taken[0] if spare.issuperset(node.inputs) else None
                with _Naming(self, node, place):
                    argument: Any = taken if len(taken) > 1 else taken[0]
                    y: Array = queue.call(node.layer.forward, argument, train, spare=given_up)
                if not train:
                    node.layer.forget()
                if tap is not None:
                    queue.finish()
                    tap(node.name, y)
                elif (
                    consumers[node.name] == len(taken) == 1
                    and not node.layer.keeps(y)
                    and _is_own(y, node.layer.forward, taken[0], given_up is not None)
                ):
                    spare.add(node.name)
                del taken, argument, given_up
                values[node.name], shapes[node.name] = y, y.shape
                for source in node.inputs:
                    waiting[source] -= 1
                    if not waiting[source]:
                        del values[source]
            queue.finish()
            self.shapes = shapes
            if train:
                self._output = y.shape, y.dtype
        return y

    def __call__(self, x: Array) -> Array:
        """Return ``forward(x)``."""
        return self.forward(x)

    def predict(self, x: Array, batch_size: int = 100) -> Array:
        """Return the output for x, computed in batches of `batch_size`, nothing kept."""
        integer("Network.predict", "batch_size", batch_size)
        if len(x) <= batch_size:
            return self.forward(x)
        starts = range(0, len(x), batch_size)
        return np.concatenate([self.forward(x[i : i + batch_size]) for i in starts])

    def backward(self, dy: Array) -> Array:
        """Backpropagate: fill every layer's grads from dL/dy and return dL/dx.

        Raises
        ------
        RuntimeError
            If no ``forward(x, train=True)`` came before.
        """
        return self.walk(dy, to_input=True)  # type: ignore[return-value]  # to the input: not None

    def walk(
        self,
        dy: Array,
        arrive: Arrive | None = None,
        send: Send | None = None,
        weight: Weight | None = None,
        tap: Tap | None = None,
        to_input: bool = False,
        release: bool = False,
    ) -> Array | None:
        """Carry the loss gradient back through the graph: the one walk of all learning rules.

        It sums where a path splits, fills each layer's grads from the signal at its output, and
        skips what no parameter depends on.

        Parameters
        ----------
        dy : array
            dL/dy at the network's output.
        arrive : callable, optional
            ``arrive(layer, dy)`` returns what reaches the layer's output, given what came down; by
            default the same.
        send : callable, optional
            ``send(layer, dy)`` returns what a weighted layer sends down. Layers without a weight
            send ``backward_input(dy)``, and so do all by default.
        weight : callable, optional
            ``weight(layer)`` returns the matrix through which a weighted layer sends down, None for
            its own W. Not asked where `send` is given.
        tap : callable, optional
            ``tap(name, dy)`` is shown every signal that arrives; it must not write into it.
        to_input : bool, default False
            Whether to go down to the network's input and return the gradient there.
        release : bool, default False
            Whether each layer lets go of what forward kept when its turn is over. That takes less
            memory, and no other backward pass can follow before the next forward pass.

        Raises
        ------
        RuntimeError
            If no ``forward(x, train=True)`` came before, or the network is running in another
            thread.
        TypeError, ValueError
            If dy does not fit, or a layer raised one; the message names the layer and its place.
        """
        with self._running() as queue:
            dy = self._check_gradient(dy)
            signals = {self.nodes[-1].name: dy}
            spare = set[str]()  # layers at whose output nobody will look at the signal again
            unseen = tap is None and arrive is None and send is None
            for place, node in reversed(list(enumerate(self.nodes, start=1))):
                if not (node.learns or to_input):
                    continue
                delta = signals.pop(node.name)
                if arrive is not None:
                    queue.finish()
                    with _Naming(self, node, place):
                        delta = arrive(node.layer, delta)
                if tap is not None:
                    queue.finish()
                    tap(node.name, delta)
                given_up = delta if node.name in spare else None
                with _Naming(self, node, place):
                    if node.layer.params:
                        queue.call(node.layer.backward_params, delta)
                    if not to_input and not any(self._learns(name) for name in node.inputs):
                        continue
                    backward = node.layer.backward_input
                    if send is not None and node.layer.weighted:
                        queue.finish()
                        down = send(node.layer, delta)
                    else:
                        named = {}
                        if weight is not None and node.layer.weighted:
                            other = weight(node.layer)
                            named = {} if other is None else {"weight": other}
                        down = queue.call(backward, delta, spare=given_up, **named)
                    if unseen and _is_own(down, backward, delta, given_up is not None):
                        spare.update(node.inputs)
                    shares = down if isinstance(down, tuple) else (down,)
                    if len(shares) != len(node.inputs):
                        raise ValueError(
                            f"{node.layer!r}: expected {len(node.inputs)} gradients, one per input,"
                            f" got {len(shares)}"
                        )
                for source, share in zip(node.inputs, shares, strict=True):
                    if source in signals:
                        queue.finish()
                        with np.errstate(over="ignore", invalid="ignore"):  # as layers do
                            share = signals[source] + share
                    signals[source] = share
                if release:
                    node.layer.forget()
                del delta, given_up, down, shares, share  # so that their memory can be lent again
            queue.finish()
            if release:
                self.release()
        return signals.get(INPUT)

    def release(self) -> None:
        """Let go of all that the last forward pass kept, so that none can go back through it."""
        self._output = None
        for layer in self:
            layer.forget()

    def parameters(self) -> dict[str, Array]:
        """Return {"conv1.W": array, ...} in forward order: the live arrays."""
        return {
            f"{node.name}.{key}": value
            for node in self.nodes
            for key, value in node.layer.params.items()
        }

    def gradients(self) -> dict[str, Array]:
        """Return the last backward pass's gradients, named as the parameters: the live arrays."""
        return {
            f"{node.name}.{key}": value
            for node in self.nodes
            for key, value in node.layer.grads.items()
        }

    def summary(self, input_shape: Shape) -> str:
        """Return a table of layers, output shapes, parameters and multiply-adds per picture.

        A backward pass may still follow the forward pass before.

        Parameters
        ----------
        input_shape : tuple of int
            One picture's shape, without the batch: (32, 32, 3).
        """
        rows = [("layer", "kind", "takes", "output shape", "parameters", "multiply-adds")]
        totals = [0, 0]

        def note(name: str, y: Array) -> None:
            node = self._by_name[name]
            params = sum(value.size for value in node.layer.params.values())
            adds = multiply_adds(node.layer, y.shape)
            totals[0] += params
            totals[1] += adds
            takes, shape = ", ".join(node.inputs), str(y.shape[1:])
            rows.append((name, repr(node.layer), takes, shape, f"{params:,}", f"{adds:,}"))

        twin = copy.copy(self)  # with shallow copies of the layers: ours keep what they kept
        twin.nodes = [replace(node, layer=copy.copy(node.layer)) for node in self.nodes]
        twin.forward(np.zeros((1, *input_shape), np.float32), tap=note)
        rows.append(("total", "", "", "", f"{totals[0]:,}", f"{totals[1]:,}"))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [_line(row, widths) for row in rows]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def __repr__(self) -> str:
        lines = [
            f"  {node.name}: {node.layer!r} of {', '.join(node.inputs)}" for node in self.nodes
        ]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def _repr_html_(self) -> str:
        return _display.network(self)

    def _consumers(self) -> dict[str, int]:
        """Count who takes each output; everything but the last has to lead somewhere."""
        if not self.nodes:
            raise RuntimeError("Network: expected at least one layer, got none; use add(layer)")
        counts = dict.fromkeys([INPUT, *self.names], 0)
        for node in self.nodes:
            for source in node.inputs:
                counts[source] += 1
        for name in self.names[:-1]:
            if not counts[name]:
                raise ValueError(
                    f"Network: expected every layer but the last to be taken by another,"
                    f" got {name}, which nothing takes"
                )
        return counts

    def _check_gradient(self, dy: Array) -> Array:
        """Return dy in the output's dtype, if it fits the last forward pass."""
        if self._output is None:
            raise RuntimeError(
                "Network: backward before forward: expected forward(x, train=True) to have come"
                " first (train=False keeps nothing for a backward pass, and one with release=True"
                " leaves nothing)"
            )
        shape, dtype = self._output
        check_float(dy, "Network: expected dy")
        if dy.shape != shape:
            raise ValueError(f"Network: expected dy of the output's shape {shape}, got {dy.shape}")
        return dy.astype(dtype, copy=False)

    def _learns(self, name: str) -> bool:
        return name != INPUT and self._by_name[name].learns

    @contextmanager
    def _running(self) -> Iterator[Queue]:
        """Draw on the workspace, with BLAS on one thread, if no other thread is in here."""
        with self._workspace.held() as free:
            if not free:
                raise RuntimeError(
                    f"{type(self).__name__}: a network runs in one thread at a time, and another"
                    " thread is running this one; give each thread a copy.deepcopy of it"
                )
            with workspace.using(self._workspace), parallel.single_threaded_blas():
                yield Queue()

    def _default_name(self, layer: Layer) -> str:
        kind = type(layer).__name__.lower().removesuffix("2d")
        number = 1 + sum(type(node.layer) is type(layer) for node in self.nodes)
        while f"{kind}{number}" in self._by_name:
            number += 1
        return f"{kind}{number}"

    def _check_name(self, name: str) -> str:
        if not isinstance(name, str) or not name or set(name) & set(".*?[]") or name == INPUT:
            raise ValueError(
                f'Network.add: expected name as text without any of ".*?[]", not "{INPUT}",'
                f" got {name!r}"
            )
        if name in self._by_name:
            raise ValueError(f"Network.add: expected a new name, got {name!r}, which is taken")
        return name


class Sequential(Network):
    """A chain of layers, each taking what the one before gives.

    Parameters
    ----------
    layers : sequence of Layer
    seed : int, SeedSequence or Generator, optional
        Spawns a different seed for each layer that has none yet; see `Network`.

    Raises
    ------
    TypeError, ValueError
        If `layers` is no sequence of layers, or one of them appears twice.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(3, 8), eln.layers.ELU()], seed=0)
    >>> net.forward(np.ones((5, 3), np.float32)).shape
    (5, 8)
    """

    def __init__(self, layers: Sequence[Layer], seed: Seed = None) -> None:
        super().__init__(seed)
        if not isinstance(layers, Iterable):
            raise TypeError(
                f"Sequential: expected layers as a list of layers, got {layers!r}; one layer is"
                " [layer]"
            )
        for layer in layers:
            self.add(layer)


def multiply_adds(layer: Layer, output_shape: Shape) -> int:
    """Return a weighted layer's multiply-adds per picture: W is used once at each position."""
    if not layer.weighted:
        return 0
    return int(layer.params["W"].size * math.prod(output_shape[1:-1]))


def _is_own(result: Array, function: Callable[..., Any], taken: Array, spare: bool) -> bool:
    """Whether nobody else holds the memory of what a layer returned.

    Of a deferrable pass one knows that it is new, or what was taken, or a view of that, which was
    `spare` or not.
    """
    if not is_deferrable(function) or isinstance(result, tuple):
        return False
    return spare or not np.may_share_memory(result, taken)


def _child(seed: Seed, place: int) -> np.random.SeedSequence:
    """Return the seed of the layer at this place, the same however many others there are."""
    if isinstance(seed, np.random.Generator):
        return np.random.SeedSequence(int(seed.integers(1 << 62)))
    parent = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    key = (*parent.spawn_key, place)
    return np.random.SeedSequence(parent.entropy, spawn_key=key)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Align text to the left and numbers, the last two columns, to the right."""
    text = [cell.ljust(width) for cell, width in zip(cells[:-2], widths[:-2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[-2:], widths[-2:], strict=True)]
    return "  ".join(text + numbers).rstrip()
