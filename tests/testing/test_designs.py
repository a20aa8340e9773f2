"""Anybody's design: the right program passes, and a wrong gradient is caught."""

from __future__ import annotations

import numpy as np
import pytest
from testing.designs import DESIGNS
from testing.designs.design import normal
from testing.designs.names import CONTAINERS, NAMES, Contained, Named

from elunet.testing import GradientCheckError, check_gradient, check_layer, check_loss

EACH = pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
ATTRIBUTES = pytest.mark.parametrize("names", NAMES, ids="-".join)
DICTS = pytest.mark.parametrize("names", CONTAINERS, ids="-".join)


def test_names_are_different():
    assert len({design.name for design in DESIGNS}) == len(DESIGNS) >= 30


@EACH
def test_the_right_program_passes(design):
    design.check(False)


@EACH
def test_the_wrong_program_is_caught(design):
    with pytest.raises(GradientCheckError) as caught:
        design.check(True)
    assert "no gradient of it was found" not in str(caught.value)


@ATTRIBUTES
def test_a_weight_and_its_gradient_are_found_by_name(names):
    result = check_layer(Named(False, *names), normal(5, 4))
    assert len(result.rows) == 2
    with pytest.raises(GradientCheckError) as caught:
        check_layer(Named(True, *names), normal(5, 4))
    assert caught.value.array == names[1]


@DICTS
def test_a_weight_and_its_gradient_are_found_in_dicts(names):
    result = check_layer(Contained(False, *names), normal(5, 4))
    assert len(result.rows) == 2
    with pytest.raises(GradientCheckError) as caught:
        check_layer(Contained(True, *names), normal(5, 4))
    assert names[2] in caught.value.array


def test_a_function_of_pytorch():
    torch = pytest.importorskip("torch")

    def f(v):
        return float(torch.tensor(v).exp().sum())

    def gradient(v):
        t = torch.tensor(v, requires_grad=True)
        t.exp().sum().backward()
        return t.grad.numpy()

    check_gradient(f, gradient, normal(2, 3))
    with pytest.raises(GradientCheckError):
        check_gradient(f, lambda v: 2 * np.exp(v), normal(2, 3))


def test_what_a_cache_remembers_is_no_gradient():
    """An optimizer's cache, or the weight itself, stands under the weight's name there."""

    class Dense(Named):
        def backward(self, dy):
            dx = super().backward(dy)
            self.cache = {"W": self.dW**2, "dW": 0.9 * self.dW}
            return dx

    assert check_layer(Dense(False, "W", "dW"), normal(5, 4)).arrays == ["dx", "dW"]


def test_delta_is_not_checked_where_a_cannot_be_a_sigmoid():
    class Cost:
        def fn(self, a, y):
            return np.sum((a - y) ** 2)

        def delta(self, z, a, y):
            return 2 * (a - y) * (1 - a**2)

    with pytest.raises(TypeError, match=r"got \(z, a, y\): wrap it"):
        check_loss(Cost(), np.tanh(normal(3, 2)), np.zeros((3, 2)))
