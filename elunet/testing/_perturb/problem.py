"""What every check is brought to: an output as a function of values that can be changed.

The checks differ in how the code is called. Each brings it into this form, a `Problem`: an output
as a function of named values, and what the code claims about its gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose import Factor
from elunet.testing._find.returned import Claim
from elunet.testing._perturb.moves import moved
from elunet.testing._report import GradientCheckError

Changed = Mapping[str, Any]
"""Values that replace the given ones, by path."""


ADVICE = "move the inputs away from it, e.g. with elunet.testing.strategies.inputs"
"""What to do about a value on a kink."""


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
    constants: set[str] = field(default_factory=set)
    """Values that have no gradient because the user says so."""
    left_alone: set[str] = field(default_factory=set)
    """Integers that cannot be floats."""
    integers: set[str] = field(default_factory=set)
    """Integers that were given as floats."""
    notes: list[str] = field(default_factory=list)
    is_scored: bool = False
    """Whether the output is one number, so that dy is 1."""
    all_learned: bool = False
    """Whether each value needs a gradient, numbers too."""
    how: Callable[[str], str] = lambda path: ""
    """Say how to name the gradient of a value for which none was found."""
    move: Callable[[Array, np.random.Generator], Array] = moved
    """Return another value nearby, at which the gradient is checked too."""
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
