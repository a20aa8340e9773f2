"""The likely cause of a wrong step; where no mistake fits, only what was seen."""

from __future__ import annotations

import numpy as np

from elunet.testing._diagnose import number_text, ratio
from elunet.testing._optimizers.play import fits
from elunet.testing._optimizers.record import Record, changes, flat
from elunet.testing._optimizers.suspects import suspects


def explain(record: Record) -> str:
    """Return the likely cause, or ""."""
    for text, player in suspects(record):
        if fits(record, player):
            return text
    return seen(record)


def seen(record: Record) -> str:
    """Return what can be said without knowing the mistake."""
    t = record.wrong or 1
    moment = record.moments[t - 1]
    got, due = changes(record, t)
    if not np.all(np.isfinite(got)):
        return "the step is not finite"
    if all(not changes(record, t)[0].any() for t in range(1, len(record.moments) + 1)):
        if record.returns:
            return "no parameter changed: return the new w, or write into the array (w -= ...)"
        return (
            "no parameter changed: step has to write into the arrays (w -= ..., w[...] = ...), "
            "not to put new ones in their place"
        )
    size = np.abs(flat(moment.gradients))
    large = size >= np.median(size)  # where eps does not blur a factor
    k = ratio(got[large], due[large])
    later = "step 1 is right, so what changes from step to step is at fault" if t > 1 else ""
    if k:
        factor = f"the step is {number_text(k)} x the update rule's"
        return f"{later}: {factor}" if later else factor
    right = [name for name, mask in moment.wrong.items() if not mask.any()]
    if right and t == 1:
        return f"{right[0]} is right at the same step, so what differs between them is at fault"
    return f"{later}: what is remembered (momentum, averages), or the use of t" if later else ""
