"""Different optimizers for different parameters, chosen by name."""

from __future__ import annotations

from collections.abc import Mapping

from elunet._types import Array
from elunet.optim.base import Arrays, Optimizer, matches

__all__ = ["PerLayer"]


class PerLayer(Optimizer):
    """Each parameter goes to the optimizer of the first pattern that matches its name.

    Patterns are those of `fnmatch`, case-sensitive on every system, matched against the whole
    name: ``"conv1.*"`` matches "conv1.W" and "conv1.b" but not "conv10.W", and ``"*.W"`` matches
    all weights.
    A router's "conv1.B" goes where "conv1.W" goes.

    Every name must find a pattern, and every pattern a name. A pattern whose names were all taken
    by earlier ones counts as an error too: put the special ones before the general.

    One optimizer may stand under several patterns. ``clip_norm`` is then the norm over all of its
    parameters, never over those of another optimizer. The parts use this object's ``buffers``,
    ``steps`` and ``epoch``; do not use them elsewhere.

    Parameters
    ----------
    optimizers : dict of {pattern: Optimizer}
        In order of precedence.

    Raises
    ------
    TypeError, ValueError
        If there is no pattern, a pattern is not a string, or a value is not an optimizer. From
        `step`: if a pattern or a parameter matches nothing.

    Examples
    --------
    Momentum on the first convolution, Adam on all else:

    >>> from elunet.optim import SGD, Adam
    >>> optimizer = PerLayer({"conv1.*": SGD(0.01, momentum=0.9), "*": Adam(1e-4)})
    """

    def __init__(self, optimizers: Mapping[str, Optimizer]) -> None:
        # Not super().__init__: rates and penalties are the parts' own.
        if not isinstance(optimizers, Mapping) or not optimizers:
            raise ValueError(
                f"PerLayer: expected optimizers as {{pattern: optimizer}}, got {optimizers!r}"
            )
        for pattern, part in optimizers.items():
            if not isinstance(pattern, str) or not isinstance(part, Optimizer):
                raise TypeError(
                    f"PerLayer: expected a pattern with an Optimizer, got {pattern!r}: {part!r}"
                )
        self.optimizers = dict(optimizers)
        self.buffers = {}
        self.steps = 0
        self.epoch = 0
        self._assigned: tuple[object, dict[str, str]] | None = None  # for which names

    def assign(self, names: Mapping[str, object]) -> dict[str, str]:
        """Return ``{name: pattern}``; raise an error if a name or a pattern is left over.

        Raises
        ------
        ValueError
            If a name finds no pattern, or a pattern no name.
        """
        pattern_of: dict[str, str] = {}
        for name in names:
            for pattern in self.optimizers:
                if matches(name, pattern):
                    pattern_of[name] = pattern
                    break
            else:
                raise ValueError(
                    f"PerLayer: expected a pattern for {name!r}, got {list(self.optimizers)}"
                )
        for pattern in self.optimizers:
            if pattern not in pattern_of.values():
                taken = any(matches(name, pattern) for name in names)
                why = "earlier patterns match all of its" if taken else "it matches no"
                raise ValueError(
                    f"PerLayer: expected pattern {pattern!r} to match a parameter, "
                    f"but {why} names; the names are {list(names)}"
                )
        return pattern_of

    def check(self, parameters: Arrays, gradients: Arrays) -> None:
        """Raise an error that names what is wrong, before anything is changed."""
        for part, mine in self._split(parameters):
            part.check(mine, gradients)

    def apply(self, parameters: Arrays, gradients: Arrays) -> None:
        """Update named arrays that have been checked."""
        for part, mine in self._split(parameters):
            part.apply(mine, gradients)

    def penalty_of(self, parameters: Arrays) -> float:
        """Return the sum of the parts' penalties."""
        return sum(part.penalty_of(mine) for part, mine in self._split(parameters))

    def learning_rate(self) -> float:
        """Return the first pattern's learning rate."""
        self._lend()
        return next(iter(self.optimizers.values())).learning_rate()

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        """Not used: each part has its own."""
        raise NotImplementedError("PerLayer: expected the parts to update their parameters")

    def _split(self, parameters: Arrays) -> list[tuple[Optimizer, dict[str, Array]]]:
        """Return each optimizer with its parameters, after giving it its state and the counters."""
        self._lend()
        parts: dict[int, tuple[Optimizer, dict[str, Array]]] = {
            id(part): (part, {}) for part in self.optimizers.values()
        }
        given = tuple(parameters), tuple(self.optimizers)
        if self._assigned is None or self._assigned[0] != given:  # the same at most steps
            self._assigned = given, self.assign(parameters)
        for name, pattern in self._assigned[1].items():
            parts[id(self.optimizers[pattern])][1][name] = parameters[name]
        return list(parts.values())

    def _lend(self) -> None:
        for part in self.optimizers.values():
            part.buffers, part.steps, part.epoch = self.buffers, self.steps, self.epoch
