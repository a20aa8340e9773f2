"""Update rules against PyTorch's optimizers, and where it has none, against one another."""

import numpy as np
import pytest

from elunet.testing import updates

try:
    import torch
except ImportError:
    torch = None

RNG = np.random.default_rng(0)
W = RNG.normal(size=(3, 4))
GRADIENTS = RNG.normal(size=(6, 3, 4))

BY_TORCH = {
    "sgd": (updates.sgd(0.1, 0.9, l2=0.1), "SGD", {"momentum": 0.9, "weight_decay": 0.1}),
    "nesterov": (updates.sgd(0.1, 0.9, True), "SGD", {"momentum": 0.9, "nesterov": True}),
    "adagrad": (updates.adagrad(0.1, 1e-10, l2=0.1), "Adagrad", {"weight_decay": 0.1}),
    "rmsprop": (updates.rmsprop(0.1, 0.99, l2=0.1), "RMSprop", {"weight_decay": 0.1}),
    "adam": (updates.adam(0.1, 0.8, 0.9, l2=0.1), "Adam", {"weight_decay": 0.1}),
    "adamw": (updates.adamw(0.1, 0.8, 0.9, decay=0.1), "AdamW", {"weight_decay": 0.1}),
    "amsgrad": (
        updates.amsgrad(0.1, 0.8, 0.9, l2=0.1),
        "Adam",
        {"amsgrad": True, "weight_decay": 0.1},
    ),
    "adamax": (updates.adamax(0.1, 0.8, 0.9, l2=0.1), "Adamax", {"weight_decay": 0.1}),
    "nadam": (
        updates.nadam(0.1, 0.8, 0.9, l2=0.1, momentum_decay=0.004),
        "NAdam",
        {"weight_decay": 0.1},
    ),
}


def path(update, gradients=GRADIENTS):
    """Return w after each step."""
    w, state, found = W, {}, []
    for t, g in enumerate(gradients, 1):
        w = update(w, g, state, t)
        found.append(w)
    return np.array(found)


@pytest.mark.skipif(torch is None, reason="needs PyTorch")
@pytest.mark.parametrize("name", BY_TORCH)
def test_pytorch_takes_the_same_steps(name):
    update, kind, options = BY_TORCH[name]
    if "beta1" in update.settings:
        options = options | {"betas": (0.8, 0.9)}
    w = torch.tensor(W, requires_grad=True)
    optimizer = getattr(torch.optim, kind)([w], lr=0.1, **options)
    theirs = []
    for g in GRADIENTS:
        w.grad = torch.tensor(g)
        optimizer.step()
        theirs.append(w.detach().numpy().copy())
    rtol = 1e-5 if name == "nadam" else 1e-10  # its product of betas is a float32
    np.testing.assert_allclose(path(update), theirs, rtol=rtol)


def test_averaged_momentum():
    short = updates.averaged_momentum(0.1, 0.9, l2=0.1, l1=0.1)
    np.testing.assert_allclose(path(short), path(updates.sgd(0.01, 0.9, l2=0.1, l1=0.1)))
    one = path(updates.averaged_momentum(0.1, 0.9, correct=True), GRADIENTS[:1])
    np.testing.assert_allclose(one, path(updates.sgd(0.1), GRADIENTS[:1]))
    same = np.repeat(GRADIENTS[:1], 4, axis=0)  # whose average is itself
    corrected = updates.averaged_momentum(0.1, 0.9, correct=True)
    np.testing.assert_allclose(path(corrected, same), path(updates.sgd(0.1), same))


def test_nesterov_as_in_a_book():
    """F. Chollet's form, with the learning rate in the velocity."""
    w, velocity, found = W, 0.0, []
    for g in GRADIENTS:
        velocity = 0.9 * velocity - 0.1 * g
        w = w + 0.9 * velocity - 0.1 * g
        found.append(w)
    np.testing.assert_allclose(path(updates.sgd(0.1, 0.9, nesterov=True)), found)


def test_eps_inside_the_root():
    gradients = 1e-5 * GRADIENTS
    inside = path(updates.rmsprop(0.1, 0.9, 1e-8, eps_inside=True), gradients)
    v, w, found = 0.0, W, []
    for g in gradients:
        v = 0.9 * v + 0.1 * g**2
        w = w - 0.1 * g / np.sqrt(v + 1e-8)
        found.append(w)
    np.testing.assert_allclose(inside, found)
    assert abs(inside - path(updates.rmsprop(0.1), gradients)).max() > 0.01


def test_nadam_looks_ahead():
    """Its step is Adam's with m as it would be if the same gradient came again, roughly."""
    b = 0.8
    m, v, w, found = 0.0, 0.0, W, []
    for t, g in enumerate(GRADIENTS, 1):
        m, v = b * m + (1 - b) * g, 0.9 * v + 0.1 * g**2
        ahead = b * m / (1 - b**t) + (1 - b) * g / (1 - b**t)
        w = w - 0.1 * ahead / (np.sqrt(v / (1 - 0.9**t)) + 1e-8)
        found.append(w)
    np.testing.assert_allclose(path(updates.nadam(0.1, b, 0.9)), found)


def test_a_rule_with_another_setting():
    rule = updates.sgd(0.1, 0.9)
    np.testing.assert_array_equal(path(rule.but(momentum=0.0)), path(updates.sgd(0.1)))
    assert rule.settings["momentum"] == 0.9
