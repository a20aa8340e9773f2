"""check_layer compares a layer's tangent, if it has one, with its backward pass."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln
from elunet.testing import GradientCheckError, check_layer

X = np.random.default_rng(0).normal(size=(4, 3))


class Square(eln.layers.Layer):
    factor = 2.0

    def forward(self, x, train=False):
        self.keep(x)
        return x**2

    def backward_input(self, dy):
        (x,) = self.recall()
        return 2 * x * dy

    def tangent(self, dx, dparams):
        (x,) = self.recall()
        return self.factor * x * dx


class Halved(Square):
    factor = 1.0


class Reshaped(Square):
    def tangent(self, dx, dparams):
        return super().tangent(dx, dparams)[:1]


class CalledSymmetric(eln.layers.Layer):
    symmetric = True

    def forward(self, x, train=False):
        return x.cumsum(axis=1)

    def backward_input(self, dy):
        return dy[:, ::-1].cumsum(axis=1)[:, ::-1]


class CalledLinear(Square):
    linear = True
    tangent = eln.layers.Layer.tangent


class ForgetsTheBias(eln.layers.Linear, spans=True):
    def tangent(self, dx, dparams):
        return super().tangent(dx, {k: v for k, v in dparams.items() if k != "b"})


def test_a_right_one_passes():
    check_layer(Square(), X)
    check_layer(eln.layers.Linear(3, 2, seed=0), X)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Halved(), r"tangent\(dx, dparams\) is not backward's Jacobian: <dy, tangent> is"),
        (Reshaped(), r"gives shape \(1, 3\), expected y's, \(4, 3\)"),
        (CalledSymmetric(), "is not backward's Jacobian"),
        (CalledLinear(), "is not backward's Jacobian"),
        (ForgetsTheBias(3, 2, seed=0), "is not backward's Jacobian"),
    ],
)
def test_a_wrong_one_is_caught(layer, message):
    with pytest.raises(GradientCheckError, match=message) as caught:
        check_layer(layer, X)
    assert caught.value.array == "tangent"


class OwnPasses(eln.layers.LogSoftmax):
    """Its passes are right, and no longer those that LogSoftmax's tangent is for."""

    def forward(self, x, train=False):
        return 2 * super().forward(x, train)

    def backward_input(self, dy):
        return super().backward_input(2 * dy)


def test_one_that_a_base_class_left_is_a_note():
    result = check_layer(OwnPasses(), X)
    assert "tangent, which a base class defines, does not fit these passes" in result.notes[0]
