"""One subject for a checker, a mutant or a correct one, and what surrounds the showing of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from elunet.testing.mutants._limit import TimeIsUp
from elunet.testing.mutants._record import Mutant

MOST_HANGS = 3

Verdict = tuple[bool, str, tuple[str, ...]]
"""Whether the subject was turned away, what was said, and which tests failed."""


class Subject:
    """A mutant or a correct one, to be shown to a checker."""

    def __init__(self, mutant: Mutant, correct: bool) -> None:
        self.mutant, self.is_correct = mutant, correct
        self.make = mutant.correct if correct else mutant.make
        self.call = mutant.example.call(mutant.correct_class)
        self.name = self.call if correct else mutant.name
        shapes = [np.shape(part) for part in mutant.given() if isinstance(part, np.ndarray)]
        self.key = f"{self.call} {shapes}"
        """The same for correct ones that are made in the same way."""
        self.id = f"correct {self.key}" if correct else mutant.name

    def fixtures(self) -> dict[str, Any]:
        """Return what a test may ask for by name, made anew."""
        names = {
            "layer": ("layer", "x"),
            "loss": ("loss", "prediction", "target"),
            "optimizer": ("optimizer", "rules"),
        }[self.mutant.kind]
        made = dict(zip(names, (self.make(), *self.mutant.given()), strict=True))
        return {f"make_{self.mutant.kind}": self.make, **made}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence floating-point warnings, and let the global generators start from one state."""
    state = np.random.get_state()  # noqa: NPY002 (a checker may draw from it)
    np.random.set_state(np.random.RandomState(0).get_state())  # noqa: NPY002
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def rejection(error: BaseException) -> Verdict:
    """Return the verdict that an error stands for; a TimeIsUp goes on its way."""
    if isinstance(error, TimeIsUp):
        raise error
    lines = str(error).splitlines() or [""]
    return True, f"{type(error).__name__}: {lines[0]}", ()
