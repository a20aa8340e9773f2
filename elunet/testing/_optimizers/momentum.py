"""Common mistakes with momentum, as suspects."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from elunet._types import Array
from elunet.testing import updates
from elunet.testing._optimizers.play import Play, Suspect, but, settings
from elunet.testing.updates import Update
from elunet.testing.updates._rule import Rule

NESTEROV = "this is Nesterov's step, w - lr (g + momentum v), where the update rule has w - lr v"
NO_LOOK_AHEAD = (
    "this is momentum without Nesterov's look-ahead: with the new v the step is"
    " lr (g + momentum v); with last step's it is lr v"
)
AVERAGED = (
    "the velocity is an average, v = momentum v + (1 - momentum) g, where the update rule has"
    " v = momentum v + g (updates.averaged_momentum)"
)
NOT_AVERAGED = (
    "the velocity is v = momentum v + g, where the update rule has the average"
    " v = momentum v + (1 - momentum) g"
)


def of_momentum(rules: dict[str, Update]) -> Iterator[Suspect]:
    own = settings(rules)
    momentum, rate = own.get("momentum", 0.0), own.get("lr")
    if not momentum:
        return
    if own.get("nesterov"):
        yield NO_LOOK_AHEAD, Play(but(rules, nesterov=False))
    elif "nesterov" in own:
        yield NESTEROV, Play(but(rules, nesterov=True))
    for kind, other, text in (
        ("nesterov", updates.averaged_momentum, AVERAGED),
        ("correct", updates.sgd, NOT_AVERAGED),
    ):
        if kind in own:
            yield text, Play(_made(rules, other))
    if "correct" in own:
        which = "divided by 1 - momentum**t" if not own["correct"] else "not corrected by the step"
        yield f"the velocity is {which}", Play(but(rules, correct=not own["correct"]))
    if "nesterov" in own and not own["nesterov"] and rate:
        text = "the first velocity is the gradient itself, without the learning rate"
        yield text, First(rules, 1 / rate)
        yield f"{text}, and with the wrong sign", First(rules, -1 / rate)
    if "correct" in own:
        text = "the first velocity is the gradient itself, without 1 - momentum"
        yield text, First(rules, 1.0)


class First:
    """The first velocity is the gradient times a factor."""

    def __init__(self, rules: dict[str, Update], factor: float) -> None:
        self.play, self.factor = Play(rules), factor

    def __call__(self, t: int, index: int, name: str, w: Array, g: Array) -> Array:
        """Return the new w."""
        new = self.play(t, index, name, w, g)
        if t > 1:
            return new
        v = self.play.states[name]["v"] = self.factor * g
        return np.asarray(w - settings({name: self.play.rules[name]})["lr"] * v)


def _made(rules: dict[str, Update], other: Callable[..., Rule]) -> dict[str, Update]:
    """Return other rules with the settings that both have."""
    keys = ("lr", "momentum", "l2", "l1")
    return {
        name: other(**{key: rule.settings[key] for key in keys}) if isinstance(rule, Rule) else rule
        for name, rule in rules.items()
    }
