"""What `weight_transport` says of each rule, and of rules that hide what they use."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from routers.cases import LOOKING, MAKERS

import elunet as eln
from elunet import routers as R
from elunet.testing import weight_transport

USES = {
    "plain": "weights",
    "backprop": "weights",
    "FA": "nothing",
    "FA article": "nothing",
    "DFA": "nothing",
    "DFA shared": "nothing",
    "DRTP": "nothing",
    "DRTP shared": "nothing",
    "uSF": "signs",
    "brSF": "signs",
    "frSF": "signs",
    "KP": "nothing",
    "WM": "nothing",  # it mirrors after the walk
    "DKP": "nothing",
    "predsim": "nothing",
    "three factors": "nothing",
    "DFA sparse": "nothing",
    "dilated": "weights",
    "noise": "signs",  # around SignSymmetry
    "matched": "weights",  # FA with backpropagation's norms
}


FURTHER = {
    R.WeightMirror(): "nothing",
    R.DirectKolenPollack(): "nothing",
    R.LocalLoss("pred"): "nothing",
    R.LocalLoss("sim"): "nothing",
    R.ThreeFactorHebbian(): "nothing",
    R.PEPITA(): "nothing",
    R.ForwardGradient("weights"): "weights",
    R.ForwardGradient("activities"): "weights",
    R.PredictiveCoding(): "weights",
    R.DifferenceTargetPropagation(): "weights",  # the last hidden layer's target
    R.NodePerturbation(): "weights",  # it runs them forward
}


@pytest.mark.parametrize("rule", FURTHER, ids=repr)
def test_verdicts_of_further_rules(rule):
    assert weight_transport(rule).verdict == FURTHER[rule]


@pytest.mark.parametrize("rule", USES)
def test_verdicts(rule):
    found = weight_transport((MAKERS | LOOKING)[rule]())
    assert found.verdict == USES[rule]
    assert set(found.layers.values()) == {USES[rule]}
    assert [*found.layers] == ["linear1", "linear2", "linear3"]
    says = {
        "nothing": "does not use the later weights",
        "signs": "uses the signs of the later weights",
        "weights": "uses the later weights",
    }
    lines = repr(found).splitlines()[1:]
    assert lines == [f"  {name}: {says[USES[rule]]}" for name in found.layers]


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [("backprop", "weights"), ("FA", "nothing"), ("uSF", "signs"), ("DFA", "nothing")],
)
def test_a_network_of_the_users_own(rule, verdict):
    """A graph with paths that part and meet; neither it nor the rule is changed."""
    net = eln.Network(seed=0)
    net.add(eln.layers.Conv2D(3, 4, 3, stride=4))
    skip = net.add(eln.layers.ELU())
    net.add(eln.layers.Conv2D(4, 4, 3))
    net.add(eln.layers.BatchNorm(4))
    net.add(eln.layers.Add(), inputs=["batchnorm1", skip])
    net.add(eln.layers.GlobalMeanPool2D())
    net.add(eln.layers.Linear(4, 3))
    x, y = np.random.default_rng(0).standard_normal((4, 16, 16, 3)).astype(np.float32), [0, 1, 2, 1]
    made = MAKERS[rule]()
    before, state = copy.deepcopy(net.parameters()), made.state()
    found = weight_transport(made, net, x, np.array(y))
    assert found.layers == dict.fromkeys(["conv1", "conv2", "batchnorm1"], verdict)
    assert str(made.state()) == str(state)
    for name, value in net.parameters().items():
        np.testing.assert_array_equal(value, before[name])


class OnlyFirst(eln.routers.FeedbackAlignment):
    """Uses W in one layer, and says nothing of it."""

    def weight(self, layer):
        return layer.params["W"] if self.name_of(layer) == "linear4" else super().weight(layer)


def test_one_layer_that_uses_the_weights_is_found():
    found = weight_transport(OnlyFirst())
    assert found.verdict == "weights"
    # What linear4 sends back is part of what every layer below it gets.
    assert set(found.layers.values()) == {"weights"}
    mixed = eln.routers.Mixed({"linear4": eln.routers.SignSymmetry(), "*": MAKERS["FA"]()})
    assert weight_transport(mixed).verdict == "signs"


def test_what_is_no_rule():
    with pytest.raises(TypeError, match="weight_transport: expected rule as a Router, got 'fa'"):
        weight_transport("fa")
    with pytest.raises(TypeError, match="expected x and target together with net"):
        weight_transport(eln.routers.Backprop(), eln.models.mlp())
