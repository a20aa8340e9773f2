"""Adversarial images: against PyTorch's gradient, within eps, and harmful."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln
from elunet.experiments import fgsm, pgd, robustness

X, Y = eln.data.make_shapes(300, seed=0)
X = eln.data.standardize(X)


@pytest.fixture(scope="module")
def net():
    net = eln.models.small_cnn(widths=(8, 8, 8), seed=0, norm=True)
    loss = eln.losses.SoftmaxCrossEntropy()
    eln.Trainer(net, loss, eln.optim.Adam(0.003), batch_size=25).fit((X, Y), epochs=20)
    return net


def test_fgsm_is_a_step_along_the_sign_of_the_gradient():
    net = eln.Sequential(
        [eln.layers.Linear(6, 5), eln.layers.Tanh(), eln.layers.Linear(5, 3)], seed=0
    )
    x, y = np.random.default_rng(0).standard_normal((4, 6)), np.array([0, 1, 2, 0])
    loss = eln.losses.SoftmaxCrossEntropy()
    slope = eln.testing.numeric_gradient(lambda x: loss(net(x), y)[0], x)
    np.testing.assert_allclose(fgsm(net, x, y, 0.25), x + 0.25 * np.sign(slope), rtol=1e-12)
    one = pgd(net, x, y, 0.25, steps=1, step=0.25, seed=None)
    np.testing.assert_allclose(one, fgsm(net, x, y, 0.25), rtol=1e-12)


def test_attacks_stay_within_eps_and_do_harm(net):
    x, y = X[:100], Y[:100]
    rows = robustness(net, x, y, eps=[0.0, 0.3])
    none, still, _, fast, slow = rows
    assert none.accuracy > 0.8
    assert (still.loss, still.accuracy) == (none.loss, none.accuracy)
    assert slow.loss > fast.loss > none.loss + 0.5
    assert slow.accuracy <= fast.accuracy < none.accuracy - 0.2
    for changed in (fgsm(net, x, y, 0.3), pgd(net, x, y, 0.3)):
        assert changed.dtype == np.float32
        assert np.abs(changed - x).max() <= 0.3 + 1e-6
    noise = np.random.default_rng(0).choice([-0.3, 0.3], x.shape).astype(np.float32)
    assert eln.evaluate(net, x + noise, y, eln.losses.SoftmaxCrossEntropy())[1] > fast.accuracy


def test_the_network_is_left_as_it_was(net):
    state = {name: value.copy() for name, value in net["batchnorm1"].state.items()}
    dy = net.forward(X[:5], train=True)
    after = {name: value.copy() for name, value in net["batchnorm1"].state.items()}
    assert any(not np.array_equal(after[name], state[name]) for name in state)
    robustness(net, X[:10], Y[:10], eps=[0.1], steps=2)
    for name, value in after.items():
        np.testing.assert_array_equal(net["batchnorm1"].state[name], value)
    net.backward(dy)  # of the pass before


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"eps": [-1]}, "expected eps in"),
        ({"eps": [1], "steps": 0}, "expected steps of at least 1"),
    ],
)
def test_wrong_arguments(net, options, text):
    with pytest.raises(ValueError, match=text):
        robustness(net, X[:4], Y[:4], **options)
