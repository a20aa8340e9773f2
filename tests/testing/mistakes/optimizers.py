"""Optimizers: what is kept from step to step, and how the steps are counted."""

from __future__ import annotations

import numpy as np
from testing.mistakes.mistake import Correct, Mistake

from elunet.testing import check_optimizer, updates


class Adam:
    """update(w, grad) returns the new weights; one object for each array."""

    def __init__(self, wrong, learning_rate=0.01, b1=0.9, b2=0.999):
        self.wrong, self.learning_rate, self.eps = wrong, learning_rate, 1e-8
        self.b1, self.b2, self.t = b1, b2, 0
        self.m = self.v = None

    def update(self, w, grad_wrt_w):
        if self.m is None:
            self.m, self.v = np.zeros(w.shape), np.zeros(w.shape)
        self.t += 1
        self.m = self.b1 * self.m + (1 - self.b1) * grad_wrt_w
        self.v = self.b2 * self.v + (1 - self.b2) * grad_wrt_w**2
        t = 1 if self.wrong else self.t
        m_hat, v_hat = self.m / (1 - self.b1**t), self.v / (1 - self.b2**t)
        return w - self.learning_rate * m_hat / (np.sqrt(v_hat) + self.eps)


class ListAdam:
    """step() over a list of parameters, each with .data and .grad."""

    def __init__(self, wrong, params, lr=0.01, betas=(0.9, 0.999)):
        self.wrong, self.params, self.lr, self.betas, self.t = wrong, params, lr, betas, 0
        self.averages = [[np.zeros_like(p.data), np.zeros_like(p.data)] for p in params]

    def step(self):
        self.t += 1
        for p, averages in zip(self.params, self.averages, strict=True):
            corrected = []
            for i, (beta, g) in enumerate(zip(self.betas, (p.grad, p.grad**2), strict=True)):
                averages[i] = beta * averages[i] + (1 - beta) * g
                corrected.append(averages[i] / (1 - beta**self.t))
            if self.wrong:
                averages[:] = corrected  # and the next step starts from these
            p.data -= self.lr * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)


class DictAdam:
    """update(params, grads) over dicts."""

    def __init__(self, wrong, lr=0.01, beta1=0.9, beta2=0.999):
        self.wrong, self.lr, self.beta1, self.beta2 = wrong, lr, beta1, beta2
        self.t, self.m, self.v = 0, {}, {}

    def update(self, params, grads):
        self.t += not self.wrong
        for key, g in grads.items():
            self.t += self.wrong  # counts parameters
            self.m[key] = self.beta1 * self.m.get(key, 0) + (1 - self.beta1) * g
            self.v[key] = self.beta2 * self.v.get(key, 0) + (1 - self.beta2) * g**2
            m_hat = self.m[key] / (1 - self.beta1**self.t)
            v_hat = self.v[key] / (1 - self.beta2**self.t)
            params[key] -= self.lr * m_hat / (np.sqrt(v_hat) + 1e-8)


class Momentum:
    """Keeps a velocity for each name; the velocity has the learning rate in it."""

    def __init__(self, wrong, learning_rate=0.05, momentum=0.9):
        self.wrong, self.learning_rate, self.momentum = wrong, learning_rate, momentum
        self.v = {}

    def update(self, params, grads):
        for name, gradient in grads.items():
            if name not in self.v:
                self.v[name] = -gradient * (1 if self.wrong else self.learning_rate)
            else:
                self.v[name] = self.momentum * self.v[name] - self.learning_rate * gradient
            params[name] += self.v[name]


class AveragedMomentum:
    """The velocity is an average of gradients: v = momentum * v + (1 - momentum) * g."""

    def __init__(self, wrong=False, lr=0.1, momentum=0.9):
        self.wrong, self.lr, self.momentum, self.velocity = wrong, lr, momentum, {}

    def update(self, params, grads):
        for name, g in grads.items():
            old = self.velocity.get(name, np.zeros_like(g))
            new = self.momentum * old + (1 - self.momentum) * g
            params[name] -= self.lr * (old if self.wrong else new)
            self.velocity[name] = new


class Nesterov:
    """As in a book: the velocity is negative, and the step looks ahead."""

    def __init__(self, learning_rate=0.1, momentum=0.9):
        self.learning_rate, self.momentum, self.past_velocity = learning_rate, momentum, 0.0

    def update(self, w, gradient):
        velocity = self.past_velocity * self.momentum - self.learning_rate * gradient
        self.past_velocity = velocity
        return w + self.momentum * velocity - self.learning_rate * gradient


OPTIMIZERS = [
    Mistake(
        "Adam without the step",
        "eriklindernoren/ML-From-Scratch/issues/35",
        "the averages are corrected by 1 - beta at every step, not by 1 - beta**t",
        lambda wrong: check_optimizer(Adam(wrong), updates.adam(0.01)),
        "1 - beta instead of 1 - beta**t",
    ),
    Mistake(
        "Adam corrected in place",
        "frgfm/holocron/issues/1",
        "the corrected averages are kept, and corrected again at the next step",
        lambda wrong: check_optimizer(lambda params: ListAdam(wrong, params), updates.adam(0.01)),
        "corrected in place",
    ),
    Mistake(
        "Adam's t counts parameters",
        "Shubham-cyber-prog/100-Days-Of-Web-Development-ECWoC26/pull/1575",
        "t is increased for each parameter instead of each step",
        lambda wrong: check_optimizer(DictAdam(wrong), updates.adam(0.01)),
        "t counts parameters, not steps",
    ),
    Mistake(
        "first velocity",
        "zc911/MatrixSlow/pull/17",
        "the first velocity lacks the learning rate",
        lambda wrong: check_optimizer(Momentum(wrong), updates.sgd(0.05, 0.9)),
        "the first velocity is the gradient itself, without the learning rate",
    ),
    Mistake(
        "last step's velocity",
        "mdenil/dropout/issues/4",
        "the step is taken with the velocity before its update",
        lambda wrong: check_optimizer(AveragedMomentum(wrong), updates.averaged_momentum(0.1, 0.9)),
        "the update uses last step's velocity",
    ),
]

CORRECT = [
    Correct(
        "Nesterov with a negative velocity",
        "fchollet/deep-learning-with-python-notebooks/issues/289",
        "the sign is in the velocity",
        lambda: check_optimizer(Nesterov(), updates.sgd(0.1, 0.9, nesterov=True)),
    ),
    Correct(
        "averaged momentum",
        "mdenil/dropout/issues/7",
        "v = b * v + (1 - b) * g, and the step is lr * v",
        lambda: check_optimizer(AveragedMomentum(), updates.averaged_momentum(0.1, 0.9)),
    ),
]
