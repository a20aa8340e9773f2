"""With `numpy.seterr(all="raise")` everything computes what it computes without, bit for bit."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L
from elunet import losses, optim
from elunet import routers as R

SCALES = [1e-42, 1e-25, 1e-3, 1.0, 90.0, 1e20, 3e38, np.inf]
LAYERS = {
    "Conv2D": [
        lambda: L.Conv2D(2, 3, 3, seed=0, algorithm="winograd"),
        lambda: L.Conv2D(2, 3, 2, stride=2, seed=0),
        lambda: L.Conv2D(2, 3, 1, seed=0),
        lambda: L.Conv2D(2, 4, 3, groups=2, seed=0),
        lambda: L.Conv2D(2, 3, 3, dilation=2, padding_mode="reflect", seed=0),
    ],
    "MaxPool2D": [lambda: L.MaxPool2D(3, 2, "same", ceil_mode=True)],
    "MeanPool2D": [lambda: L.MeanPool2D(3, 2, 1)],
    "Linear": [lambda: L.Linear(2, 3, seed=0)],
    "LocallyConnected2D": [lambda: L.LocallyConnected2D(6, 2, 3, 2, seed=0)],
    "AdaptiveMeanPool2D": [lambda: L.AdaptiveMeanPool2D(2)],
    "BatchNorm": [
        lambda: L.BatchNorm(2),
        lambda: L.BatchNorm(2, momentum=None, affine=False),
    ],
    "LayerNorm": [lambda: L.LayerNorm(2)],
    "GroupNorm": [lambda: L.GroupNorm(1, 2)],
    "InstanceNorm": [lambda: L.InstanceNorm(2, affine=True)],
    "PReLU": [lambda: L.PReLU(2)],
    "Pad": [lambda: L.Pad(1, "reflect"), lambda: L.Pad(1, "replicate"), lambda: L.Pad(1)],
    "Dropout": [lambda: L.Dropout(0.5, seed=0)],
    "AlphaDropout": [lambda: L.AlphaDropout(0.5, seed=0)],
}
MEETING = L.Add | L.Multiply | L.Concat
OPTIMIZERS = {
    "SGD": [
        lambda: optim.SGD(1e-30, momentum=0.9, l2=1e-30, l1=1e-30, clip_norm=1e-20),
        lambda: optim.SGD(0.1, momentum=1e-30, nesterov=True),
    ],
    "PerLayer": [lambda: optim.PerLayer({"*.W": optim.SGD(0.1), "*": optim.Adam()})],
    "RMSProp": [
        lambda: optim.RMSProp(0.01),
        lambda: optim.RMSProp(1e-30, rho=1e-30),
        lambda: optim.RMSProp(0.01, momentum=1e-30),
        lambda: optim.RMSProp(0.01, centered=True, clip_value=1e-30),
    ],
    "AdaGrad": [optim.AdaGrad, lambda: optim.AdaGrad(1e-30, penalized="*", l2=1e-30)],
    "AdamW": [optim.AdamW, lambda: optim.AdamW(1e-30, l1=1e-30)],
    "NAdam": [optim.NAdam, lambda: optim.NAdam(decoupled=True, l2=1e-30, beta1=1e-30)],
    "Lion": [optim.Lion, lambda: optim.Lion(1e-30, l2=1e-30, beta1=1e-30, decoupled=False)],
    "Adam": [optim.Adam, lambda: optim.Adam(decoupled=True, l2=1e-30, beta1=1e-30)],
}
ROUTERS = {
    "Mixed": [lambda: R.Mixed({"*2": R.FeedbackAlignment(), "*": R.DilatedBackprop()})],
    "GradientNoise": [lambda: R.GradientNoise(R.Backprop(), eta=1e-80)],
    "NormMatched": [lambda: R.NormMatched(R.FeedbackAlignment())],
    "SignSymmetry": [
        R.SignSymmetry,
        *(lambda k=k: R.SignSymmetry(k) for k in ("batchwise", "fixed")),
    ],
    "DilatedBackprop": [
        lambda: R.DilatedBackprop(proportion=1e-30),
        lambda: R.DilatedBackprop(projection="random"),
    ],
}
OF_ROWS = (R.DifferenceTargetPropagation, R.EquilibriumPropagation, R.ForwardForward)
ABSTRACT = {
    "RandomRouter",
    "Holder",
    "Wrapper",
    "Layer",
    "SpanLayer",
    "Elementwise",
    "Weighted",
    "Loss",
    "Optimizer",
    "Parametrized",
}


def every(module, table, base):
    """Return a maker for each class that a module offers, in some configurations."""
    found = []
    for name in module.__all__:
        kind = getattr(module, name)
        if inspect.isclass(kind) and issubclass(kind, base) and name not in ABSTRACT:
            for number, make in enumerate(table.get(name, [kind])):
                found.append(pytest.param(make, id=f"{name}{number or ''}"))
    return found


def quietly_and_not(compute):
    """Compute twice; return the results under NumPy's usual settings and where all is an error."""
    with np.errstate(all="ignore"):
        expected = compute()
    with np.errstate(all="raise"):
        return expected, compute()


def assert_same(compute):
    expected, got = quietly_and_not(compute)
    assert len(got) == len(expected) > 0
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def numbers(shape, scale, dtype, seed=0):
    """Return numbers of about this size; some are 0, some much smaller."""
    x = np.random.default_rng(seed).normal(size=shape)
    x.reshape(-1)[::3] *= 1e-20
    with np.errstate(all="ignore"):
        return (x * scale).astype(dtype)


def shape_for(layer):
    if isinstance(layer, L.Linear):
        return (5, 2)
    return (4, 6, 6, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", every(L, LAYERS, L.Layer))
@pytest.mark.parametrize("threads", [1, 2])
def test_layers(make, dtype, threads):
    """By hand and in a network, also with weights and gradients of another size and dtype."""
    eln.set_num_threads(threads)
    for scale in SCALES:
        for down in (1e-30, 1.0, 1e30):

            def compute(scale=scale, down=down):
                layer = make()
                x = numbers(shape_for(layer), scale, dtype)
                taken = (x, x) if isinstance(layer, MEETING) else x
                for name, value in layer.params.items():
                    layer.params[name] = numbers(value.shape, 1 / max(scale, 1e-30), np.float64)
                results = []
                for train in (False, True):
                    y = layer.forward(taken, train)
                    dx = layer.backward(numbers(y.shape, down, np.float64, 1))
                    results += [y, *(dx if isinstance(dx, tuple) else (dx,))]
                    results += [g.copy() for g in layer.grads.values()]
                if not isinstance(layer, MEETING):
                    net = eln.Sequential([layer])
                    y = net.forward(x, train=True)
                    results += [y, net.backward(numbers(y.shape, down, np.float64, 1))]
                return results + list(layer.state.values())

            assert_same(compute)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", every(losses, {}, losses.Loss))
def test_losses(make, dtype):
    for scale in SCALES:

        def compute(scale=scale):
            loss, x = make(), numbers((6, 3), scale, dtype)
            probabilities = np.abs(numbers((6, 3), 1e-30, dtype))
            probabilities[:, 0] = 1
            if isinstance(loss, losses.CrossEntropy):
                x = probabilities
            results = []
            for target in (np.array([0, 1, 2, 0, 1, 2]), probabilities, probabilities - 0.0):
                try:
                    value, dy = loss(x, target)
                except (ValueError, TypeError):
                    continue
                results += [np.array(value), dy]
            return results or [np.zeros(1)]

        assert_same(compute)


def small_net():
    layers = [L.Conv2D(2, 4, 3), L.ELU(), L.Conv2D(4, 4, 3), L.Tanh(), L.Flatten(), L.Linear(64, 3)]
    return eln.Sequential(layers, seed=0)


def rows_net():
    layers = [L.Flatten(), L.Linear(32, 8), L.Tanh(), L.Linear(8, 8), L.Tanh(), L.Linear(8, 3)]
    return eln.Sequential(layers, seed=0)


@pytest.mark.parametrize("make", every(optim, OPTIMIZERS, optim.Optimizer))
@pytest.mark.parametrize("plainly", [False, True])
def test_optimizers(make, plainly):
    """A step is whole or not begun: with gradients whose squares vanish, or overflow."""
    for scale in SCALES:

        def compute(scale=scale):
            net, optimizer = small_net(), make()
            for node in net.nodes:
                layer = node.layer
                for name, value in layer.params.items():
                    g = numbers(value.shape, scale, np.float32)
                    layer.grads[name] = g[::-1] if plainly else g  # the other way, not compiled
            for _ in range(3):
                optimizer.step(net)
            results = list(net.parameters().values())
            penalty = np.array(getattr(optimizer, "l2", 0) and optimizer.penalty(net))
            return [*results, penalty, np.array(optimizer.steps)]

        assert_same(compute)


@pytest.mark.parametrize("make", every(R, ROUTERS, R.Router))
def test_routers(make):
    for scale in SCALES[:-1]:

        def compute(scale=scale):
            router = make()
            net = rows_net() if isinstance(router, OF_ROWS) else small_net()
            x = numbers((5, 4, 4, 2), 1.0, np.float32)
            target = np.array([0, 1, 2, 0, 1])
            router.loss = eln.losses.SoftmaxCrossEntropy()
            y = router.forward(net, x, target)
            dy = numbers(y.shape, scale, np.float64)
            router.backward(net, dy, target)
            optim.SGD(1e-30).step(net, router)
            return [*net.gradients().values(), *router.parameters().values()]

        assert_same(compute)


def test_a_training(tmp_path):
    """All of it: a run that continues far below what float32 holds."""

    def compute():
        x, y = eln.data.make_shapes(60, seed=0)
        x = eln.data.standardize(x)[:, ::8, ::8, :2].copy()
        net = small_net()
        for value in net.parameters().values():
            value *= np.float32(1e-18)
        trainer = eln.Trainer(
            net, losses.SoftmaxCrossEntropy(), optim.Adam(1e-20), batch_size=20, progress=False
        )
        trainer.fit((x, y % 3), (x, y % 3), epochs=2)
        net.predict(x)
        return list(net.parameters().values())

    assert_same(compute)


def test_a_layer_of_a_users_own_keeps_the_settings():
    class Divides(L.Layer):
        def forward(self, x, train=False):
            return 1 / x

    net = eln.Sequential([L.ELU(), Divides()])
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
        net(np.zeros((2, 3)))
