"""Softmax and cross entropy with labels in NumPy. Compiled twin: `elunet.kernels.losses`."""

from __future__ import annotations

import numpy as np

from elunet._types import Array

LEAST = -708.0  # below it, e^x is no normal number: it counts as 0


def label_cross_entropy(z: Array, labels: Array, dz: Array) -> tuple[bool, float]:
    """Return whether the labels are valid, and ``-mean(log p[n, labels[n]])``; write its gradient.

    ``dz = (p - y) / N``, with p = softmax(z), in float64.
    """
    rows, columns = z.shape
    if ((labels < 0) | (labels >= columns)).any():
        return False, 0.0
    shifted = z.astype(np.float64) - z.max(axis=1, keepdims=True)
    powers = np.where(shifted < LEAST, 0.0, np.exp(np.maximum(shifted, LEAST)))
    total = powers.sum(axis=1)
    own = np.arange(rows), labels
    value = float(np.mean(np.log(total) - shifted[own]))
    powers[own] -= total
    dz[...] = powers / (total * rows)[:, None]
    return True, value + 0.0  # 0.0 for a perfect prediction, not -0.0
