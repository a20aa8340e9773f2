"""Every rule on every model, at full width: one forward pass for each, and a walk for each rule."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from routers.cases import MAKERS, RULES, blocks, copied, forward, residual

import elunet as eln
from elunet import routers as R

CASES = {f"case {case}": lambda case=case: eln.models.article_case(case) for case in "abcde"}
MODELS = {
    "elu11": eln.models.elu11,
    "small_cnn": eln.models.small_cnn,
    "mlp": eln.models.mlp,
    "resnet": lambda: eln.models.resnet(8, widths=(4, 8, 16)),
    "all_cnn": lambda: eln.models.all_cnn(width=4),
    **CASES,
    "residual": residual,
    "blocks": blocks,
}


class Model:
    """A network after a forward pass, with backprop's gradients and signals at its last weight."""

    def __init__(self, net):
        self.net = net
        self.dy, self.target = forward(net, (2, 32, 32, 3), 10)
        self.last = [node.name for node in net.nodes if node.layer.weighted][-1]
        self.signal = None
        self.run(R.Backprop())
        self.exact, self.exact_signal = self.output_gradients(), self.signal

    def run(self, router):
        for gradient in self.net.gradients().values():
            gradient[...] = np.nan  # so that one that is left out shows
        router.backward(self.net, self.dy, self.target, tap=self.note)

    def note(self, name, delta):
        assert delta.shape == self.net.shapes[name]
        if name == self.last:
            self.signal = delta.copy()

    def output_gradients(self):
        return copied(self.net[self.last].grads)

    def check(self, rule):
        router = MAKERS[rule]()
        self.run(router)
        parameters, gradients = self.net.parameters(), self.net.gradients()
        assert parameters.keys() == gradients.keys()
        for name, gradient in gradients.items():
            assert gradient.shape == parameters[name].shape
            assert np.isfinite(gradient).all(), name
        np.testing.assert_array_equal(self.signal, self.exact_signal)
        for name, gradient in self.output_gradients().items():
            if isinstance(router, R.NormMatched):
                np.testing.assert_allclose(gradient, self.exact[name], rtol=1e-5)
            elif not isinstance(router, R.GradientNoise):  # which adds to every gradient
                np.testing.assert_array_equal(gradient, self.exact[name])


@cache
def model(name):
    return Model(MODELS[name]())


@RULES
@pytest.mark.parametrize("name", MODELS)
def test_every_rule_on_every_model(name, rule):
    model(name).check(rule)


def test_every_rule_without_shared_weights():
    model = Model(eln.models.locally_connected(widths=(4, 8)))
    for rule in MAKERS:
        if not rule.startswith("mixed"):  # its patterns are of convolutions
            model.check(rule)


@pytest.mark.slow
def test_every_rule_on_elu18():
    """Every router, though not with every option, at 39 million parameters."""
    again = {"plain", "FA article", "DFA shared", "DRTP shared", "dilated 2", "both"}
    large = Model(eln.models.elu18())
    for rule in MAKERS.keys() - again:
        large.check(rule)
