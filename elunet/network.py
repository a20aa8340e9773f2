"""Networks: passes through a graph of layers, and the one backward walk of all learning rules.

`forward` goes through the layers in the order in which they were added; `walk` goes back and asks
its caller two things only: what arrives at a layer's output, and what a layer sends back. Backprop
and every other learning rule is an answer to these two questions.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import numpy as np

from elunet import _display
from elunet._checks import integer
from elunet._group import ALONE
from elunet._group import Alone as Ungrouped
from elunet._quiet import quiet
from elunet._types import Array, Seed, Shape
from elunet.engine import plan
from elunet.engine.memory import LEAVING, SMALL, Workspace, current
from elunet.engine.queue import Queue
from elunet.engine.threads import blas_limit
from elunet.engine.turns import HOLDER, Alone, Passed, Turn, Turns
from elunet.graph import INPUT, LayerGraph, Node
from elunet.layers import twins
from elunet.layers.base import Layer, as_dtype, check_float, describe
from elunet.layers.spans import Whole

Tap = Callable[[str, Array], None]
Result = TypeVar("Result")

Arrive = Callable[[Layer, Array], Array]
"""``arrive(layer, dy)`` returns the signal at a layer's output, given the sum of what was sent."""

Send = Callable[[Layer, Array], Array]
"""``send(layer, dy)`` returns the signal that a weighted layer sends back."""

Learn = Callable[[Layer, Array], None]
"""``learn(layer, dy)`` fills the layer's grads from the signal at its output."""

Weight = Callable[[Layer], Array | None]
"""``weight(layer)`` returns the matrix that replaces W in the backward pass; None for W itself."""


class _Running(Turn):
    """A pass through a network, by one thread: its queue, and which layer is at work."""

    node: Node | None = None

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()

    def at(self, node: Node | None) -> None:
        """Note which layer is at work from here on."""
        self.node = self.queue.owner = node


class Network(LayerGraph):
    """A graph of named layers; each layer's inputs were added before it.

    ``net["conv1"]`` is a layer, ``"conv1" in net`` asks for one, and ``for layer in net`` goes
    through all in forward order. A network runs in one Python thread at a time.

    A layer that is added twice shares its weights between both places: the second one gets a twin
    with the same ``params``, ``state`` and generator. Arrays are named after the first place, and
    their gradient is the sum over all places.

    Parameters
    ----------
    seed : int, SeedSequence or Generator, optional
        From it each layer that has no seed yet gets one of its own, by its place in the network,
        and draws its weights again. Layers of an earlier network have theirs, and keep what they
        learned. Weights that were assigned by hand to a layer without a seed are drawn over: assign
        them after the layer was added, or leave the seed out.

    Raises
    ------
    TypeError, ValueError
        If `seed` is not a valid seed.

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

    group: Ungrouped = ALONE
    """The processes that compute a batch; the processes of a group sum their gradients."""

    def __init__(self, seed: Seed = None) -> None:
        super().__init__(seed)
        self._workspace = Workspace()
        self._turn = Turns()
        self._output: tuple[tuple[Shape, np.dtype[Any]], ...] | None = None
        self._passed: Passed | None = None  # whose output it is
        self.shapes: dict[str, Shape] = {}

    def _changed(self) -> None:
        """Refuse a backward pass through a forward pass of a different graph."""
        super()._changed()
        self._output = None

    @property
    def passed(self) -> object:
        """An object that identifies the last forward pass that was kept."""
        return self._passed

    @property
    def can_go_back(self) -> bool:
        """Whether the layers still have what a backward pass needs."""
        return self._output is not None

    def forward(
        self,
        x: Array,
        train: bool = False,
        tap: Tap | None = None,
        keep: bool | None = None,
        add: Mapping[str, Array] | None = None,
    ) -> Array:
        """Return the last layer's output; a tuple if there are several `outputs`.

        Parameters
        ----------
        x : float array
            Its dtype rules the computation: float64 in, float64 out.
        train : bool, default False
            Whether layers behave as in training.
        tap : callable, optional
            ``tap(name, y)`` is shown every layer's output; it must not write into it.
        keep : bool, optional
            Whether layers keep what a backward pass needs, by default `train`. With ``train=False``
            the backward pass is that of evaluation: no dropout, running statistics. Adversarial
            images are made with it.
        add : dict of str to array, optional
            By layer name, what is added to that layer's output, of its shape: noise, for rules that
            perturb units.

        Raises
        ------
        TypeError, ValueError
            If x or what is added does not fit; the message names the layer and its place.
        RuntimeError
            If the network has no layer, or is running in another thread.
        """
        check_float(x, "Network: expected x")
        keep = train if keep is None else bool(keep)
        if add and (unknown := sorted(set(add) - set(self.names))):
            raise ValueError(f"Network: expected names in add among {self.names}, got {unknown}")
        if self._turn.holder and not (train or keep) and self._turn.within():
            return self.aside().forward(x, tap=tap, add=add)  # the pass around it is left alone
        return self._run(self._forward, x, train, tap, keep, add or {})

    def _forward(
        self,
        its: _Running,
        x: Array,
        train: bool,
        tap: Tap | None,
        keep: bool,
        add: Mapping[str, Array],
    ) -> Array:
        """Go through the layers."""
        values: dict[str, Array] = {INPUT: x}
        shapes = {INPUT: x.shape}
        owned = set[str]()  # whose outputs only the layer that takes them will look at
        self._turn.forward_begins(keep)
        self.release()  # so that the last pass's memory can be reused
        its.passed = passed = Passed()
        try:
            for turn in self.turns(plan.forward, tap is not None, self.outputs):
                node = self.nodes[turn.stage]
                its.at(node)
                name, layer, inputs, _, home = node
                if home != name:
                    twins.follow(layer, self._by_name[home].layer)
                runner = layer if turn.starts else Whole(layer)
                taken: Any = values[inputs[0]]
                if len(inputs) > 1:
                    taken = tuple([values[source] for source in inputs])
                donated = inputs[0] in owned
                current.least = LEAVING if turn.leaves else SMALL
                other = layer._passed
                if other is not None and other is not passed and other.running:
                    raise self._taken(layer)
                layer._passed = passed
                y = runner.start_forward(its.queue, taken, train, donated)
                layer._passed = passed
                if not isinstance(y, np.ndarray):
                    raise TypeError(f"{layer!r}: expected forward to return an array, {_got(y)}")
                if name in add:
                    its.queue.finish()
                    y = _perturbed(y, add[name])
                its.at(None)
                if not keep:
                    layer.forget()
                if turn.donates and (donated or not layer.passed_on) and not layer.keeps(y):
                    owned.add(name)
                values[name], shapes[name] = y, y.shape
                if tap is not None:
                    its.queue.finish()
                    tap(name, y)
                del taken  # so that the memory of what nobody needs can be reused
                for source in turn.last:
                    del values[source]
            its.queue.finish()
        finally:
            passed.running = False
        self.shapes = shapes
        ys = tuple([values[name] for name in self.outputs])
        if keep:
            self._output, self._passed = tuple([(y.shape, y.dtype) for y in ys]), passed
        return ys if len(ys) > 1 else ys[0]  # type: ignore[return-value]  # if outputs are set

    def __call__(self, x: Array) -> Array:
        """Return ``forward(x)``."""
        return self.forward(x)

    def predict(self, x: Array, batch_size: int = 100) -> Array:
        """Return the output for x, computed in batches of `batch_size`, nothing kept."""
        batch_size = integer("Network.predict", "batch_size", batch_size)
        if len(x) <= batch_size:
            return self.forward(x)
        starts = range(0, len(x), batch_size)
        batches = [self.forward(x[i : i + batch_size]) for i in starts]
        if len(self.outputs) > 1:
            return tuple(map(np.concatenate, zip(*batches, strict=True)))  # type: ignore[return-value]
        return np.concatenate(batches)

    def backward(self, dy: Array | tuple[Array, ...]) -> Array:
        """Backpropagate: fill every layer's grads from dL/dy and return dL/dx.

        With several `outputs` dy is a tuple: the loss is a sum of terms, each with the gradient at
        one output, and a term's factor is a factor of its gradient.

        Raises
        ------
        RuntimeError
            If no ``forward(x, train=True)`` came before.
        """
        dx = self.walk(dy, to_input=True)
        return dx  # type: ignore[return-value]  # down to the input, so it is there

    def jvp(self, tangents: Mapping[str, Array]) -> Array:
        """Return the output's derivative along a direction: forward-mode differentiation.

        It is the Jacobian's product with the direction, at the last ``forward(x, train=True)``,
        found in one forward pass. `backward` is the product from the other side.

        Parameters
        ----------
        tangents : dict of str to array
            What moves, and how: parameters by name ("conv1.W"), a layer's output by the layer's
            name ("conv1": noise there), and the network's input ("input"), each of its own shape.
            What is not named does not move by itself.

        Returns
        -------
        array
            Of the output's shape; a tuple if there are several `outputs`.

        Raises
        ------
        RuntimeError
            If no ``forward(x, train=True)`` came before.
        TypeError, ValueError
            If a name is not known, or an array does not fit.
        NotImplementedError
            If a layer has no `tangent`.

        References
        ----------
        Baydin, Pearlmutter, Radul, Siskind, "Automatic Differentiation in Machine Learning: a
        Survey", JMLR 18, 2018.

        Examples
        --------
        >>> import numpy as np
        >>> import elunet as eln
        >>> net = eln.Sequential([eln.layers.Linear(2, 1, bias=False)])
        >>> y = net.forward(np.array([[1.0, 2.0]]), train=True)
        >>> net.jvp({"linear1.W": np.array([[10.0], [1.0]])})
        array([[12.]])
        """
        return self._run(self._jvp, tangents)

    def _jvp(self, its: _Running, tangents: Mapping[str, Array]) -> Array:
        """Carry the tangents through the layers, from the input to the output."""
        if self._output is None:
            raise _before_forward("jvp")
        moving, dtype = dict[str, Array](), self._output[0][1]
        known = {INPUT, *self.names, *self.parameters()}
        if unknown := sorted(set(tangents) - known):
            raise ValueError(
                f"Network: expected names in tangents among {sorted(known)}, got {unknown}"
            )

        def given(name: str, shape: Shape) -> Array:
            check_float(value := tangents[name], f'Network: expected tangents["{name}"]')
            if value.shape != shape:
                raise ValueError(
                    f'Network: expected tangents["{name}"] of shape {shape}, got {value.shape}'
                )
            return as_dtype(value, dtype)

        if INPUT in tangents:
            moving[INPUT] = given(INPUT, self.shapes[INPUT])
        for name, layer, inputs, _, home in self.nodes:
            if layer._passed is not self._passed:
                raise self._not_its_own(self._by_name[name])
            own = {
                key: given(f"{home}.{key}", value.shape)
                for key, value in layer.params.items()
                if f"{home}.{key}" in tangents
            }
            its.at(self._by_name[name])
            dx: Any = moving.get(inputs[0])
            if len(inputs) > 1 and not moving.keys().isdisjoint(inputs):
                dx = tuple(
                    moving[source] if source in moving else np.zeros(self.shapes[source], dtype)
                    for source in inputs
                )
            if dx is not None or own:
                moving[name] = layer.tangent(dx, own)
            its.at(None)
            if name in tangents:
                added = given(name, self.shapes[name])
                moving[name] = _sum(moving[name], added) if name in moving else added
        ys = [
            moving.get(name, np.zeros(shape, dtype))
            for name, (shape, dtype) in zip(self.outputs, self._output, strict=True)
        ]
        return tuple(ys) if len(ys) > 1 else ys[0]  # type: ignore[return-value]

    def walk(
        self,
        dy: Array | tuple[Array, ...],
        arrive: Arrive | None = None,
        send: Send | None = None,
        weight: Weight | None = None,
        tap: Tap | None = None,
        to_input: bool = False,
        release: bool = False,
        learn: Learn | None = None,
    ) -> Array | None:
        """Carry the loss gradient back through the graph: the one walk of all learning rules.

        It sums where a path splits, fills each layer's grads from the signal at its output, and
        skips what no parameter depends on.

        Parameters
        ----------
        dy : array
            dL/dy at the network's output; a tuple of them if there are several `outputs`.
        arrive : callable, optional
            ``arrive(layer, dy)`` returns the signal at the layer's output, given the sum of what
            was sent; by default just that.
        send : callable, optional
            ``send(layer, dy)`` returns what a weighted layer sends back. Layers without a weight
            send ``backward_input(dy)``, and by default so do all.
        weight : callable, optional
            Without `send`: ``weight(layer)`` returns the matrix that replaces W in the backward
            pass of a weighted layer, or None. It may not look at signals, which need not be
            computed yet.
        tap : callable, optional
            ``tap(name, dy)`` is shown every signal that arrives; it must not write into it.
        to_input : bool, default False
            Whether to go back to the network's input and return the gradient there.
        release : bool, default False
            Whether each layer releases what forward kept when its turn is over. That takes less
            memory, and no other backward pass can follow before the next forward pass.
        learn : callable, optional
            ``learn(layer, dy)`` fills the grads of a layer with parameters, by default
            ``layer.backward_params(dy)``.

        Returns
        -------
        array or None
            The gradient at the network's input, None without `to_input`.

        Raises
        ------
        RuntimeError
            If no ``forward(x, train=True)`` came before, or the network is running in another
            thread.
        TypeError, ValueError
            If dy does not fit, or a layer raised one; the message names the layer and its place.
        """
        return self._run(self._walk, dy, arrive, send, weight, tap, to_input, release, learn)

    def _walk(
        self,
        its: _Running,
        dy: Array | tuple[Array, ...],
        arrive: Arrive | None,
        send: Send | None,
        weight: Weight | None,
        tap: Tap | None,
        to_input: bool,
        release: bool,
        learn: Learn | None,
    ) -> Array | None:
        """Go back through the layers."""
        dys = self._check_gradient(dy)
        del dy
        turns = self.turns(plan.backward, to_input)
        for turn in turns:  # before anything is computed
            if self.nodes[turn.stage].layer._passed is not self._passed:
                raise self._not_its_own(self.nodes[turn.stage])
        if self._turn.backward_begins():
            for layer in self:
                layer.grads = {}  # another thread may still have the arrays
        signals = dict(zip(self.outputs, dys, strict=True))
        owned = set[str]()  # at whose outputs nobody else will look at the signal
        unseen = tap is None and arrive is None
        learning = [self.nodes[turn.stage].layer for turn in turns]
        learning = [layer for layer in learning if layer.params]
        summing = self.group.summing(learning, dys[0].dtype)
        del dys
        for turn in turns:
            node = self.nodes[turn.stage]
            its.at(node)
            name, layer, inputs = node[:3]
            runner = layer if turn.starts else Whole(layer)
            delta = signals.pop(name)
            if arrive is not None:
                its.queue.finish()
                delta = arrive(layer, delta)
            if tap is not None:
                its.queue.finish()
                its.at(None)
                tap(name, delta)
                its.at(node)
            if layer._passed is not self._passed:  # after the tap, which may run anything
                raise self._not_its_own(node)
            current.least = LEAVING if turn.leaves else SMALL
            if layer.params and learn is not None:
                its.queue.finish()
                learn(layer, delta)
            elif layer.params:
                runner.start_gradient(its.queue, delta)
            if turn.sends and send is not None and layer.weighted:
                its.queue.finish()
                down = send(layer, delta)
                self._deliver(its.queue, signals, node, down, to_input, "the rule's send")
                del down
            elif turn.sends:
                other = weight(layer) if weight is not None and layer.weighted else None
                donated = name in owned
                down = runner.start_backward(its.queue, delta, other, donated)
                if turn.starts and unseen and (donated or not layer.passed_on):
                    owned.update(inputs)
                self._deliver(its.queue, signals, node, down, to_input)
                del down
            if summing is not None:
                if summing.fills(layer):
                    its.queue.finish()
                    summing.send()
                summing.poll()
            its.at(None)
            if release:
                layer.forget()
            del delta  # so that its memory can be reused
        its.queue.finish()
        if summing is not None:
            summing.wait()
        self._gather()
        if release:
            self.release()
        return signals.get(INPUT)

    def _gather(self) -> None:
        """Add the gradients of shared layers to those of their homes."""
        for node in self.nodes:
            if node.shared:
                grads = self._by_name[node.home].layer.grads
                for key, share in node.layer.grads.items():
                    grads[key] = _sum(grads[key], share)

    def alone(self) -> Alone:
        """Keep other threads out inside a block: ``with net.alone(): ...``.

        What another thread tries meanwhile is refused, as it is within a single pass. So a thread
        can keep a whole step to itself: forward, backward, what it does with the gradients.

        Raises
        ------
        RuntimeError
            On entering, if another thread is running the network.
        """
        return Alone(self._turn, type(self).__name__)

    def stepping(self, step: Callable[[], None]) -> None:
        """Keep other threads out while an optimizer's step uses the gradients.

        The step changes the parameters, so what another thread's forward pass kept is invalid.
        """
        with self.alone():
            step()
            self._turn.stepped()

    def _run(self, body: Callable[..., Result], *arguments: Any) -> Result:
        """Run a pass: in one thread at a time, in the network's memory, BLAS on one thread.

        An error gets the name and place of the layer at work. At the end, everything is restored,
        whatever happened, by operations that no interrupt can break (see `elunet.engine.threads`).
        """
        its, blas, turns = _Running(), blas_limit(), self._turn
        first, workspace, least = not blas.mine[0], current.workspace, current.least
        try:
            turns.begin(its, type(self).__name__)
            if first:
                blas.set()
            current.workspace = self._workspace
            return body(its, *arguments)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise self._named(its, error) from error
        finally:
            current.workspace, current.least = workspace, least
            if HOLDER in turns.holder:
                if turns.holder[HOLDER].busy is its:
                    turns.holder[HOLDER].busy = None
                if turns.holder[HOLDER] is its:
                    del turns.holder[HOLDER]
            if first:
                blas.restore()

    def _named(self, its: _Running, error: Exception) -> Exception:
        """Return an error of the same class that names the layer at work."""
        node = its.queue.failed or its.node
        if node is None:
            return error
        place = self.nodes.index(node) + 1
        where = f"layer {place} of {len(self)}, after {', '.join(node.inputs)}"
        text = f"{node.name} ({where}): {error}"
        try:
            return type(error)(text)
        except Exception:  # its class is made from other things than a text
            return TypeError(text) if isinstance(error, TypeError) else ValueError(text)

    @staticmethod
    def _taken(layer: Layer) -> RuntimeError:
        return RuntimeError(
            f"Network: expected {layer!r} to be run by one network at a time, and another one is"
            " running it; give it a copy.deepcopy of the layer"
        )

    @staticmethod
    def _not_its_own(node: Node) -> RuntimeError:
        return RuntimeError(
            "Network: backward goes back through this network's last forward pass, but"
            f" {node.name}, {node.layer!r}, has run another forward pass since (by hand, or in"
            " another network); run forward(x, train=True) again"
        )

    def aside(self) -> Self:
        """Return a twin for additional passes, which do not change this network.

        It shares the parameters: the arrays in ``params``. What layers keep for a backward pass,
        their gradients, statistics and generators are its own, the last two as they are now here. A
        learning rule that runs the network several times in a step does so in twins, so that what
        it does not use itself is as if it had run once.

        What a layer has that cannot be copied (a lock, a file) is shared.
        """
        twin = copy.copy(self)
        layers = twins.aside(self.layers)
        twin.nodes = [n._replace(layer=its) for n, its in zip(self.nodes, layers, strict=True)]
        twin._by_name = {node.name: node for node in twin.nodes}
        twin._workspace, twin._turn, twin._plans = Workspace(), Turns(), {}
        return twin

    def _deliver(
        self,
        queue: Queue,
        signals: dict[str, Array],
        node: Node,
        down: Any,
        to_input: bool,
        author: str = "backward_input",
    ) -> None:
        """Add what a layer, or a rule's `send`, sent back to the signals of the layer's inputs.

        Without `to_input` not all of the input's signal would come together, so none of it is kept.
        """
        shares = down if isinstance(down, tuple) else (down,)
        if len(shares) != len(node.inputs):
            raise ValueError(
                f"{node.layer!r}: expected {len(node.inputs)} gradients, one per input, got"
                f" {len(shares)}"
            )
        for source, share in zip(node.inputs, shares, strict=True):
            if source == INPUT and not to_input:
                continue
            if not isinstance(share, np.ndarray):
                raise TypeError(
                    f"{node.layer!r}: expected {author} to return an array, {_got(share)}"
                )
            if share.shape != self.shapes[source]:
                raise ValueError(
                    f"{node.layer!r}: expected {author} to return an array of the layer's input"
                    f" shape, {self.shapes[source]}, {_got(share)}"
                )
            if source in signals:
                queue.finish()
                share = _sum(signals[source], share)
            signals[source] = share

    def release(self) -> None:
        """Release all that the last forward pass kept; no backward pass can follow."""
        self._output = None
        for layer in self:
            layer.forget()

    def gradients(self) -> dict[str, Array]:
        """Return the last backward pass's gradients, named as the parameters: the live arrays.

        Raises
        ------
        RuntimeError
            If another thread has run a backward pass since this one's.
        """
        self._turn.check_gradients()
        found = {
            f"{node.name}.{key}": value
            for node in self.homes
            for key, value in node.layer.grads.items()
        }
        self._turn.check_gradients()
        return found

    def summary(self, input_shape: Shape) -> str:
        """Return a table of layers, output shapes, parameters and multiply-adds per image.

        A backward pass may still follow the forward pass before.

        Parameters
        ----------
        input_shape : tuple of int
            One image's shape, without the batch: (32, 32, 3).
        """
        rows = [("layer", "kind", "takes", "output shape", "parameters", "multiply-adds")]
        totals = [0, 0]

        def note(name: str, y: Array) -> None:
            node = self._by_name[name]
            params = sum(value.size for value in node.layer.params.values() if not node.shared)
            adds = multiply_adds(node.layer, y.shape)
            totals[0] += params
            totals[1] += adds
            takes, shape = ", ".join(node.inputs), str(y.shape[1:])
            rows.append((name, node.about, takes, shape, f"{params:,}", f"{adds:,}"))

        try:
            self.aside().forward(np.zeros((1, *input_shape), np.float32), tap=note)
        except ValueError:
            self._refuse_batch(input_shape)
            raise
        rows.append(("total", "", "", "", f"{totals[0]:,}", f"{totals[1]:,}"))
        return _display.Text(_display.text_table(rows, numbers=2))

    def _refuse_batch(self, input_shape: Shape) -> None:
        """Raise a ValueError that says so if the shape is one example's with a batch before it."""
        try:
            self.aside().forward(np.zeros((1, *input_shape[1:]), np.float32))
        except ValueError:
            return
        raise ValueError(
            f"{type(self).__name__}.summary: expected the shape of one example,"
            f" {tuple(input_shape[1:])}, got that of a batch, {tuple(input_shape)}"
        )

    def _check_gradient(self, dy: Any) -> list[Array]:
        """Return dy at each output, in the output's dtype, if it fits the last forward pass."""
        if self._output is None:
            raise _before_forward("backward")
        several = len(self._output) > 1
        if several and (not isinstance(dy, tuple) or len(dy) != len(self._output)):
            got = f"{len(dy)}" if isinstance(dy, tuple) else type(dy).__name__
            raise TypeError(
                f"Network: expected dy as a tuple of {len(self._output)} gradients, at the outputs"
                f" {', '.join(self.outputs)}, got {got}"
            )
        dys = []
        for place, ((shape, dtype), one) in enumerate(
            zip(self._output, dy if several else (dy,), strict=True)
        ):
            name, owner = (f"dy[{place}]", self.outputs[place]) if several else ("dy", "the output")
            check_float(one, f"Network: expected {name}")
            if one.shape != shape:
                raise ValueError(
                    f"Network: expected {name} of {owner}'s shape {shape}, got {one.shape}"
                )
            dys.append(one if one.dtype == dtype else as_dtype(one, dtype))
        return dys


class Sequential(Network):
    """A chain of layers: each takes the output of the previous one.

    Parameters
    ----------
    layers : sequence of Layer
    seed : int, SeedSequence or Generator, optional
        Spawns a different seed for each layer that has none yet; see `Network`.

    Raises
    ------
    TypeError, ValueError
        If `layers` is not a sequence of layers.

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
    """Return a weighted layer's multiply-adds per image: each output takes a column of W."""
    if not layer.weighted:
        return 0
    W = layer.params["W"]
    return int(W.size // W.shape[-1] * math.prod(output_shape[1:]))


def _before_forward(what: str) -> RuntimeError:
    return RuntimeError(
        f"Network: expected forward(x, train=True) before {what}, got none (train=False keeps"
        " nothing for a backward pass, and release=True nothing for a second one)"
    )


def _got(value: Any) -> str:
    """Describe what a custom layer's method returned."""
    return f"got {value!r}; is a `return` missing?" if value is None else f"got {describe(value)}"


@quiet
def _perturbed(y: Array, noise: Array) -> Array:
    check_float(noise, "expected add")
    if noise.shape != y.shape:
        raise ValueError(f"expected add of shape {y.shape}, got {noise.shape}")
    return np.asarray(y + noise, y.dtype)


@quiet
def _sum(a: Array, b: Array) -> Array:
    total: Array = a + b
    return total
