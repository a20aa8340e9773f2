"""Units: where they end, which follows which, and what lies below a weighted layer."""

from __future__ import annotations

import pytest

import elunet as eln
from elunet import layers as L
from elunet.routers.units import Units, output_layer


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
    units = Units(net)
    assert units.ends == {"drop", "two", "three"}
    assert units.above("drop") == "two"
    assert units.above("two") is None
    assert units.above("two", past_pooling=True) == "three"
    assert units.above("three") is None
    below = {node.name: units.below(node) for node in net.nodes if node.layer.weighted}
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
    units = Units(net)
    assert units.ends == {"elu", "two", "three"}
    for past in (False, True):
        assert units.above("elu", past) is None  # it has two takers
        assert units.above("two", past) is None  # it meets another
    assert [units.below(node) for node in net.nodes if node.layer.weighted] == [
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
    assert Units(net).ends == {"one"}


def test_the_output_layer():
    net = network(("one", L.Linear(2, 2)), ("two", L.Linear(2, 2)), ("soft", L.Softmax()))
    assert output_layer(net).name == "two"
    with pytest.raises(ValueError, match="expected a network with a weighted layer"):
        output_layer(network(("soft", L.Softmax())))
