"""Recurrent layers: the state of the wrong step, gates without their derivative."""

from __future__ import annotations

import numpy as np
from testing.mistakes.mistake import Mistake, normal, one_hot, sigmoid, softmax

from elunet.testing import check_functions, check_gradient, check_layer


class RNN:
    """Over one sequence (steps, features); updates its weights in the backward pass."""

    def __init__(self, wrong, n_in=3, n_hidden=4):
        self.wrong = wrong
        self.i_weight = normal(n_in, n_hidden, seed=1)
        self.h_weight = 0.5 * normal(n_hidden, n_hidden, seed=2)
        self.h_bias = np.zeros((1, n_hidden))

    def forward(self, x):
        self.x, self.hiddens = x, np.zeros((len(x) + 1, self.h_weight.shape[0]))
        for t, row in enumerate(x):  # the state before step t is hiddens[t]
            z = row @ self.i_weight + self.hiddens[t] @ self.h_weight + self.h_bias[0]
            self.hiddens[t + 1] = np.tanh(z)
        return self.hiddens[1:]

    def backward(self, grad, lr):
        i_grad, h_grad = np.zeros_like(self.i_weight), np.zeros_like(self.h_weight)
        b_grad, dx, following = np.zeros_like(self.h_bias), np.zeros_like(self.x), 0
        for t in reversed(range(len(grad))):
            dz = (grad[t] + following) * (1 - self.hiddens[t + 1] ** 2)
            i_grad += np.outer(self.x[t], dz)
            h_grad += np.outer(self.hiddens[t + 1 if self.wrong else t], dz)
            b_grad += dz
            dx[t], following = self.i_weight @ dz, self.h_weight @ dz
        self.i_weight -= lr * i_grad
        self.h_weight -= lr * h_grad
        self.h_bias -= lr * b_grad
        return dx


def lstm_cell(wrong):
    """Return one step of Ng's LSTM: columns are examples, parameters and gradients in dicts."""

    def lstm_cell_forward(xt, a_prev, c_prev, parameters):
        concat = np.concatenate([a_prev, xt])
        ft, it, ot = (
            sigmoid(parameters[f"W{g}"] @ concat + parameters[f"b{g}"]) for g in ("f", "i", "o")
        )
        cct = np.tanh(parameters["Wc"] @ concat + parameters["bc"])
        c_next = ft * c_prev + it * cct
        a_next = ot * np.tanh(c_next)
        return a_next, c_next, (c_next, c_prev, concat, ft, it, cct, ot, parameters)

    def lstm_cell_backward(da_next, dc_next, cache):
        c_next, c_prev, concat, ft, it, cct, ot, parameters = cache
        dc = dc_next + da_next * ot * (1 - np.tanh(c_next) ** 2)
        gates = {
            "f": dc * c_prev * (1 if wrong else ft * (1 - ft)),
            "i": dc * cct * it * (1 - it),
            "c": dc * it * (1 - cct**2),
            "o": da_next * np.tanh(c_next) * ot * (1 - ot),
        }
        gradients = {"dc_prev": dc * ft}
        for gate, dz in gates.items():
            gradients[f"dW{gate}"] = dz @ concat.T
            gradients[f"db{gate}"] = dz.sum(axis=1, keepdims=True)
        d_concat = sum(parameters[f"W{gate}"].T @ dz for gate, dz in gates.items())
        n_a = len(c_prev)
        return gradients | {"da_prev": d_concat[:n_a], "dxt": d_concat[n_a:]}

    return lstm_cell_forward, lstm_cell_backward


def lstm_values(n_x=2, n_a=3, m=4):
    """Return xt, a_prev, c_prev and the parameters."""
    parameters = {f"W{g}": normal(n_a, n_a + n_x, seed=i) for i, g in enumerate("fico")}
    parameters |= {f"b{g}": np.zeros((n_a, 1)) for g in "fico"}
    return normal(n_x, m), normal(n_a, m, seed=5), normal(n_a, m, seed=6), parameters


class Derivatives:
    """A function with a flag for its derivative, as in many notebooks."""

    def __init__(self, wrong):
        self.wrong = wrong

    def sigmoid(self, x):
        """Return the slope, where x is activated already."""
        f = sigmoid(x) if self.wrong else x
        return f * (1 - f)

    def tanh(self, x):
        f = np.tanh(x) if self.wrong else x
        return 1 - f**2


GATES = ("W_f", "W_i", "W_g", "W_o")


def unrolled(values, inputs):
    """Run the LSTM over (steps, features) and return each step's values and the outputs."""
    h, C, steps = np.zeros(3), np.zeros(3), []
    for x in inputs:
        z, C_prev = np.concatenate([h, x]), C
        f, i, o = (sigmoid(values[name] @ z) for name in ("W_f", "W_i", "W_o"))
        g = np.tanh(values["W_g"] @ z)
        C = f * C_prev + i * g
        h = o * np.tanh(C)
        steps.append((z, f, i, g, o, C_prev, C, h))
    return steps, softmax(np.array([step[-1] for step in steps]) @ values["W_v"])


def sequence_loss(values, inputs, targets):
    return -np.sum(targets * np.log(unrolled(values, inputs)[1]))


def sequence_gradients(values, inputs, targets, slope):
    """Return the gradients of the loss, through time, with these derivatives."""
    steps, outputs = unrolled(values, inputs)
    grads = {name: np.zeros_like(value) for name, value in values.items()}
    dh_next, dC_next = np.zeros(3), np.zeros(3)
    for (z, f, i, g, o, C_prev, C, h), dv in reversed(
        [*zip(steps, outputs - targets, strict=True)]
    ):
        grads["W_v"] += np.outer(h, dv)
        dh = values["W_v"] @ dv + dh_next
        dC = dC_next + dh * o * (1 - np.tanh(C) ** 2)
        gates = (
            dC * C_prev * slope.sigmoid(f),
            dC * g * slope.sigmoid(i),
            dC * i * slope.tanh(g),
            dh * np.tanh(C) * slope.sigmoid(o),
        )
        dz = 0
        for name, gate in zip(GATES, gates, strict=True):
            grads[name] += np.outer(gate, z)
            dz = dz + values[name].T @ gate
        dh_next, dC_next = dz[:3], dC * f
    return grads


def check_sequence(wrong):
    inputs, targets = normal(4, 2), one_hot(4, 2)
    values = {name: normal(3, 5, seed=i) for i, name in enumerate(GATES)}
    values["W_v"] = normal(3, 2, seed=4)
    return check_gradient(
        lambda v: sequence_loss(v, inputs, targets),
        lambda v: sequence_gradients(v, inputs, targets, Derivatives(wrong)),
        values,
    )


RECURRENT = [
    Mistake(
        "the state after instead of before",
        "VikParuchuri/zero_to_gpt/issues/9",
        "the recurrent weights' gradient takes h[t] where the step took h[t - 1]",
        lambda wrong: check_layer(RNN(wrong), normal(5, 3)),
        "off by one",
    ),
    Mistake(
        "forget gate without its derivative",
        "CaptainE/RNN-LSTM-in-numpy/pull/2",
        "the forget gate's gradient lacks f * (1 - f)",
        lambda wrong: check_functions(*lstm_cell(wrong), *lstm_values(), batch_axis=1),
    ),
    Mistake(
        "activated twice",
        "nicklashansen/rnn_lstm_from_scratch/issues/1",
        "sigmoid' and tanh' activate values that are activated already",
        check_sequence,
    ),
]
