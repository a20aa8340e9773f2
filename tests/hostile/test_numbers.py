"""Numbers of unusual kinds as arguments: beyond float64, fractions, NumPy's own."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import elunet as eln
from elunet import optim

HUGE = [10**400, -(10**400), 10**5000, Fraction(10**400, 3)]


@pytest.mark.parametrize("value", HUGE, ids=range(4))
@pytest.mark.parametrize(
    "make",
    [
        optim.SGD,
        lambda value: optim.SGD(0.1, l2=value),
        lambda value: optim.SGD(0.1, clip_norm=value),
        lambda value: optim.Adam(0.1, eps=value),
        lambda value: optim.RMSProp(0.1, rho=value),
        eln.schedules.Constant,
        eln.schedules.Cosine(1.0, 10),
        eln.layers.ELU,
        eln.layers.Dropout,
        eln.init.Constant,
    ],
)
def test_a_number_beyond_float64_is_refused_by_name(make, value):
    with pytest.raises(ValueError, match=r"\w+: expected \w+ in .* got a number outside"):
        make(value)


def stepped(optimizer, compiled=True):
    """Return the weights after three steps."""
    net = eln.Sequential([eln.layers.Linear(5, 4)], seed=0)
    if not compiled:
        net["linear1"].params["W"] = np.asfortranarray(net["linear1"].params["W"])
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    for _ in range(3):
        net.backward(net.forward(x, train=True))
        optimizer.step(net)
    return net["linear1"].params["W"]


NUMBERS = {
    optim.SGD: {"lr": 0.1, "momentum": 0.7, "l2": 0.3, "l1": 0.1, "clip_norm": 0.6},
    optim.Adam: {"lr": 0.1, "beta1": 0.7, "beta2": 0.9, "eps": 1e-3, "l2": 0.3, "clip_norm": 0.6},
    optim.RMSProp: {"lr": 0.1, "rho": 0.7, "eps": 1e-3, "momentum": 0.7, "l2": 0.3, "l1": 0.1},
    optim.AdamW: {"lr": 0.1, "beta1": 0.7, "beta2": 0.9, "eps": 1e-3, "l2": 0.3, "l1": 0.1},
    optim.NAdam: {"lr": 0.1, "beta1": 0.7, "beta2": 0.9, "momentum_decay": 0.3, "l2": 0.3},
    optim.AdaGrad: {"lr": 0.1, "eps": 1e-3, "l2": 0.3, "l1": 0.1, "clip_value": 0.3},
    optim.Lion: {"lr": 0.1, "beta1": 0.7, "beta2": 0.9, "l2": 0.3, "l1": 0.1},
}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("as_", [np.float64, Fraction], ids=["float64", "Fraction"])
@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_any_kind_give_the_same_bits(kind, as_, compiled):
    wanted = stepped(kind(**NUMBERS[kind]), compiled)
    given = {name: as_(value) for name, value in NUMBERS[kind].items()}
    assert repr(kind(**given)) == repr(kind(**NUMBERS[kind]))
    np.testing.assert_array_equal(stepped(kind(**given), compiled), wanted)
    later = kind(**{name: value / 2 for name, value in NUMBERS[kind].items()})
    for name, value in given.items():  # as a callback may
        setattr(later, name, value)
    np.testing.assert_array_equal(stepped(later, compiled), wanted)
