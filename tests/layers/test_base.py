"""What a layer of one's own meets when something is missing."""

from __future__ import annotations

import re

import numpy as np
import pytest

from elunet import layers as L
from elunet._checks import integer


class Nothing(L.Layer):
    pass


def test_what_a_subclass_has_to_define():
    with pytest.raises(NotImplementedError, match=re.escape("Nothing(): a layer has to define fo")):
        Nothing().forward(np.ones(3))
    with pytest.raises(NotImplementedError, match=re.escape("Nothing(): a layer has to define ba")):
        Nothing().backward(np.ones(3))
    assert Nothing().backward_params(np.ones(3)) is None
    with pytest.raises(NotImplementedError):
        L.Weighted((2, 2), True, None, 0).backward_input(np.ones(3))


def test_plain_layers_have_empty_dicts():
    layer = Nothing()
    assert (layer.params, layer.grads, layer.state, layer.rng) == ({}, {}, {}, None)
    assert not layer.weighted
    assert L.Linear(2, 2).weighted
    assert L.Conv2D(2, 2, 1).weighted
    assert not L.BatchNorm(2).weighted


@pytest.mark.parametrize(("value", "kind"), [(1.0, float), (True, bool), ("2", str), (None, None)])
def test_counts_are_integers(value, kind):
    with pytest.raises(
        TypeError, match=re.escape(f"Who: expected what as an integer, got {value!r}")
    ):
        integer("Who", "what", value)


def test_counts_have_a_least_value():
    assert integer("Who", "what", np.int64(3)) == 3
    assert type(integer("Who", "what", np.uint8(3))) is int
    with pytest.raises(ValueError, match="Who: expected what of at least 2, got 1"):
        integer("Who", "what", 1, least=2)
