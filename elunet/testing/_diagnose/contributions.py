"""Terms of a sum that were overwritten: where windows overlap, or an index repeats.

Entry v gets a contribution (dy / dv) from every place of the output that depends on it. Where code
writes ``dx[window] = ...`` for ``+=``, only the last one stays.
"""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.testing._diagnose.evidence import Evidence
from elunet.testing._diagnose.numbers import distinct


def overwritten(e: Evidence) -> str:
    """Each entry holds its last (or first) contribution only."""
    if e.dy is None or e.dy.size < 2 or e.jacobian is None or e.y is None:
        return ""
    if e.jacobian.rows.shape[1:] != e.dy.shape or distinct(e.a) < 3:
        return ""
    chosen, rows = e.jacobian.chosen, e.jacobian.rows
    felt = np.abs(rows) > 1e-6 * np.max(np.abs(rows))
    terms = rows * e.dy
    # Contributions of one place come together: a place is all but the last `inner` axes of y.
    for inner in range(e.dy.ndim):
        outer = e.dy.ndim - inner
        within = tuple(range(1 + outer, 1 + e.dy.ndim))
        term = terms.sum(axis=within).reshape(len(chosen), -1)
        there = felt.any(axis=within).reshape(len(chosen), -1)
        count = there.sum(axis=1)
        if term.shape[1] < 2 or np.sum(count > 1) < 2:
            continue
        for which, name in ((_last(there), "last"), (np.argmax(there, axis=1), "first")):
            kept = np.where(count > 0, term[np.arange(len(chosen)), which], 0.0)
            if e.is_analytic(kept, chosen):
                return (
                    f"each entry of {e.array} holds only its {name} contribution (of up to "
                    f"{int(count.max())}): written with = where += is needed (np.add.at for"
                    " repeated indices)"
                    if name == "last"
                    else f"each entry of {e.array} holds only its first contribution (of up to "
                    f"{int(count.max())}): does a loop stop too early?"
                )
    return ""


def _last(there: Array) -> Array:
    return np.asarray(there.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1))
