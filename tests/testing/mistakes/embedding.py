"""Lookups and attention: repeated indices, and gradients that change places."""

from __future__ import annotations

import numpy as np
from testing.mistakes.mistake import Mistake, normal, softmax

from elunet.testing import check_functions, check_layer


class Embedding:
    """Rows of a table, picked by integers of any shape."""

    def __init__(self, wrong, count=5, features=3):
        self.wrong, self.C = wrong, normal(count, features, seed=1)

    def forward(self, Xb):
        self.Xb = Xb
        return self.C[Xb]

    def backward(self, demb):
        self.dC = np.zeros_like(self.C)
        if self.wrong:
            self.dC[self.Xb] = demb
        else:
            np.add.at(self.dC, self.Xb, demb)


def indexing(wrong):
    """Return A[idx] as a pair of functions."""

    def take_forward(A, idx):
        return A[idx], (A.shape, idx)

    def take_backward(g, cache):
        shape, idx = cache
        out = np.zeros(shape)
        if wrong:
            out[idx] += g  # adds once for each index, however often it comes
        else:
            np.add.at(out, idx, g)
        return out

    return take_forward, take_backward


class Attention:
    """softmax(q k' / sqrt(d)) v over (batch, tokens, features)."""

    def __init__(self, wrong):
        self.wrong = wrong

    def forward(self, q, k, v):
        self.q, self.k, self.v = q, k, v
        self.scale = 1 / np.sqrt(q.shape[-1])
        self.weights = softmax(q @ k.swapaxes(1, 2) * self.scale)
        return self.weights @ v

    def backward(self, d_out):
        d_weights = d_out @ self.v.swapaxes(1, 2)
        inner = (d_weights * self.weights).sum(axis=-1, keepdims=True)
        d_scores = self.weights * (d_weights - inner) * self.scale
        dq, dk = d_scores @ self.k, d_scores.swapaxes(1, 2) @ self.q
        if self.wrong:
            dq, dk = dk, dq
        return dq, dk, self.weights.swapaxes(1, 2) @ d_out


QKV = tuple(normal(2, 3, 4, seed=seed) for seed in range(3))

EMBEDDING = [
    Mistake(
        "repeated letters",
        "karpathy/nn-zero-to-hero/issues/57",
        "the table's gradient is assigned by index: of repeated letters one counts",
        lambda wrong: check_layer(Embedding(wrong), np.array([[0, 1, 1], [3, 1, 4]])),
        "np.add.at for repeated indices",
    ),
    Mistake(
        "repeated indices",
        "HIPS/autograd/issues/39",
        "`out[idx] += g` adds only once for an index that comes twice",
        lambda wrong: check_functions(*indexing(wrong), normal(5, 3), np.array([0, 2, 2, 4])),
        "np.add.at for repeated indices",
    ),
    Mistake(
        "dQ and dK swapped",
        "ooples/AiDotNet.Tensors/issues/49",
        "attention returns dK where dQ belongs, and the other way round",
        lambda wrong: check_layer(Attention(wrong), QKV),
        "swapped",
    ),
]
