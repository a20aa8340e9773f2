"""The rules, small networks and helpers that several tests of routers share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

import elunet as eln
from elunet import layers as L
from elunet import routers as R

MAKERS = {
    "plain": R.Router,
    "backprop": R.Backprop,
    "FA": lambda: R.FeedbackAlignment(seed=1),
    "FA article": lambda: R.FeedbackAlignment(distribution=eln.init.Uniform(-0.5, 0.5)),
    "DFA": lambda: R.DirectFeedbackAlignment(seed=1),
    "DFA before": lambda: R.DirectFeedbackAlignment(before_pooling=True),
    "DFA shared": lambda: R.DirectFeedbackAlignment(shared=True),
    "DFA sparse": lambda: R.DirectFeedbackAlignment(connections=1),
    "DRTP": lambda: R.DirectRandomTargetProjection(seed=1),
    "DRTP shared": lambda: R.DirectRandomTargetProjection(shared=True),
    "DRTP before": lambda: R.DirectRandomTargetProjection(shared=True, before_pooling=True),
    "uSF": R.SignSymmetry,
    "brSF": lambda: R.SignSymmetry("batchwise", seed=1),
    "frSF": lambda: R.SignSymmetry("fixed", seed=1),
    "KP": lambda: R.KolenPollack(seed=1),
    "WM": lambda: R.WeightMirror(seed=1),
    "three factors": R.ThreeFactorHebbian,
    "dilated": lambda: R.DilatedBackprop(proportion=0.5, decay=0.9),
    "dilated 2": lambda: R.DilatedBackprop(dilation=2),
    "dilated random": lambda: R.DilatedBackprop(proportion=0.5, projection="random", seed=1),
    "mixed": lambda: R.Mixed(
        {"*1": R.SignSymmetry("batchwise"), "*2": R.KolenPollack(), "*": R.DilatedBackprop()}
    ),
    "mixed random": lambda: R.Mixed(
        {
            "*1": R.DilatedBackprop(projection="random"),
            "*2": R.DirectFeedbackAlignment(before_pooling=True),
            "*": R.SignSymmetry("fixed"),
        }
    ),
    "noise": lambda: R.GradientNoise(R.SignSymmetry("batchwise"), eta=0.3, seed=2),
    "matched": lambda: R.NormMatched(R.FeedbackAlignment(seed=1)),
    "both": lambda: R.GradientNoise(R.NormMatched(R.Mixed({"*": R.KolenPollack()}))),
}
RULES = pytest.mark.parametrize("rule", MAKERS)

# Rules whose step is their own, tested in test_whole_steps.py. What MAKERS is for does not hold for
# them: the output layer's signal need not be the exact one, signals do not follow the graph, most
# run the network themselves and so need the rule's own forward pass and its loss, and some are
# defined on chains only.
WHOLE_STEPS = {
    "NP": lambda: R.NodePerturbation(seed=1, draws=2),
    "WP": lambda: R.WeightPerturbation(seed=1, draws=2),
    "FG weights": lambda: R.ForwardGradient(seed=1, draws=2),
    "FG activities": lambda: R.ForwardGradient("activities", seed=1),
    "PEPITA": lambda: R.PEPITA(seed=1),
    "PC": lambda: R.PredictiveCoding(steps=15, rate=0.2),
    "DTP": lambda: R.DifferenceTargetPropagation(seed=1),
    "EP": R.EquilibriumPropagation,
    "FF": lambda: R.ForwardForward(strength=2.0, seed=1),
}

LOOKING = {
    "DKP": lambda: R.DirectKolenPollack(seed=1),
    "pred": lambda: R.LocalLoss("pred", seed=1),
    "predsim": lambda: R.LocalLoss(seed=1, beta=0.5),
    "DKP shared": lambda: R.DirectKolenPollack(seed=1, shared=True, before_pooling=True),
}
"""Rules that ask for layers' values: their own forward has to make the pass. The shared tests make
it by themselves, so what holds for these rules too is tested again in test_looking_rules.py."""


def residual():
    net = eln.Network(seed=0)
    net.add(L.Conv2D(3, 4, 3, stride=4))
    net.add(L.BatchNorm(4))
    skip = net.add(L.ELU())
    net.add(L.Conv2D(4, 4, 3))
    net.add(L.BatchNorm(4))
    net.add(L.ELU())
    main = net.add(L.Conv2D(4, 4, 2))
    net.add(L.Add(), inputs=[main, skip])
    net.add(L.MeanPool2D(2))
    net.add(L.Dropout(0.2))
    net.add(L.Flatten())
    net.add(L.Linear(4 * 4 * 4, 10))
    return net


def blocks():
    """Return a network with a gate, joined paths, padding, and each normalization."""
    net = eln.Network(seed=0)
    net.add(L.Pad(((1, 0), (0, 1)), "reflect"))
    net.add(L.Conv2D(3, 4, 3, stride=4))
    net.add(L.GroupNorm(2, 4))
    stem = net.add(L.PReLU(4))
    net.add(L.GlobalMeanPool2D())
    net.add(L.Linear(4, 4))
    gate = net.add(L.Sigmoid())
    gated = net.add(L.Multiply(), inputs=[stem, gate])
    net.add(L.Conv2D(4, 3, 3))
    net.add(L.InstanceNorm(3))
    path = net.add(L.SELU())
    net.add(L.Concat(), inputs=[gated, path, stem])
    net.add(L.Conv2D(11, 4, 2))
    added = net.add(L.AlphaDropout(0.2))
    net.add(L.Add(), inputs=[gate, added])
    net.add(L.BatchNorm(4, momentum=None, affine=False))
    net.add(L.Flatten())
    net.add(L.Linear(9 * 9 * 4, 6))
    net.add(L.LayerNorm(6))
    net.add(L.PReLU())
    net.add(L.Linear(6, 10))
    return net


def kernels():
    """Return a network with every kind of convolution and of pooling."""
    parts = [
        L.Conv2D(3, 4, 3, stride=(2, 4), padding=((1, 0), (1, 2)), padding_mode="reflect"),
        L.MaxPool2D((3, 2), 1, "same"),
        L.ELU(),
        L.Conv2D(4, 8, 3, groups=4, dilation=(2, 1)),
        L.ELU(),
        L.MeanPool2D(3, 2, 1, ceil_mode=True, count_include_pad=False),
        L.Conv2D(8, 6, (1, 3), groups=2, padding_mode="replicate"),
        L.ReLU(),
        L.LocallyConnected2D((9, 5), 6, 4, 3, stride=(2, 1), padding="same"),
        L.Tanh(),
        L.AdaptiveMeanPool2D(2),
        L.Conv2D(4, 10, 1),
        L.GlobalMaxPool2D(),
    ]
    return eln.Sequential(parts, seed=0)


def images():
    """Return a small network of convolutions, pooling and dropout: all that rules look out for."""
    parts = [L.Conv2D(1, 3, 2), L.ELU(), L.MeanPool2D(2), L.Dropout(0.25), L.Conv2D(3, 3, 2)]
    parts += [L.BatchNorm(3), L.Tanh(), L.Conv2D(3, 4, 1), L.ELU(), L.Flatten(), L.Linear(16, 3)]
    return eln.Sequential(parts, seed=0)


def small():
    net = eln.Network(seed=0)
    net.add(L.Linear(4, 5))
    skip = net.add(L.Tanh())
    main = net.add(L.Linear(5, 5))
    net.add(L.Add(), inputs=[main, skip])
    net.add(L.Linear(5, 3))
    return net


def forward(net, shape, classes, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, shape[0])
    logits = net.forward(rng.normal(size=shape).astype(dtype), train=True)
    return eln.losses.SoftmaxCrossEntropy()(logits, target)[1], target


def copied(arrays):
    return {name: value.copy() for name, value in arrays.items()}


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for name, value in got.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def steps(net, router, optimizer, seeds):
    """Train for a step with each seed's batch, and return every step's gradients."""
    grads = []
    for seed in seeds:
        router.epoch = seed
        dy, target = forward(net, (6, 4), 3, seed)
        router.backward(net, dy, target)
        grads.append(copied(net.gradients()))
        optimizer.step(net, router)
    return grads


@st.composite
def networks(draw):
    """Draw a small chain or residual network, of matrices or of convolutions."""
    images = draw(st.booleans())
    width, classes = draw(st.integers(2, 4)), draw(st.integers(2, 4))

    def weighted(before, after):
        if not images:
            return L.Linear(before, after)
        return L.Conv2D(before, after, draw(st.integers(1, 3)))

    net = eln.Network(seed=draw(st.integers(0, 1000)))
    last = net.add(weighted(2, width))
    for _ in range(draw(st.integers(0, 3))):
        start = last
        last = net.add(draw(st.sampled_from([L.ELU, L.ReLU, L.Tanh]))())
        if draw(st.booleans()):
            last = net.add(L.BatchNorm(width))
        last = net.add(weighted(width, width))
        if draw(st.booleans()):
            last = net.add(L.Add(), inputs=[last, start])
    if images:
        if draw(st.booleans()):
            net.add(draw(st.sampled_from([L.MaxPool2D, L.MeanPool2D]))(2))
        net.add(weighted(width, classes))
        net.add(L.GlobalMeanPool2D())
    else:
        net.add(weighted(width, classes))
    return net, ((5, 4, 3, 2) if images else (5, 2)), classes


SIMPLE = [rule for rule in MAKERS if not rule.startswith("mixed")]  # those fit every network
HOOKS_ONLY = [rule for rule in SIMPLE if rule not in ("noise", "matched", "both")]


@st.composite
def rules(draw):
    """Draw what makes a rule: one of the simple ones, or two of them mixed."""
    if draw(st.booleans()):
        return MAKERS[draw(st.sampled_from(SIMPLE))]
    first, second = (MAKERS[draw(st.sampled_from(HOOKS_ONLY))] for _ in range(2))
    return lambda: R.Mixed({"*1": first(), "*": second()})
