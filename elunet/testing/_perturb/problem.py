"""The common form of all checks: an output as a function of values that can be changed.

The checks differ in how the code is called. Each brings it into this form, a `Problem`: an output
as a function of named values, and what the code claims about its gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose import Factor
from elunet.testing._find.returned import Claim
from elunet.testing._perturb.moves import moved
from elunet.testing._report import GradientCheckError, Row

Changed = Mapping[str, Any]
"""Values that replace the given ones, by path."""
ADVICE = "move the inputs away from it, e.g. with elunet.testing.strategies.inputs"
"""What to do about a value on a kink."""


@dataclass
class Stage:
    """Other values, at which everything is checked again."""

    where: str
    """Words for an error: "at another x"."""
    changed: dict[str, Any]
    reason: str = ""
    """Why a gradient is wrong here and nowhere before."""
    hiding: Sequence[str] = ()
    """Values whose given content may hide a fault."""


@dataclass
class Problem:
    """An output as a function of named values, and its claimed gradients.

    Attributes
    ----------
    name : str
        What is checked, for messages.
    values : dict
        Arrays (already in the check's dtype) and numbers by their path.
    output : callable
        ``output(changed) -> array``, a new one, deterministic.
    claims : callable
        ``claims(changed, dy) -> {path: Claim}``.
    draw : callable
        ``draw(rng, y) -> dy``.
    """

    name: str
    values: dict[str, Any]
    output: Callable[[Changed], Array]
    claims: Callable[[Changed, Array], dict[str, Claim]]
    draw: Callable[[np.random.Generator, Array], Array]
    factors: Callable[[str, Array], list[Factor]] = lambda path, y: []
    inputs: Sequence[str] = ()
    """Values that are inputs, not parameters; the first if none is named."""
    constants: set[str] = field(default_factory=set)
    """Values that have no gradient because the user says so."""
    statistics: set[str] = field(default_factory=set)
    """Values that forward averages over batches."""
    left_alone: set[str] = field(default_factory=set)
    """Integers that cannot be floats."""
    integers: set[str] = field(default_factory=set)
    """Integers that were given as floats."""
    unnamed: set[str] = field(default_factory=set)
    """Arrays that no cause names: backward alone may read them."""
    whole_are_settings: bool = True
    """Whether whole numbers are sizes and strides, not to be tried as floats."""
    notes: list[str] = field(default_factory=list)
    is_scored: bool = False
    """Whether the output is one number, so that dy is 1."""
    all_learned: bool = False
    """Whether each value needs a gradient, numbers too."""
    how: Callable[[str], str] = lambda path: ""
    """Say how to name the gradient of a value for which none was found."""
    move: Callable[[Array, np.random.Generator], Array] = moved
    """Return another value nearby, at which the gradient is checked too."""
    stages: Callable[[np.random.Generator], Iterable[Stage]] | None = None
    """Where to check again; by default all values are moved once."""
    look_closer: Callable[[list[Any], list[Row], Array, Any], list[Row]] | None = None
    """``look_closer(targets, rows, dy, settings) -> rows`` with more causes."""
    hint: Callable[[list[Row]], str] = lambda rows: ""
    """Say where to look, if rows are wrong."""
    advice: str = ADVICE
    dy_name: str = "dy"
    parts: Callable[[Array], dict[str, Array]] = lambda dy: {}
    """``parts(dy) -> {name: dy without this output's gradient}``, if there are several outputs."""
    dtype: Any = np.float64

    def error(self, message: str, array: str = "") -> GradientCheckError:
        """Return an error that names what is checked."""
        return GradientCheckError(f"{self.name}: {message}", array, cause=message)

    def note(self, text: str) -> None:
        """Add a note to the result, once."""
        if text not in self.notes:
            self.notes.append(text)
