"""The steps of an optimizer beside those of its update rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from elunet._types import Array
from elunet.testing.updates import Update


class Moment(NamedTuple):
    """A step: parameters before and after, gradients, what was expected, where it is wrong."""

    before: dict[str, Array]
    after: dict[str, Array]
    gradients: dict[str, Array]
    expected: dict[str, Array]
    wrong: dict[str, Array]


@dataclass
class Record:
    """The steps of an optimizer beside those of its update rule.

    Attributes
    ----------
    rules : dict
        By the parameters' names.
    moments : list of Moment
    returns : bool
        Whether the optimizer may return new parameters.
    """

    rules: dict[str, Update]
    moments: list[Moment]
    returns: bool

    @property
    def wrong(self) -> int | None:
        """The number of the first wrong step, from 1."""
        for t, moment in enumerate(self.moments, 1):
            if any(mask.any() for mask in moment.wrong.values()):
                return t
        return None


def flat(arrays: dict[str, Array]) -> Array:
    """Return all numbers of all arrays."""
    return np.concatenate([array.reshape(-1) for array in arrays.values()])


def changes(record: Record, t: int) -> tuple[Array, Array]:
    """Return how all numbers changed in a step, and how they should have."""
    moment = record.moments[t - 1]
    before = flat(moment.before)
    return flat(moment.after) - before, flat(moment.expected) - before
