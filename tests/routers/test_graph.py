"""Units: where they end, which follows which, and what lies below a weighted layer."""

from __future__ import annotations

import pytest

import elunet as eln
from elunet import layers as L
from elunet.routers.graph import Graph


def network(*layers):
    """Return a network of (name, layer) or (name, layer, inputs)."""
    net = eln.Network(seed=0)
    for name, layer, *inputs in layers:
        net.add(layer, name, *inputs)
    return net


def test_a_chain():
    net = network(
        ("one", L.Linear(2, 2)),
        ("norm", L.BatchNorm(2)),
        ("elu", L.ELU()),
        ("drop", L.Dropout(0.5)),
        ("two", L.Linear(2, 2)),
        ("flat", L.Flatten()),
        ("late", L.Dropout(0.5)),
        ("three", L.Linear(2, 2)),
    )
    graph = Graph(net)
    assert graph.ends == {"drop", "two", "three"}
    assert graph.above("drop") == "two"
    assert graph.above("two") is None
    assert graph.above("two", past_pooling=True) == "three"
    assert graph.above("three") is None
    below = {node.name: graph.below(node) for node in net.nodes if node.layer.weighted}
    assert below == {"one": "input", "two": "drop", "three": "two"}


def test_paths_that_part_and_meet():
    net = network(
        ("one", L.Linear(2, 2)),
        ("elu", L.ELU()),
        ("two", L.Linear(2, 2)),
        ("sum", L.Add(), ["two", "elu"]),
        ("late", L.ELU()),
        ("three", L.Linear(2, 2)),
    )
    graph = Graph(net)
    assert graph.ends == {"elu", "two", "three"}
    for past in (False, True):
        assert graph.above("elu", past) is None  # it has two takers
        assert graph.above("two", past) is None  # it meets another
    assert [graph.below(node) for node in net.nodes if node.layer.weighted] == [
        "input",
        "elu",
        "late",
    ]


def test_a_unit_stops_where_paths_part():
    net = network(
        ("one", L.Linear(2, 2)),
        ("left", L.ELU(), "one"),
        ("right", L.Tanh(), "one"),
        ("sum", L.Add(), ["left", "right"]),
    )
    assert Graph(net).ends == {"one"}


def test_the_output_layer():
    net = network(("one", L.Linear(2, 2)), ("two", L.Linear(2, 2)), ("soft", L.Softmax()))
    assert Graph(net).output_layer().name == "two"
    with pytest.raises(ValueError, match="expected a network with a weighted layer"):
        Graph(network(("soft", L.Softmax()))).output_layer()
