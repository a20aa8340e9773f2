"""A batch with a NaN, or one that overflows, stops the run and spoils nothing that was kept."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln

X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
Y = np.arange(20) % 3


def trainer(folder, **more):
    layers = [eln.layers.BatchNorm(4), eln.layers.ELU(), eln.layers.Linear(4, 3)]
    net = eln.Sequential(layers, seed=0)
    loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1, momentum=0.9)
    callbacks = [eln.Checkpoints(folder, steps=1)]
    return eln.Trainer(
        net, loss, optimizer, batch_size=5, callbacks=callbacks, progress=False, **more
    )


def states(one):
    return {name: value.copy() for name, value in one.net["batchnorm1"].state.items()}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("debug", [False, True])
def test_running_averages_stay_as_they_were(tmp_path, bad, debug):
    one = trainer(tmp_path / "run", debug=debug)
    one.fit((X, Y), epochs=1)
    spoiled = X.copy()
    spoiled[7, 1] = bad
    with pytest.raises(eln.DivergenceError):
        one.fit((spoiled, Y), epochs=1)
    for name, value in one.net["batchnorm1"].state.items():
        assert np.isfinite(value).all(), name
    again = trainer(tmp_path / "run")
    again.resume(tmp_path / "run")
    eln.load(again.net, tmp_path / "run" / "latest.safetensors")
    eln.load(again.net, tmp_path / "run" / "previous.safetensors")


def test_the_failed_step_moves_no_state(tmp_path):
    one = trainer(tmp_path / "run")
    one.fit((X, Y), epochs=1)
    before = states(one)
    with pytest.raises(eln.DivergenceError, match="running_mean"):
        one.fit((np.full_like(X, np.nan), Y), epochs=1)
    for name, value in states(one).items():
        np.testing.assert_array_equal(value, before[name])


class Counting(eln.layers.Layer):
    """Counts its passes in an array that it writes in place."""

    def __init__(self):
        super().__init__()
        self.state["count"] = np.zeros(1)

    def forward(self, x, train=False):
        if train:
            self.state["count"] += 1
            if self.state["count"][0] == 3:
                raise OSError("a device went away")
        return x

    def backward_input(self, dy):
        return dy


def test_any_error_and_any_layers_state():
    net = eln.Sequential([Counting(), eln.layers.Linear(4, 3)], seed=0)
    loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1)
    one = eln.Trainer(net, loss, optimizer, batch_size=5, progress=False)
    with pytest.raises(OSError, match="went away"):
        one.fit((X, Y), epochs=1)
    assert net.layers[0].state["count"] == 2


def test_save_refuses_a_state_that_load_would_refuse(tmp_path):
    one = trainer(tmp_path / "run")
    one.fit((X, Y), epochs=1)
    content = (tmp_path / "run" / "latest.safetensors").read_bytes()
    one.net["batchnorm1"].state["running_var"][2] = np.inf
    with pytest.raises(eln.DivergenceError, match="batchnorm1.running_var"):
        one.save(tmp_path / "run")
    assert (tmp_path / "run" / "latest.safetensors").read_bytes() == content


def test_a_running_variance_that_overflows(tmp_path):
    one = trainer(tmp_path / "run")
    one.fit((X, Y), epochs=1)
    before = states(one)
    with pytest.raises(eln.DivergenceError, match=r"batchnorm1.running_var|batchnorm1"):
        one.fit((X.astype(np.float64) * 1e200, Y), epochs=1)
    for name, value in states(one).items():
        np.testing.assert_array_equal(value, before[name])
    trainer(tmp_path / "run").resume(tmp_path / "run")


def test_save_refuses_a_rules_state_that_resume_would_refuse(tmp_path):
    def build():
        one = trainer(tmp_path / "run")
        one.router = eln.routers.SignSymmetry("batchwise", seed=1)
        return one

    one = build()
    one.fit((X, Y), epochs=1)
    content = (tmp_path / "run" / "latest.safetensors").read_bytes()
    for name, value in [("epoch", -1), ("epoch", "text")]:
        before = getattr(one.router, name)
        setattr(one.router, name, value)
        with pytest.raises((TypeError, ValueError), match="epoch"):
            one.save(tmp_path / "run")
        setattr(one.router, name, before)
    assert (tmp_path / "run" / "latest.safetensors").read_bytes() == content
    build().resume(tmp_path / "run")
