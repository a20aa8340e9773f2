"""Grade a gradient checker: it judges layers that it cannot see.

The layers, right and wrong, are in the grader's process. The submission gets an object with
`forward`, `backward`, `params`, `grads` and `rng` that has the name of the correct class and passes
each call on. There is no class, code or docstring of the wrong layer on its side that it could look
at. Each layer is judged by a fresh copy of the submission, in an order drawn again, so it cannot
count, and cannot compare layers with each other.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from elunet.teaching.grade._subjects import Subject
from elunet.teaching.mutants import layers
from elunet.teaching.submission._border import Border, BorderError
from elunet.teaching.submission._exercise import Exercise
from elunet.teaching.submission._grade import Mark
from elunet.teaching.submission._process import Processes
from elunet.teaching.submission._stand_in import Session, SubmissionEndedError, clean, words

VISIBLE = ("params", "grads", "rng")
"""The attributes of a layer that a checker can read."""
PASSES = ("forward", "backward")
"""The methods that it may call."""
MOST_HANGS = 3


class Desk(Border):
    """The side of the layer: it runs the methods that the checker calls.

    Parameters
    ----------
    connection : socket
    layer : Layer
    """

    def __init__(self, connection: Any, layer: Any, deadline: float) -> None:
        super().__init__(connection, calls=False)
        self.layer, self.deadline = layer, deadline

    def verdict(self, x: Any) -> dict[str, Any]:
        """Let the checker judge the layer at x; return its last message."""
        kind = type(self.layer)
        start = {"name": kind.__name__, "module": kind.__module__}
        self.send({**start, "state": self._state(), "x": self.encode(x)})
        while True:
            message = self.receive()
            if message.get("op") != "call":
                return message
            self.send(self._answer(message))

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Run one pass."""
        method = message["method"]
        if method not in PASSES:
            raise BorderError(f"no pass is called {method!r:.40}")
        state = {name: getattr(self.layer, name) for name in VISIBLE}
        found = self.decode(message["state"], state)
        for name in VISIBLE:
            if name in found:
                setattr(self.layer, name, found[name])
        arguments, named = self.decode(message["arguments"]), self.decode(message["named"])
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                result = self.encode(getattr(self.layer, method)(*arguments, **named))
            reply: dict[str, Any] = {"result": result}
        except Exception as error:
            kinds = (ValueError, TypeError, RuntimeError, KeyError, IndexError, AttributeError)
            kind = next((k for k in kinds if isinstance(error, k)), RuntimeError)
            reply = {"raised": {"kind": kind.__name__, "text": str(error)[:500]}}
        return {**reply, "state": self._state()}

    def _state(self) -> Any:
        return self.encode({name: getattr(self.layer, name) for name in VISIBLE})


def run_checker(exercise: Exercise, processes: Processes) -> tuple[list[Mark], str]:
    """Let a checker judge the zoo; return a mark for each layer, and the reason if there are none.

    A wrong layer gives points if the checker rejects it and accepts the right one.
    """
    named = {name for part in exercise.parts for name in part.tests}
    zoo = [mutant for mutant in layers() if mutant.name in named]
    right: dict[str, Subject] = {}
    for mutant in zoo:
        subject = Subject(mutant, correct=True)
        right.setdefault(subject.key, subject)
    subjects = [*right.values(), *(Subject(mutant, correct=False) for mutant in zoo)]
    order = list(range(len(subjects)))
    random.SystemRandom().shuffle(order)
    found: dict[int, tuple[bool, str]] = {}
    hangs = 0
    for index in order:
        if hangs >= MOST_HANGS or processes.time_is_up:
            found[index] = (True, "not judged: the layers before it took too long")
            continue
        try:
            found[index] = _judge(exercise, processes, subjects[index])
        except SubmissionEndedError as error:
            found[index] = (True, str(error))
            hangs += "too long" in str(error)
            if "was stopped" in str(error):
                return [], str(error)
        except _UnusableError as error:
            return [], str(error)
    return list(_marks(exercise, subjects, found)), ""


class _UnusableError(Exception):
    """There is no checker that can be run."""


def _judge(exercise: Exercise, processes: Processes, subject: Subject) -> tuple[bool, str]:
    """Return whether the checker rejects one layer, and its message."""
    deadline = min(time.monotonic() + processes.limits.seconds, processes.until)
    session = Session(processes.connect(), deadline)
    try:
        reply = session.ask({"op": "check", "function": exercise.check})
        if "raised" in reply:
            raise _UnusableError(words(reply["raised"]))
        desk = Desk(session.connection, subject.make(), deadline)
        try:
            last = desk.verdict(*subject.mutant.given())
        except (BorderError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise session.lost(error) from None
        if "ended" in last:
            raise session.stopped(last["ended"])
        if last.get("fine") is True:
            return False, ""
        if "raised" not in last:
            return True, clean(last.get("text", ""))
        said = words(last["raised"])
        if said.startswith("NotImplementedError"):
            raise _UnusableError(said)
        return True, said
    finally:
        session.connection.close()
        processes.end_copies()


def _marks(
    exercise: Exercise, subjects: list[Subject], found: dict[int, tuple[bool, str]]
) -> Iterator[Mark]:
    """Yield a mark for each layer, the right ones first; these have no points of their own."""
    accepted = {
        subject.key
        for index, subject in enumerate(subjects)
        if subject.is_correct and not found[index][0]
    }
    parts = {name: part for part in exercise.parts for name in part.tests}
    for index, subject in enumerate(subjects):
        rejected, said = found[index]
        if subject.is_correct:
            told = f"The layer is correct, but was rejected:\n{said}"
            yield Mark(
                f"accepts the correct {subject.call}",
                0.0,
                0.0,
                not rejected,
                "correct layers",
                told if rejected else "",
            )
            continue
        mutant = subject.mutant
        unfinished = said.startswith(("your code", "not judged"))
        caught = rejected and subject.key in accepted and not unfinished
        if unfinished:
            message = said
        elif rejected:
            message = f"Rejected, but the correct {mutant.of} is rejected as well." * (not caught)
        else:
            message = f"{mutant.why}\nIn training: {mutant.in_training}\nHow: {mutant.hint}"
        part = parts[mutant.name]
        share = part.points / len(part.tests)
        name = f"finds {mutant.name}, a wrong {mutant.of}"
        yield Mark(name, share * caught, share, caught, part.name, message)
