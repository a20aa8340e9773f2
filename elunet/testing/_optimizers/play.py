"""Suspected mistakes: a suspect is named only if it reproduces every recorded step, to rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._optimizers.record import Record
from elunet.testing.updates import Update
from elunet.testing.updates._rule import Rule

Player = Callable[[int, int, str, Array, Array], Array]
"""``player(t, index, name, w, g)`` returns the new w."""
Suspect = tuple[str, Player]


class Play:
    """The rules, followed as a suspect would.

    Parameters
    ----------
    rules : dict
    time : callable
        ``time(t, index)`` stands for t.
    memory : str
        Whose memory a parameter has: "own", "shared" with all, or "none".
    before, after : callable, optional
        ``before(state, t, g)`` and ``after(state, t)`` change what is remembered.
    """

    def __init__(
        self,
        rules: dict[str, Update],
        time: Callable[[int, int], int] = lambda t, index: t,
        memory: str = "own",
        before: Callable[[dict[str, Any], int, Array], None] | None = None,
        after: Callable[[dict[str, Any], int], None] | None = None,
    ) -> None:
        self.rules, self.time, self.memory = rules, time, memory
        self.before, self.after = before, after
        self.states: dict[str, dict[str, Any]] = {}

    def __call__(self, t: int, index: int, name: str, w: Array, g: Array) -> Array:
        """Return the new w."""
        whose = "" if self.memory == "shared" else name
        state = {} if self.memory == "none" else self.states.setdefault(whose, {})
        if self.before is not None:
            self.before(state, t, g)
        new = self.rules[name](w, g, state, self.time(t, index))
        if self.after is not None:
            self.after(state, t)
        return new


def fits(record: Record, player: Player) -> bool:
    """Return whether a player makes the recorded steps, to rounding."""
    with np.errstate(all="ignore"):
        for t, moment in enumerate(record.moments, 1):
            for index, (name, w) in enumerate(moment.before.items()):
                try:
                    new = np.asarray(
                        player(t, index, name, w.copy(), moment.gradients[name].copy())
                    )
                except Exception:
                    return False
                gap, change = np.abs(moment.after[name] - new), np.abs(new - w)
                close = gap <= 1e-7 * change + 1e-13 * (1 + np.abs(w))
                both = ~np.isfinite(new) & ~np.isfinite(moment.after[name])
                if new.shape != w.shape or not np.all(close | both):
                    return False
    return len(record.moments) > 1


def settings(rules: Mapping[str, Update]) -> Mapping[str, Any]:
    """Return the settings of the first rule that has some, one with weight decay if there is."""
    its = [rule.settings for rule in rules.values() if isinstance(rule, Rule)]
    decayed = [one for one in its if one.get("l2") or one.get("l1")]
    return next(iter([*decayed, *its]), {})


def but(rules: dict[str, Update], **changed: Any) -> dict[str, Update]:
    """Return rules with other settings, where they have such."""
    return {
        name: rule.but(**{key: value for key, value in changed.items() if key in rule.settings})
        if isinstance(rule, Rule)
        else rule
        for name, rule in rules.items()
    }
