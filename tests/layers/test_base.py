"""What a custom layer meets when something is missing."""

from __future__ import annotations

import re

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L
from elunet._checks import integer


class Nothing(L.Layer):
    pass


def test_what_a_subclass_has_to_define():
    with pytest.raises(NotImplementedError, match=re.escape("Nothing(): a layer has to define fo")):
        Nothing().forward(np.ones(3))
    with pytest.raises(NotImplementedError, match=re.escape("Nothing(): a layer has to define ba")):
        Nothing().backward(np.ones(3))
    assert Nothing().backward_params(np.ones(3)) is None
    with pytest.raises(NotImplementedError, match=re.escape("Weighted(): a layer has to define f")):
        L.Weighted((2, 2), True, None, 0).forward(np.ones((3, 2)))


def test_plain_layers_have_empty_dicts():
    layer = Nothing()
    assert (layer.params, layer.grads, layer.state, layer.rng) == ({}, {}, {}, None)
    assert not layer.weighted
    assert L.Linear(2, 2).weighted
    assert L.Conv2D(2, 2, 1).weighted
    assert not L.BatchNorm(2).weighted


@pytest.mark.parametrize(("value", "kind"), [(1.0, float), (True, bool), ("2", str), (None, None)])
def test_counts_are_integers(value, kind):
    with pytest.raises(
        TypeError, match=re.escape(f"Who: expected what as an integer, got {value!r}")
    ):
        integer("Who", "what", value)


def test_counts_have_a_least_value():
    assert integer("Who", "what", np.int64(3)) == 3
    assert type(integer("Who", "what", np.uint8(3))) is int
    with pytest.raises(ValueError, match="Who: expected what of at least 2, got 1"):
        integer("Who", "what", 1, least=2)


SHAPES = [
    (("N", 3), (5, 3), (5, 4), "(N, 3)"),
    (("N", "H", "W", 3), (2, 7, 5, 3), (2, 7, 3), "(N, H, W, 3)"),
    (("N", ...), (4,), (), "(N, ...)"),
    (("N", ...), (4, 2, 0), (), "(N, ...)"),
    (("N", ..., 3), (4, 3), (3,), "(N, ..., 3)"),
    (("N", ..., 3), (4, 2, 2, 3), (4, 3, 2), "(N, ..., 3)"),
    ((..., 3), (3,), (), "(..., 3)"),
    ((2, "D", ...), (2, 9), (3, 9), "(2, D, ...)"),
    ((), (), (1,), "()"),
]


@pytest.mark.parametrize(("shape", "fits", "other", "text"), SHAPES)
def test_check_input(shape, fits, other, text):
    layer = Nothing()
    x = np.zeros(fits, np.float32)
    assert layer.check_input(x, shape).shape == fits
    message = f"Nothing(): expected x of shape {text}, got {other}; look there"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer.check_input(np.zeros(other), shape, "; look there")


def test_check_input_wants_floats_and_makes_them_contiguous():
    x = np.ones((3, 4)).T
    assert Nothing().check_input(x, ("N", 3)).flags.c_contiguous
    with pytest.raises(TypeError, match=r"Nothing\(\): expected x as a NumPy array, got list"):
        Nothing().check_input([1.0], ("N",))
    with pytest.raises(TypeError, match="got uint8; images go through eln.data.standardize"):
        Nothing().check_input(np.ones(3, np.uint8), ("N",))


def test_check_gradient():
    dy = Nothing().check_gradient(np.ones((3, 4)).T, (4, 3), np.dtype(np.float32))
    assert dy.flags.c_contiguous
    assert dy.dtype == np.float32
    with pytest.raises(ValueError, match=re.escape("dy of the output's shape (4, 3), got (3, 4)")):
        Nothing().check_gradient(np.ones((3, 4)), (4, 3), np.dtype(np.float32))


def test_keep_recall_forget():
    layer = Nothing()
    layer.keep(1, "two")
    assert layer.recall() == (1, "two")
    layer.forget()
    with pytest.raises(RuntimeError, match=r"Nothing\(\): expected a forward pass before"):
        layer.recall()


@pytest.mark.parametrize(
    "make", [L.Dropout, L.Linear, L.Conv2D, lambda **seed: eln.Sequential([], **seed)]
)
def test_what_is_no_seed(make):
    size = {L.Dropout: (0.5,), L.Linear: (2, 2), L.Conv2D: (2, 2, 1)}.get(make, ())
    for seed in (0, np.int64(3), None, np.random.SeedSequence(1), np.random.default_rng(2)):
        make(*size, seed=seed)
    with pytest.raises(ValueError, match=r"^\w+: expected seed of at least 0, got -1$"):
        make(*size, seed=-1)
    for seed in ("x", 1.5, True):
        with pytest.raises(TypeError, match=r"^\w+: expected seed as an integer, got "):
            make(*size, seed=seed)


class Slope(L.Layer):
    """PReLU with one slope for all: a parameter without axes."""

    def __init__(self):
        super().__init__()
        self.params["slope"] = np.array(0.25, np.float32)

    def forward(self, x, train=False):
        x = self.check_input(x, ("N", ...))
        slope = self.parameter("slope", (), x.dtype)
        self.keep(x, slope)
        return np.where(x > 0, x, slope * x)

    def backward_params(self, dy):
        x, _ = self.recall()
        dy = self.check_gradient(dy, x.shape, x.dtype)
        self.store_gradient("slope", np.sum(dy * np.minimum(x, 0)), x.dtype)

    def backward_input(self, dy):
        x, slope = self.recall()
        return self.check_gradient(dy, x.shape, x.dtype) * np.where(x > 0, x.dtype.type(1), slope)


class TestScalarParameter:
    def test_gradients(self):
        x = np.random.default_rng(0).normal(size=(4, 3))
        eln.testing.check_layer(Slope(), x)

    def test_steps(self, tmp_path):
        net = eln.Sequential([L.Linear(3, 4), Slope(), L.Linear(4, 2)], seed=0)
        x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
        y = np.arange(8) % 2
        loss, slope = eln.losses.SoftmaxCrossEntropy(), net["slope1"].params["slope"]
        for optimizer in (eln.optim.SGD(0.1, momentum=0.9), eln.optim.Adam(0.01)):
            before = loss(net(x), y)[0]
            for _ in range(5):
                net.backward(loss(net.forward(x, train=True), y)[1])
                grad = net.gradients()["slope1.slope"]
                assert isinstance(grad, np.ndarray)
                assert (grad.shape, grad.dtype) == ((), np.float32)
                optimizer.step(net)
            assert loss(net(x), y)[0] < before
        assert net["slope1"].params["slope"] is slope
        assert slope != 0.25

        eln.save(net, tmp_path / "net")
        other = eln.Sequential([L.Linear(3, 4), Slope(), L.Linear(4, 2)], seed=1)
        eln.load(other, tmp_path / "net")
        np.testing.assert_array_equal(net(x), other(x))
