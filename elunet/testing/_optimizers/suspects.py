"""The mistakes that people make in optimizers, each as a player: how it moves the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose import number_text, ratio
from elunet.testing._optimizers.adams import adams
from elunet.testing._optimizers.decay import of_decay
from elunet.testing._optimizers.momentum import of_momentum
from elunet.testing._optimizers.play import Play, Suspect, but, settings
from elunet.testing._optimizers.record import Record, changes, flat
from elunet.testing.updates import Update

DECAYS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 0.9999, 0.1, 0.01, 0.001)
EPS = [0.0, *(10.0**-k for k in range(3, 17))]
LATE = "the update uses last step's velocity: compute the new v first, then move w by it"


def suspects(record: Record) -> Iterator[Suspect]:
    """Yield all suspects, those first that say most."""
    rules = record.rules
    yield from _of_memory(rules)
    yield from _of_time(rules)
    yield from adams(rules)
    yield from of_momentum(rules)
    yield from of_decay(record)
    yield from _of_other_settings(rules)
    yield from _of_others(rules)
    yield from _of_length(record)


def _of_memory(rules: dict[str, Update]) -> Iterator[Suspect]:
    own = settings(rules)
    late = LATE if own.get("momentum") else "each step is the one that was due a step earlier"
    yield late, Late(rules)
    nothing = "nothing is remembered from step to step: every step is a first one"
    if "beta1" not in own:
        nothing += " (the velocity or average is computed, but not stored)"
    yield nothing, Play(rules, memory="none")
    yield "what is remembered is shared by all parameters", Play(rules, memory="shared")
    yield (
        "the first gradient is remembered as the array itself, which the next backward pass fills"
        " again: copy it",
        Play(rules, before=_alias()),
    )


class Late:
    """Each step is the one of the step before."""

    def __init__(self, rules: dict[str, Update]) -> None:
        self.play, self.change = Play(rules), dict[str, Array]()

    def __call__(self, t: int, index: int, name: str, w: Array, g: Array) -> Array:
        """Return the new w."""
        moved = w + self.change.get(name, 0.0)
        self.change[name] = self.play(t, index, name, w, g) - w
        return moved


def _alias() -> Callable[[dict[str, Any], int, Array], None]:
    first: list[Array] = []

    def before(state: dict[str, Any], t: int, g: Array) -> None:
        if t == 1:
            first.append(g)
        if t == 2:
            for key, value in state.items():
                if any(np.array_equal(value, one) for one in first):
                    state[key] = g

    return before


def _of_time(rules: dict[str, Update]) -> Iterator[Suspect]:
    """Yield other numbers in place of t."""
    corrected = "beta1" in settings(rules) or bool(settings(rules).get("correct"))
    many = len(rules)
    what = (
        "the bias correction does not use the step's number t: 1 - beta instead of 1 - beta**t"
        if corrected
        else "the step's number t is not used: every step is as long as at t = 1"
    )
    yield what, Play(rules, lambda t, index: 1)
    if corrected:
        missing = "the bias correction is missing: averages start at 0, so divide by 1 - beta**t"
        yield missing, Play(rules, lambda t, index: 10**9)
    if many > 1:
        counts = "t counts parameters, not steps: raise it once a step, before the loop"
        for each in (many, many + 1):  # instead of once a step, or besides
            yield counts, Play(rules, lambda t, index, each=each: (t - 1) * each + index + 1)  # type: ignore[misc]
    yield "t is 0 at the first step, where it should be 1", Play(rules, lambda t, index: t - 1)
    yield "t is 2 at the first step, where it should be 1", Play(rules, lambda t, index: t + 1)


def _of_other_settings(rules: dict[str, Update]) -> Iterator[Suspect]:
    own = settings(rules)
    if own.get("l2") and "decoupled" in own:
        text = (
            "the weight decay goes through Adam's averages; decoupled, lr l2 w is subtracted from w"
            if own["decoupled"]
            else "the weight decay is decoupled (AdamW); here l2 w belongs into the gradient"
        )
        yield text, Play(but(rules, decoupled=not own["decoupled"]))
    if "eps_inside" in own:
        place = "outside of" if own["eps_inside"] else "inside"
        yield f"eps is {place} the root", Play(but(rules, eps_inside=not own["eps_inside"]))
    for key in ("momentum", "rho", "beta1", "beta2"):
        if key in own:
            for value in (0.0, *DECAYS):
                text = f"{key} is {value:g}, where the update rule has {own[key]:g}"
                yield text, Play(but(rules, **{key: value}))
    if "eps" in own:
        for eps in EPS:
            if not np.isclose(eps, own["eps"], rtol=1e-9, atol=0.0):
                text = f"eps is {eps:g}, where the update rule has {own['eps']:g}"
                yield text, Play(but(rules, eps=eps))


def _of_others(rules: dict[str, Update]) -> Iterator[Suspect]:
    """Yield one rule for all parameters, where they have different ones."""
    for name, rule in rules.items():
        if all(other is rule for other in rules.values()):
            return
        text = f"all parameters are updated by the rule of {name}"
        spared = [n for n, other in rules.items() if not settings({"": other}).get("l2")]
        if settings({"": rule}).get("l2") and spared:
            text = f"the weight decay of {name} also moves {', '.join(spared)}"
        yield text, Play(dict.fromkeys(rules, rule))


def _of_length(record: Record) -> Iterator[Suspect]:
    """Yield the rule's step times a factor."""
    got, due = changes(record, 1)
    size = np.abs(flat(record.moments[0].gradients))
    large = size >= np.median(size)
    k = ratio(got[large], due[large])
    if not k:
        return
    text = f"the step is {number_text(k)} x the update rule's, at every step: the learning rate"
    if abs(k + 1) < 1e-6:
        text = "the sign is flipped: the step goes uphill"
    play = Play(record.rules)

    def scaled(t: int, index: int, name: str, w: Array, g: Array) -> Array:
        return np.asarray(w + k * (play(t, index, name, w, g) - w))

    yield text, scaled
    yield text, Play({name: _uphill(rule) for name, rule in record.rules.items()})


def _uphill(rule: Update) -> Update:
    return lambda w, g, state, t: rule(w, -g, state, t)
