"""Layers that compute any span of a batch by itself, and how the engine runs them.

What most layers compute for an image depends on that image only. Such a layer says what happens to
a span of a batch. This file and `elunet.engine` decide which span is computed, when, in which
thread and in which memory. No other file of the layers knows the engine. By hand, a layer's pass is
run at once. A network starts the passes of several layers and has them run together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

import numpy as np

from elunet._types import Array, Shape
from elunet.engine.memory import empty, scratch
from elunet.engine.queue import Queue, over
from elunet.engine.sums import Sum, new_sums, total
from elunet.engine.threads import PRODUCT, get_num_threads, run, workers_for
from elunet.layers.base import Layer

__all__ = [
    "PRODUCT",
    "Pass",
    "Queue",
    "SpanLayer",
    "Split",
    "Started",
    "Sum",
    "Whole",
    "carries",
    "empty",
    "even",
    "get_num_threads",
    "new_sums",
    "run",
    "scratch",
    "starts",
    "total",
    "workers_for",
]

PASSES = ("forward", "backward", "backward_params", "backward_input")
HELPERS = (
    *("start_forward", "start_backward", "start_gradient", "start_rows", "run_backward"),
    *("check", "check_input", "check_gradient", "checked", "parameter", "passes_on", "allocate"),
    *("remember", "keep", "recall", "common", "carried", "output_shape", "settings", "forget"),
)
WATCHED = frozenset({*PASSES, *HELPERS})
_watched = attrgetter(*sorted(WATCHED))


class Split(NamedTuple):
    """How a batch is split where the numbers of the result depend on it, as those of products do.

    Attributes
    ----------
    workers : int
        Shares; 0 where it makes no difference.
    block : int
        How many images of a share are taken at once; 0 where it makes no difference.
    """

    workers: int = 0
    block: int = 0


def even(share: int, most: int) -> int:
    """Return the size of blocks, of at most so many images, that split a share evenly."""
    blocks = -(-share // max(most, 1))
    return -(-share // max(blocks, 1))


class Pass(NamedTuple):
    """What is computed once for a kind of pass.

    Attributes
    ----------
    x_shape : tuple of int
    dtype : numpy.dtype
    settings : object
        The layer's.
    threads : int
    y_shape : tuple of int
    cost : float
        Elementary operations.
    split : Split
    """

    x_shape: Shape
    dtype: np.dtype[Any]
    settings: Any
    threads: int
    y_shape: Shape
    cost: float
    split: Split


class Started(NamedTuple):
    """A forward pass whose work is about to be deferred.

    Attributes
    ----------
    its : Pass
    x, y : array
    arrays : tuple of array
        What `SpanLayer.allocate` returned.
    others : tuple
        What `SpanLayer.common` returned.
    """

    its: Pass
    x: Array
    y: Array
    arrays: tuple[Array, ...]
    others: tuple[Any, ...]


class SpanLayer(Layer):
    """A layer that computes every image of a batch by itself.

    A subclass says so for itself, ``class MyLayer(SpanLayer, spans=True)``, and defines
    `forward_span` and `backward_span`. In a network, the passes of such layers are run together, so
    its other methods (`check`, `allocate` and `common` among them) get arrays that need not have
    their numbers yet. A subclass that does not say ``spans=True``, and a layer one of whose methods
    was replaced, are run as every layer is: pass by pass. Layers with parameters are `Weighted`, or
    custom layers.

    Examples
    --------
    A layer that subtracts the mean of each image's pixels:

    >>> import numpy as np
    >>> import elunet as eln
    >>> class Centered(eln.layers.SpanLayer, spans=True):
    ...     def forward_span(self, x, y):
    ...         np.subtract(x, x.mean(axis=(1, 2), keepdims=True), out=y)
    ...
    ...     def backward_span(self, dy, dx):
    ...         self.forward_span(dy, dx)
    >>> eln.testing.check_layer(Centered(), np.arange(12.0).reshape(1, 2, 2, 3))
    Centered(): ok
    array  max abs error  max rel error  entries checked
    dx     ...            ...            12 of 12
    """

    in_place: bool = False
    """Whether y may overwrite x, since each number of y depends only on the number in its place."""

    _methods: ClassVar[tuple[Callable[..., Any], ...]] = ()
    _pass: Pass | None = None  # of the last forward pass
    passed_on = False  # whether its y was x itself

    def __init_subclass__(cls, spans: bool = False, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        own = [name for name in PASSES if not _is_ours(getattr(cls, name))]
        if spans and own:
            raise TypeError(
                f"{cls.__name__}: expected forward_span and backward_span with spans=True,"
                f" got also {', '.join(own)}; without spans=True the class may define these"
            )
        cls._methods = _watched(cls) if spans else ()

    # What a layer defines.

    def check(self, x: Array) -> Array:
        """Return x C-contiguous, after checking that it fits."""
        return self.check_input(x, ("N", ...))

    def settings(self) -> Any:
        """Return the attributes on which shapes, cost and split depend, besides x's shape."""
        return None

    def output_shape(self, x_shape: Shape) -> Shape:
        """Return y's shape."""
        return x_shape

    def passes_on(self, train: bool) -> bool:
        """Return whether y is x itself, in y's shape."""
        return False

    def allocate(self, x: Array, y: Array) -> tuple[Array, ...]:
        """Return what both passes share, besides x and y: arrays with a row for each image."""
        return ()

    def needed_rows(self, start: int, stop: int) -> tuple[int, int] | None:
        """Return which rows of an image some rows of y are made of; None if it is not so simple."""
        return None

    def common(self, x: Array) -> tuple[Any, ...]:
        """Return further arguments of `forward_span`, the same for all images."""
        return ()

    def remember(self, x: Array, arrays: tuple[Array, ...]) -> None:
        """Keep what the backward pass needs: by default what `allocate` returned."""
        self.keep(*arrays)

    def carried(self, weight: Array | None) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        """Return what `backward_span` needs: arrays with a row for each image, and the rest."""
        return self.recall(), ()

    def forward_span(self, *arrays: Any, **named: Any) -> None:
        """Write y of some images, given x, y and what `allocate` and `common` returned.

        Where `in_place` is true, y may be x.
        """
        raise NotImplementedError(f"{self!r}: a layer has to define forward_span(x, y)")

    def backward_span(self, *arrays: Any, **named: Any) -> None:
        """Write dx of some images, given dy, dx and what `carried` returned.

        Where `in_place` is true, dx may be dy.
        """
        raise NotImplementedError(f"{self!r}: a layer has to define backward_span(dy, dx)")

    def cost(self, x_shape: Shape, y_shape: Shape) -> float:
        """Return the elementary operations of a pass: numbers read, computed and written."""
        return max(math.prod(x_shape), math.prod(y_shape))

    def split(self, x_shape: Shape, dtype: np.dtype[Any]) -> Split:
        """Return how to split a batch; it may depend on the layer's own shapes only."""
        return Split()

    # The passes, run at once.

    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y, and keep what the backward pass needs."""
        queue = Queue()
        y = self.start_forward(queue, x, train, fresh=True)
        queue.finish()
        return y

    def backward_input(self, dy: Array) -> Array:
        """Return dx, of x's shape."""
        return self.run_backward(dy)

    def run_backward(self, dy: Array, weight: Array | None = None) -> Array:
        """Return dx; `weight` may stand in for W."""
        queue = Queue()
        dx = self.start_backward(queue, dy, weight)
        queue.finish()
        return dx

    # The passes, started: what they return is not computed before the queue has been finished.

    def start_forward(
        self,
        queue: Queue,
        x: Array,
        train: bool = False,
        donated: bool = False,
        fresh: bool = False,
    ) -> Array:
        """Return y, and defer the work that writes it; x need not have its numbers yet.

        Parameters
        ----------
        queue : Queue
        x : array
        train : bool
        donated : bool
            Whether y may be written over x.
        fresh : bool
            Whether to check x even if it is of the last pass's shape and dtype.
        """
        x, its = self._checked_input(x, fresh)
        self.passed_on = self.passes_on(train)
        if self.passed_on:
            self.keep()
            return x.reshape(its.y_shape)
        y = x if donated and self.in_place else empty(its.y_shape, its.dtype)
        arrays = self.allocate(x, y)
        if self._methods:
            self.remember(x, arrays)
        else:  # of a subclass, which may want to see numbers
            queue.afterwards.append((partial(self.remember, x, arrays), None))
        others = self.common(x)
        alone = its.y_shape[0] <= 1
        if not (alone and self.start_rows(queue, Started(its, x, y, arrays, others))):
            _start(queue, its, self.forward_span, x, y, arrays, others)
        return y

    def start_rows(self, queue: Queue, started: Started) -> bool:
        """Defer the work for one image alone, split over its rows; False if that cannot be.

        Where `needed_rows` says on which rows of x some rows of y depend, they are a span too.
        """
        its, x, y, arrays, others = started
        if its.threads == 1 or len(its.y_shape) != 4 or self.needed_rows(0, 1) is None:
            return False

        def work(start: int, stop: int, worker: int) -> None:
            first, last = self.needed_rows(start, stop)  # type: ignore[misc]  # not None
            rows = [array[:, start:stop] for array in (y, *arrays)]
            self.forward_span(rows[0] if x is y else x[:, first:last], *rows, *others)

        queue.add(work, its.y_shape[1], its.cost, apart=not self.pointwise)
        return True

    def _checked_input(self, x: Array, fresh: bool) -> tuple[Array, Pass]:
        """Return x, checked, and what was computed for a pass like this."""
        its, settings, threads = self._pass, self.settings(), get_num_threads()
        if (
            not fresh
            and its is not None
            and type(x) is np.ndarray
            and x.shape == its.x_shape
            and x.dtype is its.dtype
            and x.flags.c_contiguous
            and settings == its.settings
            and threads == its.threads
        ):
            return x, its
        x = self.check(x)
        shape, dtype = x.shape, x.dtype
        y_shape = self.output_shape(shape)
        cost, split = self.cost(shape, y_shape), self.split(shape, dtype)
        its = self._pass = Pass(shape, dtype, settings, threads, y_shape, cost, split)
        return x, its

    def start_backward(
        self, queue: Queue, dy: Array, weight: Array | None = None, donated: bool = False
    ) -> Array:
        """Return dx, and defer the work that writes it.

        Parameters
        ----------
        queue : Queue
        dy : array
        weight : array, optional
            Stands in for W.
        donated : bool
            Whether dx may be written over dy.
        """
        arrays, others = self.carried(weight)
        dy, its = self.checked(dy)
        if self.passed_on:
            return dy.reshape(its.x_shape)
        dx = dy if donated and self.in_place else empty(its.x_shape, its.dtype)
        _start(queue, its, self.backward_span, dy, dx, arrays, others)
        return dx

    def checked(self, dy: Array) -> tuple[Array, Pass]:
        """Return dy, checked, and what is known of the pass to which it belongs."""
        its = self._pass
        if its is None:
            raise RuntimeError(
                f"{self!r}: expected a forward pass of this layer before the backward pass, got"
                " none"
            )
        return self.check_gradient(dy, its.y_shape, its.dtype), its

    def start_gradient(self, queue: Queue, dy: Array) -> None:
        """Defer the work that fills `grads`."""
        queue.finish()
        self.backward_params(dy)


def _start(
    queue: Queue,
    its: Pass,
    function: Callable[..., None],
    source: Array,
    target: Array,
    arrays: tuple[Array, ...],
    others: tuple[Any, ...],
) -> None:
    """Defer a call of the function with spans of some arrays, and with the others whole."""
    if target is source:
        work = over(partial(_in_place, function), (target, *arrays), *others)
    else:
        work = over(function, (source, target, *arrays), *others)
    queue.add(work, len(target), its.cost, *its.split)


def _in_place(function: Callable[..., None], array: Array, *rest: Any) -> None:
    function(array, array, *rest)


class Whole:
    """Any other layer: earlier work is finished first, and its own work is done at once."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def start_forward(self, queue: Queue, x: Any, train: bool, donated: bool) -> Any:
        """Return y."""
        queue.finish()
        return self.layer.forward(x, train)

    def start_gradient(self, queue: Queue, dy: Array) -> None:
        """Fill the layer's grads."""
        queue.finish()
        passed = self.layer._passed
        self.layer.backward_params(dy)
        self.layer._passed = passed  # even if it ran its own forward again, to save memory

    def start_backward(self, queue: Queue, dy: Array, weight: Array | None, donated: bool) -> Any:
        """Return dx, or a tuple with one for each input."""
        queue.finish()
        passed, named = self.layer._passed, {} if weight is None else {"weight": weight}
        dx = self.layer.backward_input(dy, **named)
        self.layer._passed = passed
        return dx


def carries(layer: Layer, starts: bool) -> bool:
    """Return whether a layer's y may be in the memory of x, given whether a network starts it."""
    views = getattr(type(layer), "passes_on", None) is not SpanLayer.passes_on
    return not starts or views or bool(getattr(layer, "in_place", False))


def starts(layers: Iterable[Layer]) -> tuple[bool, ...]:
    """Return for each layer whether a network may defer its passes and run them with others.

    A class has to say so itself, and no method that gets arrays before they have their numbers may
    have been replaced since, in the class or in the layer.
    """
    kinds: dict[type, bool] = {}
    found = []
    for layer in layers:
        kind = type(layer)
        as_made = kinds.get(kind)
        if as_made is None:
            methods = kind.__dict__.get("_methods")
            as_made = kinds[kind] = bool(methods) and _watched(kind) == methods
        found.append(as_made and WATCHED.isdisjoint(layer.__dict__))
    return tuple(found)


def _is_ours(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).startswith("elunet.layers")
