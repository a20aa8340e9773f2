"""Split a data set into batches, epoch after epoch, so that a run can be resumed bit for bit.

Each epoch is a new permutation, drawn when the epoch starts. To resume in the middle of an epoch,
three things are enough: the order generator's state just before that draw, the number of batches
used so far, and the augmentation generator's current state. All of it is small and goes into JSON.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from elunet._checks import integer, number, plain
from elunet._group import ALONE, Alone
from elunet._types import Array, Seed
from elunet.data import _checks


def _paired(where: str, x: object, y: object) -> tuple[Array, Array]:
    """Return both as arrays, after checking that they have the same length, at least 1."""
    x, y = plain(where, "x", x), plain(where, "y", y)
    if not x.ndim or not y.ndim or len(x) != len(y):
        raise ValueError(
            f"{where}: expected x and y of equal length, got shapes {x.shape} and {y.shape}"
        )
    if not len(x):
        raise ValueError(f"{where}: expected x and y with at least one example, got none")
    return x, y


def split(
    x: Array, y: Array, fraction: float, seed: Seed = 0
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Shuffle a data set and split it in two.

    Parameters
    ----------
    x, y : arrays of equal length N
        Examples and labels, of any shape beyond the first axis.
    fraction
        The share of the *second* part, between 0 and 1 exclusive: ``split(x, y, 0.1)`` keeps
        90 % in the first part and puts ``round(0.1 * N)`` examples into the second.
    seed
        An integer, SeedSequence or Generator; None draws a fresh one.

    Returns
    -------
    (x_a, y_a), (x_b, y_b)
        New arrays; every example is in exactly one part.

    Raises
    ------
    TypeError, ValueError
        If the lengths differ, `fraction` is not inside (0, 1), or a part would be empty.

    Examples
    --------
    >>> import numpy as np
    >>> (x_train, y_train), (x_test, y_test) = split(np.arange(10.0), np.arange(10), 0.2)
    >>> len(x_train), len(x_test), sorted([*y_train, *y_test]) == list(range(10))
    (8, 2, True)
    """
    x, y = _paired("split", x, y)
    fraction = number("split", "fraction", fraction, "(0, inf)")
    held_out = round(fraction * len(x))
    if fraction >= 1 or not 0 < held_out < len(x):
        raise ValueError(
            "split: expected fraction in (0, 1) that gives each part at least one of"
            f" {len(x)} examples, got {fraction}"
        )
    (rng,) = _checks.generators("split", seed, 1)
    order = rng.permutation(len(x))
    a, b = order[:-held_out], order[-held_out:]
    return (x[a], y[a]), (x[b], y[b])


class Batches:
    """A data set as batches; iterating over it once is one epoch.

    ::

        batches = Batches(x_train, y_train, augment=pad_crop_flip)
        for epoch in range(10):
            for x, y in batches:
                ...

    With `weights`, each batch is (x, y, weights), as losses take them. The last batch of an epoch
    may be smaller. Batches are copies, in the dtype of `x` and `y`.
    Order and augmentation draw from two separate generators, so neither affects the other. If you
    leave a loop early and iterate again, a new epoch begins; only after `restore` does iteration
    continue inside an epoch. Only one iteration can run at a time.

    Parameters
    ----------
    x, y : arrays of equal length N
        Examples and labels; kept as they are, not copied.
    batch_size
        Examples in a batch, at least 1.
    shuffle
        Whether each epoch has a new random order; otherwise the order of x.
    seed
        An integer, SeedSequence or Generator for order and augmentation; None draws a fresh one.
    augment
        ``augment(x_batch, rng) -> x_batch``, such as `pad_crop_flip`; or, if it has a true
        attribute ``with_targets``, such as `Mixup`, ``augment(x_batch, y_batch, rng)`` for both.
    weights : array of shape (N,), optional
        Weights of the examples, kept as they are.

    Attributes
    ----------
    epoch : int
        Number of the running or next epoch, from 0.
    position : int
        Batches of that epoch used so far; 0 once the epoch is complete.

    Raises
    ------
    TypeError, ValueError
        If the lengths differ, there are no examples, or an argument has another type or range.

    Examples
    --------
    >>> import numpy as np
    >>> batches = Batches(np.arange(5.0), np.arange(5), batch_size=2, seed=0)
    >>> [len(x) for x, y in batches]
    [2, 2, 1]
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        batch_size: int = 100,
        shuffle: bool = True,
        seed: Seed = 0,
        augment: Callable[..., Any] | None = None,
        weights: Array | None = None,
    ) -> None:
        self.x, self.y = _paired("Batches", x, y)
        self.weights = None if weights is None else plain("Batches", "weights", weights)
        if self.weights is not None and self.weights.shape != (len(self.x),):
            raise ValueError(
                f"Batches: expected weights of shape ({len(self.x)},), got {self.weights.shape}"
            )
        self.batch_size = integer("Batches", "batch_size", batch_size, 1)
        if not isinstance(shuffle, bool | np.bool_):
            raise TypeError(f"Batches: expected shuffle to be a bool, got {shuffle!r}")
        if augment is not None:
            _checks.callables("Batches", "augment", (augment,))
        self.shuffle = bool(shuffle)
        self.augment = augment
        self.epoch = 0
        self.position = 0
        self._order_rng, self._augment_rng = _checks.generators("Batches", seed, 2)
        self._before_order = self._order_rng.bit_generator.state  # at the running epoch's start
        self._restored = False
        self._iteration: object = None

    group: Alone = ALONE
    """The processes that compute a batch; each process of a group gets its own rows."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self.x) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        """Iterate over one epoch, or over the rest of it after `restore`."""
        if self.position and not self._restored:  # the last epoch was left early
            self.epoch += 1
            self.position = 0
        self._restored = False
        self._iteration = iteration = object()
        self._before_order = self._order_rng.bit_generator.state
        order = np.arange(len(self.x))
        if self.shuffle:
            self._order_rng.shuffle(order)
        while self.position < len(self):
            start = self.position * self.batch_size
            chosen = order[start : start + self.batch_size]
            rows = self.group.share(len(chosen))
            own = chosen[rows]
            if self.augment is None:
                x, y = self.x[own], self.y[own]
            else:  # it draws for the whole batch
                x, y = self._augmented(self.x[chosen], self.y[chosen])
                x, y = x[rows], y[rows]
            self.position += 1
            yield (x, y) if self.weights is None else (x, y, self.weights[own])
            if self._iteration is not iteration:
                raise RuntimeError(
                    "Batches: expected one iteration at a time, got a new one or a restore() "
                    "before this one was finished"
                )
        self.epoch += 1
        self.position = 0

    def _augmented(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return a batch as the augmentation changes it."""
        count, both = len(x), getattr(self.augment, "with_targets", False)
        given = (x, y, self._augment_rng) if both else (x, self._augment_rng)
        new = self.augment(*given)  # type: ignore[misc]  # it is there
        pair = new if both else (new, y)
        if not isinstance(pair, tuple) or len(pair) != 2 or not all(map(_checks.is_array, pair)):
            kind = "two arrays, x and y" if both else "an array"
            got = f"{type(new).__name__} {new!r}"
            raise TypeError(f"Batches: expected augment to return {kind}, got {got[:100]}")
        x, y = pair
        if not len(x) == len(y) == count:
            raise ValueError(
                f"Batches: expected augment to return {count} examples, got {len(x)} and {len(y)}"
            )
        return x, y

    def state(self) -> dict[str, Any]:
        """Return the current place in the data, as values for JSON.

        If k batches of an epoch were used, a `Batches` on the same data that restores this state
        yields batch k next and the same batches after it, bit for bit.
        """
        running = self.position > 0
        order = self._before_order if running else self._order_rng.bit_generator.state
        return {
            "examples": len(self.x),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "epoch": self.epoch,
            "position": self.position,
            "order_rng": copy.deepcopy(order),
            "augment_rng": copy.deepcopy(self._augment_rng.bit_generator.state),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`; the next iteration continues from there.

        Raises
        ------
        TypeError, ValueError
            If `state` lacks an entry, or belongs to other data, another batch size, order or kind
            of generator. Nothing changes then.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"Batches.restore: expected state as state() gives it, got {state!r}")
        missing = sorted(self.state().keys() - state.keys())
        if missing:
            raise ValueError(f"Batches.restore: expected state with {missing}, got {list(state)}")
        for name, ours in [
            ("examples", len(self.x)),
            ("batch_size", self.batch_size),
            ("shuffle", self.shuffle),
        ]:
            if state[name] != ours:
                raise ValueError(
                    f"Batches.restore: expected state with {name} {ours}, got {state[name]!r}"
                )
        epoch = integer("Batches.restore", "epoch", state["epoch"], 0)
        position = integer("Batches.restore", "position", state["position"], 0)
        if position > len(self):
            raise ValueError(f"Batches.restore: expected position <= {len(self)}, got {position}")
        fresh = []
        for name, rng in [("order_rng", self._order_rng), ("augment_rng", self._augment_rng)]:
            trial = copy.deepcopy(rng)
            try:
                trial.bit_generator.state = state[name]
            except (TypeError, ValueError, KeyError, OverflowError) as error:
                kind = type(rng.bit_generator).__name__
                raise ValueError(
                    f"Batches.restore: expected {name} to be a state of {kind}, got {state[name]!r}"
                ) from error
            fresh.append(trial)
        self._order_rng, self._augment_rng = fresh
        self._before_order = self._order_rng.bit_generator.state
        self.epoch, self.position = epoch, position
        self._restored = True
        self._iteration = None
