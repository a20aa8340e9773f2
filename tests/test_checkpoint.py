"""Saved weights come back to the bit, and nothing half-written or foreign is accepted."""

from __future__ import annotations

import os

import numpy as np
import pytest
import safetensors.numpy

import elunet as eln
from elunet import checkpoint


def network(seed: int = 0, channels: int = 3) -> eln.Sequential:
    layers = [eln.layers.Linear(4, channels), eln.layers.BatchNorm(channels), eln.layers.ELU()]
    return eln.Sequential(layers, seed=seed)


def test_round_trip_is_exact(tmp_path):
    net, other = network(0), network(1)
    x = np.random.default_rng(5).normal(size=(9, 4)).astype(np.float32)
    net.forward(x, train=True)  # moves the running statistics
    eln.save(net, tmp_path / "net.safetensors")
    held = other.parameters()
    eln.load(other, tmp_path / "net.safetensors")
    np.testing.assert_array_equal(net.forward(x), other.forward(x))
    for name, array in other.parameters().items():
        assert array is held[name]  # filled in place: an optimizer's view stays valid


def test_other_frameworks_can_read_it(tmp_path):
    net = network()
    eln.save(net, tmp_path / "net.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "net.safetensors")
    assert set(found) == {
        "linear1.W",
        "linear1.b",
        "batchnorm1.gamma",
        "batchnorm1.beta",
        "batchnorm1.running_mean",
        "batchnorm1.running_var",
    }
    np.testing.assert_array_equal(found["linear1.W"], net["linear1"].params["W"])


def test_a_network_that_does_not_fit_is_told_how_and_left_alone(tmp_path):
    eln.save(network(), tmp_path / "net.safetensors")
    wide = eln.Sequential([eln.layers.Linear(4, 5), eln.layers.Linear(5, 2)], seed=2)
    before = {name: value.copy() for name, value in wide.parameters().items()}
    with pytest.raises(ValueError, match="expected .* to fit the network") as caught:
        eln.load(wide, tmp_path / "net.safetensors")
    message = str(caught.value)
    assert "linear1.W: expected float32 of shape (4, 5), got float32 of shape (4, 3)" in message
    assert "linear2.W: not in the file" in message
    assert "batchnorm1.gamma: not in the network" in message
    for name, value in wide.parameters().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x04N.", b"\xff" * 64])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    file = tmp_path / "x"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="as a safetensors file"):
        eln.load(network(), file)


def test_a_truncated_file_is_refused(tmp_path):
    file = tmp_path / "x"
    eln.save(network(), file)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ValueError, match="as a safetensors file"):
        eln.load(network(), file)


def test_non_finite_weights_do_not_replace_good_ones(tmp_path):
    net, file = network(), tmp_path / "x"
    eln.save(net, file)
    good = file.read_bytes()
    net["linear1"].params["W"][0, 0] = np.inf
    with pytest.raises(ValueError, match=r"finite values, got a NaN or an infinity in linear1\.W"):
        eln.save(net, file)
    assert file.read_bytes() == good


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, broken):
    file = tmp_path / "x"
    eln.save(network(0), file)
    good = file.read_bytes()

    def fail(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="No space left"):
        eln.save(network(1), file)
    assert file.read_bytes() == good
    assert os.listdir(tmp_path) == ["x"]


def test_what_reads_back_differently_is_not_kept(tmp_path, monkeypatch):
    file = tmp_path / "x"
    file.write_bytes(b"old")
    monkeypatch.setattr(checkpoint.Path, "read_bytes", lambda self: b"garbled")
    with pytest.raises(OSError, match="does not read back the same"):
        checkpoint.write_atomically(file, b"new")
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]
