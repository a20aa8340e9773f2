"""The subjects of a checker: mutants and correct objects, run quietly and in limited time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from elunet.teaching.grade import _time_limit
from elunet.teaching.mutants._mutant import Mutant

T = TypeVar("T")
MOST_HANGS = 3
"""After this many subjects that hang, the rest is not run."""


@dataclass(frozen=True)
class Verdict:
    """The verdict of a checker on one subject.

    Attributes
    ----------
    rejected : bool
        Whether it found something wrong.
    message : str
    tests : tuple of str
        The tests that failed.
    unfinished : str
        "hung" or "not run" if there is no verdict.
    """

    rejected: bool = False
    message: str = ""
    tests: tuple[str, ...] = ()
    unfinished: str = ""


HUNG, NOT_RUN = Verdict(unfinished="hung"), Verdict(unfinished="not run")


class Subject:
    """A mutant or a correct layer, loss or optimizer, for a checker to judge."""

    def __init__(self, mutant: Mutant, correct: bool) -> None:
        self.mutant, self.is_correct = mutant, correct
        kind = mutant.correct_class if correct else mutant.source
        self._kind = _disguised(kind, mutant.correct_class)
        self.call = mutant.example.call(mutant.correct_class)
        self.name = self.call if correct else mutant.name
        shapes = [np.shape(part) for part in mutant.given() if isinstance(part, np.ndarray)]
        self.key = f"{self.call} {shapes}"
        """The same for all correct objects that are made in the same way."""
        self.id = f"correct {self.key}" if correct else mutant.name

    def make(self) -> Any:
        """Return a new object."""
        return self.mutant.example.make(self._kind)

    def fixtures(self) -> dict[str, Any]:
        """Return new objects that a test can ask for by name."""
        names = {
            "layer": ("layer", "x"),
            "loss": ("loss", "prediction", "target"),
            "optimizer": ("optimizer", "updates"),
        }[self.mutant.kind]
        made = dict(zip(names, (self.make(), *self.mutant.given()), strict=True))
        return {f"make_{self.mutant.kind}": self.make, **made}


def _disguised(kind: type, correct: type) -> type:
    """Return a class that looks like the correct one, in name, module, docstring and source."""
    # Python 3.13 finds a class's source by the number of its first line.
    names = ("__module__", "__doc__", "__firstlineno__")
    looks = {name: vars(correct)[name] for name in names if name in vars(correct)}
    return type(correct.__name__, (kind,), {**looks, "__qualname__": correct.__qualname__})


def run_alone(work: Callable[[], T], seconds: float) -> T:
    """Run a checker within the time limit, with no effect on the next run.

    Raises
    ------
    _time_limit.TimeIsUp
        If it takes longer.
    """
    with _quiet():
        return _time_limit.call(work, seconds)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence floating-point warnings, and seed the global generator."""
    state = np.random.get_state()  # noqa: NPY002 (a checker may draw from it)
    np.random.set_state(np.random.RandomState(0).get_state())  # noqa: NPY002
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def rejection(error: BaseException) -> Verdict:
    """Return the verdict that an error stands for; a TimeIsUp is raised again."""
    if isinstance(error, _time_limit.TimeIsUp):
        raise error
    lines = str(error).splitlines() or [""]
    return Verdict(True, f"{type(error).__name__}: {lines[0]}")
