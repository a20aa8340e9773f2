"""Adam with its usual mistakes, as one formula."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from elunet._types import Array
from elunet.testing._optimizers.play import Play, Suspect
from elunet.testing.updates import Update, adam
from elunet.testing.updates._rule import Rule, penalized


@dataclass(frozen=True)
class Variant:
    """Adam, in which something is otherwise.

    Attributes
    ----------
    settings : mapping
        Those of `updates.adam`.
    corrected : str
        Which of m and v are corrected by ``1 - beta^t`` in the step.
    kept : str
        Of which what is kept is corrected too.
    eps : str
        "after", "inside" or "before": ``sqrt(v^) + eps``, ``sqrt(v^ + eps)``, with v^ the corrected
        v, or ``(sqrt(v) + eps) / sqrt(1 - beta2^t)``.
    """

    settings: Mapping[str, Any]
    corrected: str = "mv"
    kept: str = ""
    eps: str = "after"

    def __call__(self, w: Array, g: Array, state: dict[str, Any], t: int) -> Array:
        """Return the new w."""
        its = self.settings
        penalty = penalized(w, 0.0 * g, its["l2"], its["l1"])
        g = g if its["decoupled"] else g + penalty
        m = its["beta1"] * state.get("m", 0.0) + (1 - its["beta1"]) * g
        v = its["beta2"] * state.get("v", 0.0) + (1 - its["beta2"]) * g**2
        over_m, over_v = 1 - its["beta1"] ** t, 1 - its["beta2"] ** t
        state["m"] = m / over_m if "m" in self.kept else m
        state["v"] = v / over_v if "v" in self.kept else v
        m = m / over_m if "m" in self.corrected else m
        root = np.sqrt(v / over_v) if "v" in self.corrected else np.sqrt(v)
        if self.eps == "inside":
            root = np.sqrt(root**2 + its["eps"])
        else:
            root = root + its["eps"] / (np.sqrt(over_v) if self.eps == "before" else 1)
        decay = its["lr"] * penalty if its["decoupled"] else 0.0
        return np.asarray(w - decay - its["lr"] * m / root)


IN_PLACE = (
    "{} corrected in place: what is kept for the next step has to stay as it is, only the step"
    " takes {} / (1 - beta**t)"
)
MISTAKES = (
    (IN_PLACE.format("the averages m and v are", "m and v"), {"kept": "mv"}),
    (IN_PLACE.format("the average m is", "m"), {"kept": "m"}),
    (IN_PLACE.format("the average v is", "v"), {"kept": "v"}),
    ("the bias correction of v is missing: divide it by 1 - beta2**t", {"corrected": "m"}),
    ("the bias correction of m is missing: divide it by 1 - beta1**t", {"corrected": "v"}),
    ("eps is inside the root", {"eps": "inside"}),
    (
        "eps is added before the bias correction: the root is that of the corrected v, and eps is"
        " added to it",
        {"eps": "before"},
    ),
)


def adams(rules: dict[str, Update]) -> Iterator[Suspect]:
    """Yield Adam's usual mistakes."""
    formula = adam().formula
    if not any(isinstance(rule, Rule) and rule.formula is formula for rule in rules.values()):
        return
    for text, mistake in MISTAKES:
        yield text, Play({name: _with(rule, mistake) for name, rule in rules.items()})
    text = "beta1 and beta2 are swapped"
    yield text, Play({name: _swapped(rule) for name, rule in rules.items()})


def _with(rule: Update, mistake: dict[str, str]) -> Update:
    ours = isinstance(rule, Rule) and rule.formula is adam().formula
    return Variant(rule.settings, **mistake) if ours and isinstance(rule, Rule) else rule


def _swapped(rule: Update) -> Update:
    if not isinstance(rule, Rule) or "beta2" not in rule.settings:
        return rule
    return rule.but(beta1=rule.settings["beta2"], beta2=rule.settings["beta1"])
