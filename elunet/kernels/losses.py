"""Softmax and cross entropy with labels: the value and the gradient of each row in one go."""

from __future__ import annotations

import numpy as np

from elunet._types import Array
from elunet.kernels._jit import jit
from elunet.kernels.activations import split_exp

LEAST = -708.0  # below it, e^x is no normal number: it counts as 0


@jit
def label_cross_entropy(z: Array, labels: Array, dz: Array) -> tuple[bool, float]:
    """Return ``-mean(log p[n, labels[n]])`` and write ``dz = (p - y) / N``, with p = softmax(z).

    Each row's largest logit is subtracted first. All is computed in float64.

    Parameters
    ----------
    z, dz : arrays of shape (N, C)
    labels : int64 array of shape (N,)

    Returns
    -------
    valid : bool
        Whether all labels are in 0..C-1. If one is not, dz is not complete.
    value : float
    """
    rows, columns = z.shape
    powers = np.empty(columns)
    value = 0.0
    for n in range(rows):
        label = labels[n]
        if label < 0 or label >= columns:
            return False, 0.0
        largest = z[n, 0]
        for k in range(1, columns):
            largest = z[n, k] if z[n, k] > largest else largest
        shift = np.float64(largest)
        for k in range(columns):
            x = np.float64(z[n, k]) - shift
            power, tail = split_exp(x)
            powers[k] = 0.0 if x < LEAST else power * tail + power
        total = 0.0
        for k in range(columns):  # by itself, since a sum takes one number at a time
            total += powers[k]
        value -= (np.float64(z[n, label]) - shift) - np.log(total)
        powers[label] -= total
        factor = 1.0 / (total * rows)
        for k in range(columns):
            dz[n, k] = powers[k] * factor
    return True, value / rows + 0.0  # 0.0 for a perfect prediction, not -0.0
