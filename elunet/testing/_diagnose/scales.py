"""A factor that is an array: gamma missing or twice, a mask missing."""

from __future__ import annotations

import numpy as np

from elunet.testing._diagnose.evidence import Evidence
from elunet.testing._diagnose.numbers import distinct, either, generic
from elunet.testing._diagnose.signals import broadcast


def array_factor(e: Evidence) -> str:
    """Analytic = numeric / g or numeric x g, for a known array g."""
    if distinct(e.a) < 3:
        return ""
    arrays = dict(e.inputs)
    if e.y is not None and e.y.shape == e.value.shape:
        arrays["y"] = e.y
    found = []
    for name, array in arrays.items():
        for g in broadcast(array, e.value.shape):
            values = e.pick(g)
            if not generic(array) or distinct(values) < 2:
                continue
            if e.is_analytic(e.numeric * values):
                found.append(
                    f"analytic = numeric x {name}: the factor {name} enters once too often"
                )
            if e.same(e.a * values, e.numeric) and not e.same(e.a, e.numeric):
                found.append(f"analytic = numeric / {name}: the factor {name} is missing")
    return either(list(dict.fromkeys(found)))


def mask(e: Evidence) -> str:
    """Analytic is dy, numeric is dy at some entries (or a multiple of it) and 0 at others."""
    if e.dy is None or e.dy.shape != e.value.shape or e.dy.size < 6 or not e.is_input:
        return ""
    dy = e.pick(e.dy)
    dropped = np.abs(e.numeric) <= e.close * np.max(np.abs(e.numeric))
    kept = ~dropped
    if min(np.sum(dropped), np.sum(kept)) < 2 or np.any(dy == 0):
        return ""
    scale = float(np.dot(e.numeric[kept], dy[kept]) / np.dot(dy[kept], dy[kept]))
    if not e.same(scale * dy[kept], e.numeric[kept]):
        return ""
    for k, text in ((1.0, ""), (scale, f" (the factor {scale:.4g} is there)")):
        if e.is_analytic(k * dy):
            return (
                f"backward lacks a mask: {int(np.sum(dropped))} of {len(dy)} entries do not reach "
                "the output (dropped, or on the flat side of a ReLU), and their gradient is 0"
                + text
            )
    return ""
