"""The backward paths that each rule says it uses, and that its signals really take them."""

from __future__ import annotations

import numpy as np
import pytest
from routers.cases import MAKERS, RULES, forward, images

import elunet as eln
from elunet import layers as L
from elunet import routers as R
from elunet.routers import Path


def block():
    """Return a stem and a residual block, pooling, and a classifier with Softmax after it."""
    net = eln.Network(seed=0)
    net.add(L.Conv2D(3, 4, 3), "stem")
    net.add(L.ELU(), "act")
    net.add(L.Conv2D(4, 4, 3), "inner1")
    net.add(L.BatchNorm(4), "norm")
    net.add(L.ELU(), "mid")
    net.add(L.Conv2D(4, 4, 1), "inner2")
    net.add(L.Add(), "sum", inputs=["inner2", "act"])
    net.add(L.Conv2D(4, 5, 1), "top")
    net.add(L.ELU(), "high")
    net.add(L.MeanPool2D(2), "pool")
    net.add(L.Flatten(), "flat")
    net.add(L.Linear(20, 3), "out")
    net.add(L.Softmax(), "softmax")
    net.forward(np.ones((2, 4, 4, 3), np.float32))
    return net


EXACT = [
    ("softmax", "out"),
    ("out", "flat"),
    ("flat", "pool"),
    ("pool", "high"),
    ("high", "top"),
    ("top", "sum"),
    ("sum", "inner2"),
    ("sum", "act"),
    ("inner2", "mid"),
    ("mid", "norm"),
    ("norm", "inner1"),
    ("inner1", "act"),
    ("act", "stem"),
]
WEIGHTED = [("out", "flat"), ("top", "sum"), ("inner2", "mid"), ("inner1", "act")]


def expected(kind="exact", replaced=()):
    """Return backprop's paths, those down from weighted layers of this kind or replaced."""
    replaced = dict(replaced)
    return [
        replaced.get(path, Path(*path, kind if path in WEIGHTED else "exact"))
        for path in EXACT
        if replaced.get(path, True)
    ]


@pytest.mark.parametrize("rule", ["plain", "backprop"])
def test_backprop(rule):
    assert MAKERS[rule]().paths(block()) == expected()


@pytest.mark.parametrize("rule", ["FA", "KP", "uSF", "brSF", "frSF"])
def test_feedback_through_another_matrix(rule):
    assert MAKERS[rule]().paths(block()) == expected("feedback")


@pytest.mark.parametrize(
    ("kind", "source"),
    [(R.DirectFeedbackAlignment, "out"), (R.DirectRandomTargetProjection, "target")],
)
def test_direct(kind, source):
    direct = {path: Path(source, path[1], "direct") for path in WEIGHTED}
    assert kind().paths(block()) == expected(replaced=direct)
    direct["out", "flat"] = Path(source, "high", "direct")
    direct |= {("flat", "pool"): None, ("pool", "high"): None}  # nothing comes that way
    assert kind(before_pooling=True).paths(block()) == expected(replaced=direct)


def test_dilated():
    net = block()
    found = R.DilatedBackprop().paths(net)
    assert [path for path in found if path.kind == "exact"] == expected()
    assert [path for path in found if path.kind != "exact"] == [("inner2", "mid", "dilated")]
    assert found.index(("inner2", "mid", "dilated")) == found.index(("mid", "norm", "exact")) - 1
    found = R.DilatedBackprop(projection="random").paths(net)
    assert [path for path in found if path.kind != "exact"] == [
        ("out", "high", "dilated"),
        ("inner2", "mid", "dilated"),
    ]
    assert R.DilatedBackprop(proportion=0).paths(net) == expected()


def test_whether_dilated_adds_is_known_after_a_forward_pass():
    net = eln.Sequential([L.Linear(3, 3), L.Linear(3, 3)], seed=0)
    with pytest.raises(RuntimeError, match="expected a forward pass before paths"):
        R.DilatedBackprop().paths(net)


@pytest.mark.parametrize("case", ["c", "d", "e"])
def test_dilated_on_the_articles_cases(case):
    net = eln.models.article_case(case)
    net.forward(np.zeros((1, 32, 32, 3), np.float32))
    added = [path for path in R.DilatedBackprop().paths(net) if path.kind == "dilated"]
    assert added == [(f"elu{k + 1}", f"elu{k}", "dilated") for k in (8, 6, 4, 2)]


def test_mixed_asks_each_layers_rule():
    rules = {
        "out": R.DirectFeedbackAlignment(before_pooling=True),
        "inner1": R.DilatedBackprop(),
        "inner*": R.FeedbackAlignment(),
    }
    assert R.Mixed(rules).paths(block()) == [
        ("softmax", "out", "exact"),
        ("out", "high", "direct"),
        ("high", "top", "exact"),
        ("top", "sum", "exact"),
        ("sum", "inner2", "exact"),
        ("sum", "act", "exact"),
        ("inner2", "mid", "feedback"),
        ("inner2", "mid", "dilated"),
        ("mid", "norm", "exact"),
        ("norm", "inner1", "exact"),
        ("inner1", "act", "exact"),
        ("act", "stem", "exact"),
    ]


@pytest.mark.parametrize("wrap", [R.NormMatched, R.GradientNoise])
def test_around_another_rule(wrap):
    assert wrap(R.FeedbackAlignment()).paths(block()) == expected("feedback")


def test_nothing_leads_to_what_does_not_learn():
    net = eln.Network(seed=0)
    net.add(L.MeanPool2D(2), "before")
    net.add(L.Flatten(), "flat")
    net.add(L.Linear(4, 4), "first")
    net.add(L.ELU(), "act")
    net.add(L.Add(), "sum", inputs=["act", "flat"])
    net.add(L.Linear(4, 2), "second")
    net.forward(np.ones((2, 4, 4, 1), np.float32))
    ways = [("second", "sum"), ("sum", "act"), ("act", "first")]
    assert [path[:2] for path in R.FeedbackAlignment().paths(net)] == ways
    assert R.Backprop().paths(eln.Network()) == []


def test_a_rule_with_its_own_way_down_sends_feedback():
    class Half(R.Router):
        def send(self, layer, dy):
            return 0.5 * layer.backward_input(dy)

    assert Half().paths(block()) == expected("feedback")


@RULES
def test_signals_take_these_paths(rule):
    """A signal that is not zero arrives at exactly the layers to which a path leads."""
    net, router, seen = images(), MAKERS[rule](), {}
    router.backward(
        net,
        *forward(net, (6, 4, 4, 1), 3),
        lambda name, delta: seen.update({name: np.abs(delta).max()}),
    )
    paths = router.paths(net)
    reached = {path.target for path in paths} | {net.names[-1]}
    assert all((seen[name] > 0) == (name in reached) for name in net.names)
    order = {name: place for place, name in enumerate(net.names)}
    places = [order[path.source] for path in paths if path.kind in ("exact", "feedback")]
    assert places == sorted(places, reverse=True)
    assert len(set(paths)) == len(paths)
