from __future__ import annotations

import numpy as np
import pytest

import elunet as eln
from elunet import init

SCALED = [
    (init.He(), 2 / 75),
    (init.He("uniform"), 2 / 75),
    (init.Glorot(), 2 / (75 + 4800)),
    (init.Glorot("normal"), 2 / (75 + 4800)),
    (init.LeCun(), 1 / 75),
    (init.LeCun("uniform"), 1 / 75),
]
FIXED = [
    init.Normal(0.05, mean=1.0),
    init.TruncatedNormal(0.05, mean=1.0),
    init.Uniform(-0.5, 0.25),
    init.Constant(3),
    init.PyTorch(),
]
SHAPE = (5, 5, 3, 192)


@pytest.mark.parametrize(("shape", "expected"), [((7, 3), (7, 3)), (SHAPE, (75, 4800))])
def test_fans(shape, expected):
    assert init.fans(shape) == expected


@pytest.mark.parametrize(("draw", "variance"), SCALED, ids=repr)
def test_scaled_by_fans(draw, variance):
    w = draw(np.random.default_rng(0), SHAPE)
    assert w.dtype == np.float64
    assert w.shape == SHAPE
    assert w.mean() == pytest.approx(0, abs=4 * np.sqrt(variance / w.size))
    assert w.var() == pytest.approx(variance, rel=0.05)
    if draw.distribution == "uniform":
        assert np.abs(w).max() <= np.sqrt(3 * variance)
    else:
        assert np.abs(w).max() > np.sqrt(3 * variance)


def test_default_distributions():
    assert init.He() == init.He("normal")
    assert init.Glorot() == init.Glorot("uniform")
    assert init.LeCun() == init.LeCun("normal")


def test_normal_uniform_constant():
    rng = np.random.default_rng(0)
    w = init.Normal(0.05, mean=1.0)(rng, SHAPE)
    assert w.mean() == pytest.approx(1.0, abs=0.003)
    assert w.std() == pytest.approx(0.05, rel=0.05)
    w = init.Uniform(-0.5, 0.25)(rng, SHAPE)
    assert -0.5 <= w.min() < -0.49
    assert 0.24 < w.max() <= 0.25
    assert (init.Constant(3)(rng, (4,)) == 3.0).all()


@pytest.mark.parametrize("draw", [draw for draw, _ in SCALED] + FIXED, ids=repr)
def test_same_seed_same_array(draw):
    one, two = (draw(np.random.default_rng(1), (4, 3)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.dtype == np.float64


def test_constant_draws_nothing():
    rng, untouched = np.random.default_rng(0), np.random.default_rng(0)
    init.Constant(0.0)(rng, (3, 3))
    assert rng.random() == untouched.random()


def test_repr_and_frozen():
    assert repr(init.He()) == "He(distribution='normal')"
    assert repr(init.Normal(0.05)) == "Normal(std=0.05, mean=0.0)"
    with pytest.raises(AttributeError):
        init.He().distribution = "uniform"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: init.He("gauss"), ValueError, r"He: expected distribution .* got 'gauss'"),
        (lambda: init.Normal(-1), ValueError, r"Normal: expected std in \[0, inf\), got -1"),
        (lambda: init.Normal(float("nan")), ValueError, "std .* got nan"),
        (lambda: init.Normal(1, "0"), TypeError, "expected mean to be a number .* got '0'"),
        (lambda: init.Normal(True), TypeError, "expected std to be a number .* got True"),
        (lambda: init.Uniform(1, 1), ValueError, r"expected high in \(1.0, inf\), got 1"),
        (lambda: init.Uniform(float("-inf"), 1), ValueError, "expected low .* got -inf"),
        (lambda: init.Constant(float("inf")), ValueError, "expected value .* got inf"),
        (lambda: init.He()(np.random.default_rng(), (3,)), ValueError, r"two .* axes, got \(3,\)"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_truncated_normal():
    w = init.TruncatedNormal(0.5, mean=1.0)(np.random.default_rng(0), SHAPE)
    assert np.abs(w - 1).max() <= 1.0
    assert w.mean() == pytest.approx(1.0, abs=0.01)
    assert w.std() == pytest.approx(0.5 * 0.8796, rel=0.02)
    with pytest.raises(ValueError, match="TruncatedNormal: expected limit in"):
        init.TruncatedNormal(1.0, limit=0.0)


@pytest.mark.parametrize(
    ("make", "theirs"),
    [
        (lambda **more: eln.layers.Linear(300, 200, **more), lambda t: t.nn.Linear(300, 200)),
        (lambda **more: eln.layers.Conv2D(40, 60, 3, **more), lambda t: t.nn.Conv2d(40, 60, 3)),
    ],
)
def test_pytorchs_own_scale(make, theirs):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layer, module = make(init=init.PyTorch(), seed=0), theirs(torch)
    for ours, other in ((layer.params["W"], module.weight), (layer.params["b"], module.bias)):
        other = other.detach().numpy()
        assert np.abs(ours).max() == pytest.approx(np.abs(other).max(), rel=0.1)
        assert ours.std() == pytest.approx(other.std(), rel=0.2)
    again = make(init=init.PyTorch(), seed=0)
    np.testing.assert_array_equal(again.params["b"], layer.params["b"])
    assert "b" not in make(init=init.PyTorch(), bias=False).params
