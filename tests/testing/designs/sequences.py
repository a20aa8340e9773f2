"""Several inputs and outputs, indices, and state that is carried on."""

from __future__ import annotations

import numpy as np
from testing.designs.design import Design, normal, off

from elunet.testing import check_functions, check_layer


class Attention:
    def __init__(self, wrong):
        self.wrong = wrong

    def forward(self, q, k, v):
        e = np.exp(q @ k.T)
        self.q, self.k, self.v, self.a = q, k, v, e / e.sum(axis=-1, keepdims=True)
        return self.a @ v

    def backward(self, dout):
        da = dout @ self.v.T
        ds = self.a * (da - (da * self.a).sum(axis=-1, keepdims=True))
        return ds @ self.k, off(self.wrong, ds.T @ self.q), self.a.T @ dout


class TupleInput:
    """forward((a, b)) of one tuple."""

    def __init__(self, wrong):
        self.wrong = wrong

    def forward(self, inputs):
        self.a, self.b = inputs
        return self.a * self.b

    def backward(self, dy):
        return off(self.wrong, dy * self.b), dy * self.a


class Cell:
    """One step of an RNN."""

    def __init__(self, wrong, n_in=3, n_hidden=4):
        self.wrong = wrong
        self.Wx, self.Wh = normal(n_in, n_hidden, seed=1), normal(n_hidden, n_hidden, seed=2)
        self.b = np.zeros(n_hidden)

    def forward(self, x, h_prev):
        self.x, self.h_prev = x, h_prev
        self.h_next = np.tanh(x @ self.Wx + h_prev @ self.Wh + self.b)
        return self.h_next

    def backward(self, dh_next):
        dt = dh_next * (1 - self.h_next**2)
        self.dWx, self.db = self.x.T @ dt, dt.sum(axis=0)
        self.dWh = off(self.wrong, self.h_prev.T @ dt)
        return dt @ self.Wx.T, dt @ self.Wh.T


class TimeRNN:
    """All steps at once, (N, T, D), in float32; stateful, it continues from the last state."""

    def __init__(self, wrong, stateful=False, dtype=np.float32):
        Wx, Wh = normal(3, 4, seed=1).astype(dtype), normal(4, 4, seed=2).astype(dtype)
        self.wrong, self.stateful, self.h, self.dh = wrong, stateful, None, None
        self.params = [Wx, Wh, np.zeros(4, dtype=dtype)]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(4, dtype=dtype)]

    def forward(self, xs):
        Wx, Wh, b = self.params
        N, T, _ = xs.shape
        hs = np.empty((N, T, len(Wh)), dtype=Wx.dtype)
        if not self.stateful or self.h is None:
            self.h = np.zeros((N, len(Wh)), dtype=Wx.dtype)
        self.steps = []
        for t in range(T):
            before = self.h
            self.h = hs[:, t] = np.tanh(xs[:, t] @ Wx + before @ Wh + b)
            self.steps.append((xs[:, t], before, self.h))
        return hs

    def backward(self, dhs):
        Wx, Wh, _ = self.params
        dxs = np.empty((*dhs.shape[:2], len(Wx)), dtype=Wx.dtype)
        dh, sums = 0, [0, 0, 0]
        for t in reversed(range(len(self.steps))):
            x, before, after = self.steps[t]
            dt = (dhs[:, t] + dh) * (1 - after**2)
            dxs[:, t], dh = dt @ Wx.T, dt @ Wh.T
            step = (x.T @ dt, off(self.wrong, before.T @ dt), dt.sum(axis=0))
            sums = [one + other for one, other in zip(sums, step, strict=True)]
        for grad, total in zip(self.grads, sums, strict=True):
            grad[...] = total
        self.dh = dh
        return dxs


def started(wrong):
    """Return a stateful TimeRNN that has a state already."""
    layer = TimeRNN(wrong, stateful=True, dtype=np.float64)
    layer.h = normal(2, 4, seed=7)
    return layer


def rnn_functions(wrong):
    """Return a whole sequence as functions, (N, T, D) and h0."""

    def rnn_forward(x, h0, Wx, Wh, b):
        h, cache, steps = [h0], (x, Wx, Wh), x.shape[1]
        for t in range(steps):
            h.append(np.tanh(x[:, t] @ Wx + h[-1] @ Wh + b))
        return np.stack(h[1:], axis=1), (*cache, h)

    def rnn_backward(dh, cache):
        x, Wx, Wh, h = cache
        dx, dWx, dWh, db = np.zeros_like(x), 0, 0, 0
        dprev_h = np.zeros_like(h[0])
        for t in reversed(range(x.shape[1])):
            da = (dh[:, t] + dprev_h) * (1 - h[t + 1] ** 2)
            dx[:, t], dprev_h = da @ Wx.T, da @ Wh.T
            dWx, dWh, db = dWx + x[:, t].T @ da, dWh + h[t].T @ da, db + da.sum(axis=0)
        return dx, off(wrong, dprev_h), dWx, dWh, db

    return rnn_forward, rnn_backward


def lstm_step(wrong):
    """Return one step with two outputs, next_h and next_c."""

    def lstm_step_forward(x, prev_h, prev_c, W):
        i, f, o, g = np.split(np.concatenate([prev_h, x], axis=1) @ W, 4, axis=1)
        i, f, o, g = (*(1 / (1 + np.exp(-gate)) for gate in (i, f, o)), np.tanh(g))
        next_c = f * prev_c + i * g
        next_h = o * np.tanh(next_c)
        return next_h, next_c, (x, prev_h, prev_c, W, i, f, o, g, next_c)

    def lstm_step_backward(dnext_h, dnext_c, cache):
        x, prev_h, prev_c, W, i, f, o, g, next_c = cache
        dc = dnext_c + dnext_h * o * (1 - np.tanh(next_c) ** 2)
        da = np.concatenate(
            [
                dc * g * i * (1 - i),
                dc * prev_c * f * (1 - f),
                dnext_h * np.tanh(next_c) * o * (1 - o),
                dc * i * (1 - g**2),
            ],
            axis=1,
        )
        both = da @ W.T
        n = prev_h.shape[1]
        dW = np.concatenate([prev_h, x], axis=1).T @ da
        return both[:, n:], both[:, :n], off(wrong, dc * f), dW

    return lstm_step_forward, lstm_step_backward


class Embedding:
    def __init__(self, wrong):
        self.wrong = wrong
        self.params, self.grads = [normal(6, 3, seed=1)], [np.zeros((6, 3))]

    def forward(self, idx):
        self.idx = idx
        return self.params[0][idx]

    def backward(self, dout):
        self.grads[0][...] = 0
        np.add.at(self.grads[0], self.idx, off(self.wrong, dout))


def word_embedding(wrong):
    def word_embedding_forward(x, W):
        return W[x], (x, W)

    def word_embedding_backward(dout, cache):
        x, W = cache
        dW = np.zeros_like(W)
        np.add.at(dW, x, off(wrong, dout))
        return dW

    return word_embedding_forward, word_embedding_backward


INDICES = np.array([[0, 3, 3], [5, 1, 0]])
SEQUENCE = normal(2, 3, 3)

SEQUENCES = [
    Design(
        "attention",
        lambda wrong: check_layer(Attention(wrong), (normal(3, 2), normal(4, 2), normal(4, 5))),
    ),
    Design(
        "one tuple of inputs",
        lambda wrong: check_layer(TupleInput(wrong), (normal(3, 2), normal(3, 2, seed=1))),
    ),
    Design(
        "an RNN's step",
        lambda wrong: check_layer(Cell(wrong), (normal(2, 3), normal(2, 4, seed=3))),
    ),
    Design(
        "an RNN through time in float32",
        lambda wrong: check_layer(TimeRNN(wrong), SEQUENCE, dtype=np.float32),
    ),
    Design(
        "state that is carried on",
        lambda wrong: check_layer(started(wrong), SEQUENCE, state=("h",)),
    ),
    Design(
        "an RNN in functions",
        lambda wrong: check_functions(
            *(*rnn_functions(wrong), SEQUENCE, normal(2, 4, seed=3)),
            *(normal(3, 4, seed=1), normal(4, 4, seed=2), np.zeros(4)),
        ),
    ),
    Design(
        "an LSTM's step in functions",
        lambda wrong: check_functions(
            *(*lstm_step(wrong), normal(2, 3), normal(2, 2, seed=1)),
            *(normal(2, 2, seed=2), normal(5, 8, seed=3)),
        ),
    ),
    Design("an embedding", lambda wrong: check_layer(Embedding(wrong), INDICES)),
    Design(
        "an embedding in functions",
        lambda wrong: check_functions(*word_embedding(wrong), INDICES, normal(6, 3)),
    ),
]
