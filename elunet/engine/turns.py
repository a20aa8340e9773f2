"""One thread at a time: which thread runs a network, and which forward pass a backward pass uses.

A network's layers keep one pass's arrays. So a thread claims the network while it runs a pass, and
who comes meanwhile is refused. Between passes it is free, and another thread may run its own; but
then what the first one would go back through is gone, and it has to hear of it. A pass forward, the
passes back through it and the optimizer's step are one thread's turn, unless they are handed over.

Nothing here waits for a lock. A claim is one operation of a dict, and undone by another: an
interrupt or a signal's handler can come between any two lines, and a fork too. A ``with`` block is
entered and left by Python's own calls, so an `Alone` ends by an operation that Python cannot break
off: a lock's ``__exit__``.
"""

from __future__ import annotations

import os
import threading
import weakref
from operator import attrgetter
from threading import Lock, get_ident
from typing import Any

HOLDER = 0  # the key of who has the network


class Turn:
    """A thread's claim on a network, for one pass or, with a lock, until that is released."""

    busy: Turn | None = None  # the pass that is running
    passed: Passed | None = None  # if it is a pass forward
    lock: Any = None

    def __init__(self) -> None:
        self.thread = get_ident()

    def over(self) -> bool:
        """Return whether it is a block's that was left."""
        return self.lock is not None and not self.lock.locked()


class Passed:
    """One pass forward; each layer knows by whose pass it ran last.

    A copy of a network and its layers has a copy of it, the same for all of them.
    """

    __slots__ = ("__weakref__", "running")

    def __init__(self) -> None:
        self.running = True

    def __reduce__(self) -> tuple[Any, ...]:
        return _over, ()


def _over() -> Passed:
    passed = Passed()
    passed.running = False
    return passed


class _Work:
    """What a thread has done and still wants to use."""

    used = lost = False
    gone_back = False


class _Threads(threading.local):
    """What this thread did last, for one network."""

    forward: _Work | None = None
    backward: _Work | None = None


class Turns:
    """Which thread runs a network, and which thread's passes its arrays come from.

    Attributes
    ----------
    holder : dict of {HOLDER: Turn}
        Who has it; empty if nobody has. A turn that is over counts as nobody.
    """

    def __init__(self) -> None:
        self.holder: dict[int, Turn] = {}
        self._mine = _Threads()
        self._forward: _Work | None = None
        self._backward: _Work | None = None
        _all.add(weakref.ref(self, _all.discard))

    def within(self) -> bool:
        """Return whether a pass of this thread is running."""
        holder = self.holder.get(HOLDER)
        return holder is not None and holder.thread == get_ident() and holder.busy is not None

    def claim(self, turn: Turn, owner: str) -> Turn:
        """Return who has the network now: `turn`, or an earlier one of the same thread.

        `owner` is whose name an error begins with.

        The caller gives it back, in a ``finally`` that calls nothing::

            if HOLDER in turns.holder and turns.holder[HOLDER] is turn:
                del turns.holder[HOLDER]

        Raises
        ------
        RuntimeError
            If another thread has it.
        """
        holder = self.holder.setdefault(HOLDER, turn)
        while holder is not turn and holder.over():
            if HOLDER in self.holder and self.holder[HOLDER] is holder:
                del self.holder[HOLDER]
            holder = self.holder.setdefault(HOLDER, turn)
        if holder.thread != turn.thread:
            raise RuntimeError(
                f"{owner}: a network runs in one thread at a time, and another thread is running"
                " this one; give each thread a copy.deepcopy of it"
            )
        return holder

    def begin(self, turn: Turn, owner: str) -> None:
        """Claim the network for one pass.

        Raises
        ------
        RuntimeError
            If another thread has it, or another pass is running.
        """
        holder = self.claim(turn, owner)
        if holder.busy is not None:
            raise RuntimeError(
                f"{owner}: a network cannot be trained during one of its own passes (in a"
                " tap, a rule's hook, or a signal handler); only forward(x) without train is"
                " possible there, or another pass in a twin, net.aside()"
            )
        holder.busy = turn

    def forward_begins(self, train: bool) -> None:
        """Note that what another thread's forward kept is gone."""
        last, mine = self._forward, self._mine
        if last is not None and last is not mine.forward and not last.used:
            last.lost = True
        self._forward = None
        if train:
            self._forward = mine.forward = _Work()

    def backward_begins(self) -> bool:
        """Return whether the gradients that are there are another thread's.

        Raises
        ------
        RuntimeError
            If another thread has run a forward pass since this one's.
        """
        mine, last = self._mine, self._backward
        if mine.forward is not None and mine.forward.lost:
            raise RuntimeError(
                "Network: backward goes back through this thread's last forward pass, but another"
                f" thread has run a forward pass since, or taken a step; {ADVICE}"
            )
        if self._forward is not None:
            self._forward.gone_back = True
        others = last is not None and last is not mine.backward
        if last is not None and others and not last.used:
            last.lost = True
        self._backward = mine.backward = _Work()
        return others

    def check_gradients(self) -> None:
        """Raise a RuntimeError if they are another thread's, and this one has not used its own."""
        mine = self._mine.backward
        if mine is not None and mine.lost:
            raise RuntimeError(
                "Network: gradients are those of this thread's last backward pass, but another"
                f" thread has run a backward pass since; {ADVICE}"
            )

    def stepped(self) -> None:
        """Note that a turn is over: the gradients were used, and the weights have changed."""
        last = self._forward
        if last is not None:
            last.used = True
            if last is not self._mine.forward and not last.gone_back:
                last.lost = True
        if self._backward is not None:
            self._backward.used = True

    def __reduce__(self) -> tuple[Any, ...]:
        return Turns, ()


ADVICE = (
    "give each thread a copy.deepcopy of the network, or keep a whole step in `with net.alone():`"
)


class Alone:
    """Keeps other threads out of a network inside one block."""

    __exit__ = property(attrgetter("turn.lock.__exit__"))

    def __init__(self, turns: Turns, owner: str) -> None:
        self.turns, self.turn, self.owner, self.entered = turns, Turn(), owner, False
        self.turn.lock = Lock()
        self.turn.lock.acquire()

    def __enter__(self) -> None:
        if self.entered:
            raise RuntimeError(
                f"{self.owner}: expected a new alone() for each block, got one that was"
                " already used"
            )
        self.entered, claimed = True, False
        self.turn.thread = get_ident()
        try:
            self.turns.claim(self.turn, self.owner)
            claimed = True
        finally:
            if not claimed:
                self.turn.lock.release()


_all: set[weakref.ref[Turns]] = set()


def _after_fork() -> None:
    """In a forked child: forget the claims of threads that it does not have."""
    for reference in list(_all):
        turns = reference()
        holder = None if turns is None else turns.holder.get(HOLDER)
        if turns is not None and holder is not None and holder.thread != get_ident():
            turns.holder.clear()
            if holder.busy is not None and holder.busy.passed is not None:
                holder.busy.passed.running = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
