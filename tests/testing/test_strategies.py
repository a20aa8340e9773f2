import importlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elunet.testing
from elunet.testing import strategies


@given(strategies.shapes(2, 3, 1, 4))
def test_shapes(shape):
    assert 2 <= len(shape) <= 3
    assert all(1 <= side <= 4 for side in shape)


@given(strategies.inputs(kinks=(0.0, -1.0)))
def test_inputs_keep_away_from_kinks_and_ties(x):
    assert x.dtype == np.float64
    assert np.abs(x).min() >= 0.05
    assert np.abs(x + 1).min() >= 0.05
    assert np.abs(x).max() <= 2
    assert len(np.unique(x)) == x.size


@given(strategies.inputs((40, 30), dtype=np.float32))
def test_inputs_of_a_shape(x):
    assert x.shape == (40, 30)
    assert x.dtype == np.float32
    assert len(np.unique(x)) == 1200


@given(strategies.inputs(st.just((2, 3))))
def test_inputs_of_a_drawn_shape(x):
    assert x.shape == (2, 3)


@given(strategies.images(channels=3), strategies.images(min_side=2, max_side=3))
def test_images(three, any_):
    assert three.ndim == 4
    assert three.shape[-1] == 3
    assert set(any_.shape[1:3]) <= {2, 3}


def test_kinks_that_leave_no_room():
    with pytest.raises(ValueError, match=r"leave room in \[-1, 1\], got kinks=\(0,\), margin=2"):
        strategies.spread((2,), np.random.default_rng(0), kinks=(0,), margin=2, reach=1)


@settings(max_examples=10)
@given(strategies.layers("ELU"))
def test_layers_of_one_kind(pair):
    layer, x = pair
    assert type(layer).__name__ == "ELU"
    assert layer.forward(x).shape == x.shape


@settings(max_examples=1)
@given(st.data())
def test_layers_of_no_kind(data):
    with pytest.raises(ValueError, match=r"expected kind among .*'ELU'.*, got 'GRU'"):
        data.draw(strategies.layers("GRU"))


def test_an_attribute_that_is_not_there():
    with pytest.raises(AttributeError, match=r"'elunet\.testing' has no attribute 'strategy'"):
        _ = elunet.testing.strategy


def test_imported_when_asked_for(monkeypatch):
    assert elunet.testing.strategies is strategies
    monkeypatch.delattr(elunet.testing, "strategies")
    assert elunet.testing.strategies is strategies


def test_without_hypothesis(monkeypatch):
    monkeypatch.delitem(sys.modules, "elunet.testing.strategies")
    monkeypatch.delattr(elunet.testing, "strategies")
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r"pip install elunet\[test\]"):
        _ = elunet.testing.strategies
    with pytest.raises(ImportError, match=r"pip install elunet\[test\]"):
        importlib.import_module("elunet.testing.strategies")


@pytest.mark.process
def test_hypothesis_is_not_imported_early():
    code = "import sys, elunet.testing; sys.exit('hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
