"""What all optimizers share; a rule is one method, `update`.

A step reads a network's parameters and gradients by name, checks all of them before it touches
any, clips, adds the penalties, and lets the rule change each parameter in place. A number such as
the learning rate may be a schedule.
What a rule remembers (momentum) is in ``buffers`` by parameter name; with the counters ``steps``
and ``epoch`` it makes up the `state`.

A rule may have a compiled twin, `fused`, which does clipping, penalties and `update` in one pass.
It is taken for ordinary arrays. Since the arrays are the same from step to step, they are checked
and laid flat once, and a step looks only at whether they still are what they were (`_Bound`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from operator import call, is_
from typing import Any, ClassVar, Protocol

import numpy as np

from elunet._checks import choice, count, number, plain
from elunet._quiet import quiet
from elunet._reprs import as_made
from elunet._types import Array, Shape
from elunet.kernels.products import sum_of_squares

__all__ = ["Fused", "Optimizer", "Parametrized", "Scheduled", "global_norm", "matches"]

Arrays = Mapping[str, Array]
Scheduled = float | Callable[[float], float]
"""A number, or a schedule that returns it for a time."""
Fused = tuple[Callable[..., None], tuple[float, ...]]
"""A kernel and its numbers, for ``kernel(w, g, *state, *numbers, scale, l2, l1)``, flat arrays."""

PER = ("step", "epoch")
COMPILED = (np.dtype(np.float32), np.dtype(np.float64))


class Parametrized(Protocol):
    """What an optimizer needs from a network, or from a router that learns.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> class Point:
    ...     # where x^2 + y^2 is to become small
    ...     w = np.array([3.0, -1.0])
    ...
    ...     def parameters(self):
    ...         return {"point.W": self.w}
    ...
    ...     def gradients(self):
    ...         return {"point.W": 2 * self.w}
    >>> point = Point()
    >>> eln.optim.SGD(lr=0.25).step(point)
    >>> point.w
    array([ 1.5, -0.5])
    """

    def parameters(self) -> Arrays:
        """Return the live arrays by name."""
        ...

    def gradients(self) -> Arrays:
        """Return their gradients by the same names."""
        ...


def global_norm(arrays: Iterable[Array]) -> float:
    """Return the Euclidean norm of all elements of all arrays, summed in float64.

    Parameters
    ----------
    arrays : iterable of array

    Examples
    --------
    >>> import numpy as np
    >>> global_norm([np.array([3.0]), np.array([[0.0, 4.0]])])
    5.0
    """
    return math.sqrt(sum(_sum_of_squares(a) for a in arrays))


@quiet
def _quietly(apply: Callable[..., None], *arrays: Arrays) -> None:
    apply(*arrays)


class Optimizer(ABC):
    """Base of all optimizers.

    For every parameter w with gradient g, in this order:

    1. clip: ``g * min(1, clip_norm / norm)``, where norm is that of all gradients together, or
       each number by itself, ``min(max(g, -clip_value), clip_value)``;
    2. penalties, on weights only: ``g + l2 * w + l1 * sign(w)``. With ``decoupled`` the gradient
       stays as it is and ``lr * (l2 * w + l1 * sign(w))`` is taken from w itself;
    3. the rule: `update`.

    Weights are the parameters called "W", and "B", the backward weights of a router that learns
    them. Biases, gamma and beta carry no penalty unless ``penalized`` says so.

    To write an optimizer, name the arrays it keeps per parameter in ``slots`` and override
    `update`::

        class Momentum(Optimizer):
            slots = ("v",)

            def update(self, w, g, state, lr):
                state["v"] *= 0.9
                state["v"] += g
                w -= lr * state["v"]

    `update` is all that a rule needs. To make it fast, override `fused` as well. To let one of its
    numbers be a schedule, name it and its interval [low, high) in ``schedulable``, and read it
    with `now`.

    Use one optimizer object per network: state is kept by parameter name.

    Parameters
    ----------
    lr : float or callable
        Learning rate, at least 0; or a schedule, called with ``steps`` or, if its ``per`` is
        "epoch", with ``epoch``.
    l2, l1 : float
        Weights of the penalties ``l2 / 2 * sum(w^2)`` and ``l1 * sum(abs(w))``, at least 0.
    clip_norm : float, optional
        Largest norm of the gradient, above 0. A router's gradients count too.
    decoupled : bool
        Whether penalties bypass the rule.
    clip_value : float, optional
        Largest size of each number of the gradient, above 0. Not together with ``clip_norm``.
    penalized : str or sequence of str, optional
        Patterns of the names of those parameters that carry penalties, as in `PerLayer`:
        ``"*"`` for all of them. By default the weights.

    Attributes
    ----------
    buffers : dict of {name: {slot: array}}
        Zeros at first; each array has its parameter's shape and dtype.
    steps : int
        Steps taken.
    epoch : int
        Set by the trainer, for schedules per epoch.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number or outside its interval.

    Examples
    --------
    >>> import elunet as eln
    >>> class SignDescent(eln.optim.Optimizer):
    ...     # w <- w - lr sign(g)
    ...     def update(self, w, g, state, lr):
    ...         w -= lr * np.sign(g)
    >>> SignDescent(lr=0.1, clip_norm=1.0).steps
    0
    """

    slots: tuple[str, ...] = ()
    schedulable: ClassVar[Mapping[str, tuple[float, float]]] = {"lr": (0.0, math.inf)}

    _rule: ClassVar[tuple[Any, ...]] = ()  # of what `fused` is the twin

    def __init_subclass__(cls, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if "fused" in vars(cls):
            cls._rule = cls.update, cls._penalize

    def __init__(
        self,
        lr: Scheduled,
        l2: float = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
        decoupled: bool = False,
        clip_value: float | None = None,
        penalized: str | Sequence[str] | None = None,
    ) -> None:
        name = type(self).__name__
        if clip_norm is not None:
            clip_norm = number(name, "clip_norm", clip_norm, "(0, inf)")
        if clip_value is not None:
            clip_value = number(name, "clip_value", clip_value, "(0, inf)")
            if clip_norm is not None:
                raise ValueError(f"{name}: expected clip_norm or clip_value, got both")
        # As Python's floats: a float64 of NumPy would make NumPy compute in float64.
        self.lr = self._scheduled("lr", lr)
        self.l2 = number(name, "l2", l2, "[0, inf)")
        self.l1 = number(name, "l1", l1, "[0, inf)")
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.decoupled = decoupled
        self.penalized = _patterns(name, penalized)
        self.buffers: dict[str, dict[str, Array]] = {}
        self.steps = 0
        self.epoch = 0
        self._bound: dict[str, _Bound] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return the content of a copy: all but the arrays of the network that it updates."""
        return {**vars(self), "_bound": {}}

    @abstractmethod
    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        """Change one parameter in place: the rule itself.

        Parameters
        ----------
        w : array
            The parameter, to be written to.
        g : array
            Its gradient, clipped and with penalties, in w's shape and dtype. A copy: the rule may
            use it as scratch space.
        state : dict of {slot: array}
            What the rule keeps for this parameter, to be written to.
        lr : float
            The learning rate of this step.
        """

    def fused(self, lr: float) -> Fused | None:
        """Return a kernel that clips, adds the penalties and does `update` in one pass.

        It is taken for float32 and float64 parameters that lie in order in memory; all others, and
        subclasses with an `update` of their own, take `update`.

        Parameters
        ----------
        lr : float
            The learning rate of this step.

        Returns
        -------
        (callable, tuple of float), or None
            Called as ``kernel(w, g, *state, *numbers, scale, l2, l1)`` with arrays (n,) of one
            dtype, the state's in the order of ``slots``. g is the gradient as it is, only to be
            read; `scale` is what clipping makes of it. None, as here, where there is no kernel.
        """
        return None

    def step(self, net: Parametrized, router: Parametrized | None = None) -> None:
        """Take one step: update every parameter of the network in place.

        A diverging run gives NaN in silence here; it is the training loop that must stop.

        Parameters
        ----------
        net : Network
            Anything with ``parameters()`` and ``gradients()``. Gradients are only read.
        router : Router, optional
            A router that learns its backward weights ("conv1.B"): they are updated by the same
            rule, penalties included.

        Raises
        ------
        RuntimeError
            If a parameter has no gradient, or another thread is running the network or has gone
            back through it since.
        TypeError, ValueError
            If a gradient or a piece of state does not fit its parameter, or a schedule gives no
            valid learning rate. Nothing has been changed then.
        """

        def step() -> None:
            parameters, gradients = net.parameters(), net.gradients()
            if router is not None:
                parameters = {**parameters, **router.parameters()}
                gradients = {**gradients, **router.gradients()}
            self.check(parameters, gradients)
            _quietly(self.apply, parameters, gradients)

        getattr(net, "stepping", call)(step)  # a network keeps other threads out
        self.steps += 1

    def learning_rate(self) -> float:
        """Return the learning rate of the next step.

        Raises
        ------
        TypeError, ValueError
            If it is not a number of at least 0.
        """
        return self.now("lr")

    def now(self, name: str) -> float:
        """Return a number that may be a schedule, as it is in the next step.

        Raises
        ------
        TypeError, ValueError
            If it is not a number inside ``[low, high)``, which ``schedulable`` gives.
        """
        value, (low, high) = getattr(self, name), self.schedulable[name]
        if type(value) is float and low <= value < high:
            return value
        owner, interval = type(self).__name__, f"[{low:g}, {high:g})"
        if not callable(value):
            return number(owner, name, value, interval)
        time = self.epoch if getattr(value, "per", "step") == "epoch" else self.steps
        return number(
            owner, f"{name}, which {value!r} returns at time {time},", value(time), interval
        )

    def _scheduled(self, name: str, value: Scheduled) -> Scheduled:
        """Return an argument that may be a schedule; raise an error that names it if it is bad."""
        owner, (low, high) = type(self).__name__, self.schedulable[name]
        if not callable(value):
            return number(owner, name, value, f"[{low:g}, {high:g})")
        choice(owner, f"the attribute per of {name}'s schedule", getattr(value, "per", "step"), PER)
        return value

    def penalty(self, net: Parametrized) -> float:
        """Return ``l2 / 2 * sum(w^2) + l1 * sum(abs(w))`` over the network's weights.

        That is what the penalties add to the loss, for a log. (With ``decoupled`` they belong to
        no loss; the number is the same.)
        """
        return self.penalty_of(net.parameters())

    def penalty_of(self, parameters: Arrays) -> float:
        """Return the penalty of named arrays."""
        weights = [w for name, w in parameters.items() if self._is_penalized(name)]
        total = 0.0
        if self.l2:
            total += self.l2 / 2 * sum(_sum_of_squares(w) for w in weights)
        if self.l1:
            total += self.l1 * sum(float(np.abs(w).sum(dtype=np.float64)) for w in weights)
        return total

    def state(self) -> dict[str, Any]:
        """Return a copy of all that the optimizer remembers: dicts of numbers and arrays."""
        buffers = {
            name: {slot: array.copy() for slot, array in slots.items()}
            for name, slots in self.buffers.items()
        }
        return {"steps": self.steps, "epoch": self.epoch, "buffers": buffers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a `state`; a state that is refused changes nothing.

        The next `step` checks whether it fits the parameters.

        Raises
        ------
        TypeError, ValueError
            If it is not a state: two counts, and buffers of finite floats.
        """
        owner = f"{type(self).__name__}.restore"
        if not isinstance(state, Mapping) or state.keys() != {"steps", "epoch", "buffers"}:
            raise ValueError(f"{owner}: expected state as state() gives it, got {state!r}")
        steps = count(owner, "steps", state["steps"])
        epoch = count(owner, "epoch", state["epoch"])
        buffers: dict[str, dict[str, Array]] = {}
        if not isinstance(state["buffers"], Mapping):
            raise TypeError(f"{owner}: expected buffers as a dict, got {state['buffers']!r}")
        for name, slots in state["buffers"].items():
            if not isinstance(slots, Mapping):
                raise TypeError(f"{owner}: expected the buffers of {name} as a dict, got {slots!r}")
            buffers[name] = {slot: np.array(value) for slot, value in slots.items()}
            for slot, array in buffers[name].items():
                if array.dtype.kind != "f" or not np.isfinite(array).all():
                    raise ValueError(
                        f"{owner}: expected {slot} of {name} as an array of finite floats"
                    )
        self.steps, self.epoch, self.buffers = steps, epoch, buffers

    def check(self, parameters: Arrays, gradients: Arrays) -> None:
        """Raise an error that names what is wrong, before anything is changed."""
        for name in self.schedulable:
            self.now(name)
        self._check_patterns(parameters)
        for name, w in parameters.items():
            g, state, bound = gradients.get(name), self.buffers.get(name), self._bound.get(name)
            if bound is None or not bound.holds(w, g, state):
                self._bound.pop(name, None)
                self._check(name, w, g, state)

    def _check(
        self, name: str, w: Array, g: Array | None, state: Mapping[str, Array] | None
    ) -> None:
        owner = type(self).__name__
        if w.dtype.kind != "f" or not w.flags.writeable:
            kind = f"{'' if w.flags.writeable else 'read-only '}{w.dtype}"
            raise TypeError(f"{owner}: expected {name!r} to be writable floats, got {kind}")
        if g is None:
            raise RuntimeError(
                f"{owner}: expected a gradient for {name!r}, got none; "
                "call step after a backward pass, in which a rule's learn fills grads"
            )
        if g.dtype.kind != "f":
            raise TypeError(f"{owner}: expected {name!r} with float gradient, got {g.dtype}")
        plain(owner, f"{name!r}", w)
        plain(owner, f"the gradient of {name!r}", g)
        if g.shape != w.shape:
            raise ValueError(
                f"{owner}: expected {name!r} with gradient of shape {w.shape}, got {g.shape}"
            )
        if state is None:
            return
        if set(state) != set(self.slots):
            raise ValueError(
                f"{owner}: expected state of {name!r} to hold {sorted(self.slots)}, "
                f"got {sorted(state)}; is it another optimizer's state?"
            )
        for slot, array in state.items():
            if array.shape != w.shape:
                raise ValueError(
                    f"{owner}: expected state {slot!r} of {name!r} with shape {w.shape}, "
                    f"got {array.shape}; use one optimizer per network"
                )

    def _check_patterns(self, names: Arrays) -> None:
        for pattern in self.penalized or ():
            if names and not any(matches(name, pattern) for name in names):
                raise ValueError(
                    f"{type(self).__name__}: expected {pattern!r} in penalized to match a"
                    f" parameter, got no match among {list(names)}"
                )

    def apply(self, parameters: Arrays, gradients: Arrays) -> None:
        """Update named arrays that have been checked."""
        lr = self.learning_rate()
        scale = 1.0
        if self.clip_norm is not None:
            norm = global_norm(gradients[name] for name in parameters)
            if norm > self.clip_norm:
                scale = float(self.clip_norm) / norm
        fused = self.fused(lr) if self._is_as_written() else None
        if fused is None:
            for name, w in parameters.items():
                self._apply_plainly(name, w, gradients[name], lr, scale)
            return
        kernel, numbers = fused
        for_weights = (*numbers, scale, float(self.l2), float(self.l1))
        for_others = (*numbers, scale, 0.0, 0.0)
        for name, w in parameters.items():
            g, bound = gradients[name], self._bound.get(name)
            made_for = bound and bound.w is w and bound.g is g and bound.patterns is self.penalized
            if not made_for:
                bound = self._bind(name, w, g)
            if bound is None:
                self._apply_plainly(name, w, g, lr, scale)
                continue
            flat = bound.flat
            if self.clip_value is not None:
                flat = flat[0], self._clipped(flat[1]), *flat[2:]
            kernel(*flat, *(for_weights if bound.is_penalized else for_others))

    def _is_as_written(self) -> bool:
        """Return whether the rule with a compiled version was not replaced."""
        kind = type(self)
        return self._rule == (kind.update, kind._penalize) and "update" not in vars(self)

    def _apply_plainly(self, name: str, w: Array, g: Array, lr: float, scale: float) -> None:
        # A copy even if scale is 1, so that penalties and rules can write to it.
        g = np.asarray(np.multiply(self._clipped(g), scale), w.dtype)
        if self._is_penalized(name):
            self._penalize(w, g, lr)
        self.update(w, g, self._state_for(name, w), lr)

    def _clipped(self, g: Array) -> Array:
        """Return a gradient with no number beyond clip_value."""
        if self.clip_value is None:
            return g
        most = float(self.clip_value)
        clipped: Array = np.clip(g, -most, most)
        return clipped

    def _is_penalized(self, name: str) -> bool:
        """Return whether penalties apply to a parameter."""
        if self.penalized is None:
            return name.rpartition(".")[2] in ("W", "B")
        return any(matches(name, pattern) for pattern in self.penalized)

    def _bind(self, name: str, w: Array, g: Array) -> _Bound | None:
        """Return a parameter's arrays laid flat for a kernel, or None if they cannot be."""
        state = self._state_for(name, w)
        arrays = [w, g, *(state[slot] for slot in self.slots)]
        ordinary = w.dtype in COMPILED and all(
            type(a) is np.ndarray and a.dtype is w.dtype and a.shape == w.shape and a.flags.carray
            for a in arrays
        )
        # A gradient that overlaps with what is written has to be copied first.
        if not ordinary or any(np.may_share_memory(g, a) for a in arrays if a is not g):
            return None
        flat = tuple([a.reshape(-1) for a in arrays])
        kept, penalized = [*state.values()], self._is_penalized(name)
        bound = _Bound(w, g, state, kept, w.shape, w.dtype, flat, self.penalized, penalized)
        self._bound[name] = bound
        return bound

    def _penalize(self, w: Array, g: Array, lr: float) -> None:
        if not (self.l2 or self.l1):
            return
        term = float(self.l2) * w
        if self.l1:
            term += float(self.l1) * np.sign(w)
        if self.decoupled:
            w -= lr * term
        else:
            g += term

    def _state_for(self, name: str, w: Array) -> dict[str, Array]:
        state = self.buffers.setdefault(name, {})
        for slot in self.slots:
            if slot not in state:
                state[slot] = np.zeros_like(w)
            elif state[slot].dtype != w.dtype:  # the user has given the parameter another dtype
                state[slot] = state[slot].astype(w.dtype)
        return state

    def __repr__(self) -> str:
        """Return the call that made it, without default arguments."""
        return as_made(self)


@dataclass(slots=True)
class _Bound:
    """The flat arrays of one parameter for a step, and the arrays that they were made of."""

    w: Array
    g: Array
    state: Mapping[str, Array]
    kept: list[Array]
    shape: Shape
    dtype: np.dtype[Any]
    flat: tuple[Array, ...]
    patterns: tuple[str, ...] | None
    is_penalized: bool

    def holds(self, w: Array, g: Array | None, state: Mapping[str, Array] | None) -> bool:
        """Return whether it was made of these arrays, and they have not changed their layout."""
        return (
            w is self.w
            and g is self.g
            and state is self.state
            and all(map(is_, state.values(), self.kept))
            and len(state) == len(self.kept)
            and w.flags.carray
            and w.shape == self.shape == g.shape
            and w.dtype is self.dtype is g.dtype
        )


def matches(name: str, pattern: str) -> bool:
    """Return whether a pattern takes a name.

    A backward weight B counts as the W it follows, unless the pattern ends in ".B".
    """
    stem, dot, last = name.rpartition(".")
    follows = last == "B" and not pattern.endswith(".B")
    return fnmatchcase(f"{stem}{dot}W" if follows else name, pattern)


def _patterns(owner: str, given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    patterns = (given,) if isinstance(given, str) else tuple(given)
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(f"{owner}: expected penalized as patterns of names, got {given!r}")
    return patterns


def _sum_of_squares(a: Array) -> float:
    # Not by BLAS, whose threads cost more than they save on one dot product.
    if type(a) is np.ndarray and a.dtype in COMPILED and a.flags.carray:
        return float(sum_of_squares(a.reshape(-1)))
    return float(np.square(a, dtype=np.float64).sum())
