"""Optimizers: what they are given, and where they keep what they remember."""

from __future__ import annotations

import numpy as np
from testing.designs.design import Design, off

from elunet.testing import check_optimizer, updates


class OneArray:
    """update(w, g) returns the new array."""

    def __init__(self, wrong, lr=0.1, momentum=0.9):
        self.wrong, self.lr, self.momentum, self.v = wrong, lr, momentum, 0.0

    def update(self, w, grad):
        self.v = self.momentum * self.v - self.lr * off(self.wrong, grad)
        return w + self.v


class Dicts:
    """update(params, grads) over dicts, in place."""

    def __init__(self, wrong, lr=0.1, momentum=0.9):
        self.wrong, self.lr, self.momentum, self.v = wrong, lr, momentum, None

    def update(self, params, grads):
        if self.v is None:
            self.v = {key: np.zeros_like(value) for key, value in params.items()}
        for key in params:
            self.v[key] = self.momentum * self.v[key] - self.lr * off(self.wrong, grads[key])
            params[key] += self.v[key]


class Lists:
    """update(params, grads) over lists, in place."""

    def __init__(self, wrong, lr=0.1):
        self.wrong, self.lr = wrong, lr

    def update(self, params, grads):
        for w, g in zip(params, grads, strict=True):
            w -= self.lr * off(self.wrong, g)


class OfLayers:
    """update_params(layer) of a layer with weights, biases and what the optimizer puts there."""

    def __init__(self, wrong, learning_rate=0.1, momentum=0.9):
        self.wrong, self.learning_rate, self.momentum = wrong, learning_rate, momentum

    def update_params(self, layer):
        if not hasattr(layer, "weight_momentums"):
            layer.weight_momentums = np.zeros_like(layer.weights)
            layer.bias_momentums = np.zeros_like(layer.biases)
        step = self.learning_rate * off(self.wrong, layer.dweights)
        layer.weight_momentums = self.momentum * layer.weight_momentums - step
        layer.bias_momentums = (
            self.momentum * layer.bias_momentums - self.learning_rate * layer.dbiases
        )
        layer.weights += layer.weight_momentums
        layer.biases += layer.bias_momentums


class OfLayersWithDicts:
    """update_layer(layer) of a layer with params and grads, which replaces the arrays."""

    def __init__(self, wrong, lr=0.1):
        self.wrong, self.lr = wrong, lr

    def update_layer(self, layer):
        for key in layer.params:
            layer.params[key] = layer.params[key] - self.lr * off(self.wrong, layer.grads[key])


class OfLayersInPlace:
    """update_layer(layer) of a layer with W, b, dW and db."""

    def __init__(self, wrong, lr=0.1):
        self.wrong, self.lr = wrong, lr

    def update_layer(self, layer):
        layer.W -= self.lr * off(self.wrong, layer.dW)
        layer.b -= self.lr * layer.db


class Steps:
    """step() over the list that it was made with."""

    def __init__(self, wrong, parameters, lr=0.1):
        self.wrong, self.parameters, self.lr = wrong, parameters, lr

    def step(self):
        for p in self.parameters:
            p.value -= self.lr * off(self.wrong, p.grad)


def sgd_momentum(wrong):
    """Return CS231n's (w, dw, config) -> new w, config."""

    def sgd_momentum(w, dw, config=None):
        config = {} if config is None else config
        rate = config.setdefault("learning_rate", 1e-2)
        momentum = config.setdefault("momentum", 0.9)
        v = momentum * config.get("velocity", np.zeros_like(w)) - rate * off(wrong, dw)
        config["velocity"] = v
        return w + v, config

    return sgd_momentum


def update_parameters(wrong):
    """Return a function of Ng's courses: dicts of W1 and dW1, and the learning rate."""

    def update_parameters(parameters, grads, learning_rate):
        return {
            key: value - learning_rate * off(wrong, grads[f"d{key}"])
            for key, value in parameters.items()
        }

    return update_parameters


MOMENTUM = updates.sgd(0.1, 0.9)

OPTIMIZERS = [
    Design("update(w, g)", lambda wrong: check_optimizer(OneArray(wrong), MOMENTUM)),
    Design("update(params, grads), dicts", lambda wrong: check_optimizer(Dicts(wrong), MOMENTUM)),
    Design(
        "update(params, grads), lists",
        lambda wrong: check_optimizer(Lists(wrong), updates.sgd(0.1)),
    ),
    Design(
        "update_layer(layer) with params and grads",
        lambda wrong: check_optimizer(OfLayersWithDicts(wrong), updates.sgd(0.1)),
    ),
    Design(
        "update_layer(layer) with W and dW",
        lambda wrong: check_optimizer(OfLayersInPlace(wrong), updates.sgd(0.1)),
    ),
    Design("update_params(layer)", lambda wrong: check_optimizer(OfLayers(wrong), MOMENTUM)),
    Design(
        "step() over a list",
        lambda wrong: check_optimizer(lambda params: Steps(wrong, params), updates.sgd(0.1)),
    ),
    Design(
        "w, dw, config",
        lambda wrong: check_optimizer(sgd_momentum(wrong), updates.sgd(1e-2, 0.9)),
    ),
    Design(
        "update_parameters(parameters, grads, learning_rate)",
        lambda wrong: check_optimizer(
            update_parameters(wrong), updates.sgd(0.1), learning_rate=0.1
        ),
    ),
]
