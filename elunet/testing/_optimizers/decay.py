"""Common mistakes with penalties, as suspects."""

from __future__ import annotations

from collections.abc import Iterator

from elunet.testing._diagnose import number_text, ratio
from elunet.testing._optimizers.play import Play, Suspect, but, settings
from elunet.testing._optimizers.record import Record, changes, flat
from elunet.testing.updates import Update
from elunet.testing.updates._rule import Rule


def of_decay(record: Record) -> Iterator[Suspect]:
    """Yield weight decay with another factor, or where there should be none."""
    rules = record.rules
    own = settings(rules)
    if own.get("l1"):
        text = "the penalty adds l1 w instead of l1 sign(w)"
        yield text, Play({name: _l1_as_l2(rule) for name, rule in rules.items()})
        yield "the l1 penalty is missing", Play(but(rules, l1=0.0))
    if not any(settings({"": rule}).get("l2") for rule in rules.values()):
        got, due = changes(record, 1)
        c = ratio(got - due, flat(record.moments[0].before))
        if c is not None and own.get("lr"):
            l2 = -c / own["lr"]
            text = f"each step also adds {l2:.4g} w to the gradient, which the update rule does not"
            yield text, Play(but(rules, l2=l2))
        return
    yield "the weight decay is missing", Play(but(rules, l2=0.0))
    biases = [name for name in rules if name.rpartition(".")[2].startswith("b")]
    for spared in ([name] for name in rules) if len(rules) > 1 else ():
        yield from _spared(rules, spared)
    if 1 < len(biases) < len(rules):
        yield from _spared(rules, biases)
    factors = [-1.0, 2.0, 0.5]
    fitted = _factor(record)
    if fitted is not None and not any(abs(fitted - k) < 1e-6 for k in (0.0, *factors)):
        factors.append(fitted)
    for k in factors:
        yield _decay_text(k), Play({name: _scaled(rule, k) for name, rule in rules.items()})


def _spared(rules: dict[str, Update], names: list[str]) -> Iterator[Suspect]:
    text = f"the weight decay does not move {', '.join(names)}, where the update rule has it do so"
    yield text, Play(rules | but({name: rules[name] for name in names}, l2=0.0))


def _decay_text(k: float) -> str:
    sign = "has the wrong sign: it has to make w smaller" if k < 0 else ""
    size = abs(k)
    if abs(size - 1) < 1e-6:
        return f"the weight decay {sign}"
    parts = round(1 / size)
    averaged = f", divided by {parts} as if it were averaged over a batch"
    scaled = f"is {number_text(size)} x the update rule's"
    scaled += averaged if parts > 2 and abs(parts * size - 1) < 1e-6 else ""
    return f"the weight decay {sign}, and {scaled}" if sign else f"the weight decay {scaled}"


def _factor(record: Record) -> float | None:
    """Return the factor on l2 with which the first step would be right, if there is one."""
    moment = record.moments[0]
    without = Play(but(record.rules, l2=0.0))
    bare = {
        name: without(1, index, name, w.copy(), moment.gradients[name].copy())
        for index, (name, w) in enumerate(moment.before.items())
    }
    got, due = flat(moment.after) - flat(bare), flat(moment.expected) - flat(bare)
    return ratio(got, due)


def _scaled(rule: Update, k: float) -> Update:
    own = settings({"": rule})
    return rule.but(l2=k * own["l2"]) if isinstance(rule, Rule) and own.get("l2") else rule


def _l1_as_l2(rule: Update) -> Update:
    own = settings({"": rule})
    return rule.but(l2=own["l2"] + own["l1"], l1=0.0) if isinstance(rule, Rule) else rule
