"""Saved weights come back bit for bit, and nothing half-written or foreign is accepted."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy

import elunet as eln
from elunet.storage.weights import network_arrays


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


def test_arguments_in_the_wrong_place(tmp_path):
    net, file = network(), tmp_path / "net.safetensors"
    for wrong in (lambda: eln.save(file, net), lambda: eln.load(str(file), net)):
        with pytest.raises(TypeError, match=r"^(save|load): expected a Network first, \1\(net, fi"):
            wrong()
    with pytest.raises(
        IsADirectoryError, match=r"^load: expected a file, got the folder .*best\.saf"
    ):
        eln.load(net, tmp_path)


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


def refused(file, message):
    net = network(1)
    before = {name: value.copy() for name, value in network_arrays(net).items()}
    with pytest.raises(ValueError, match=message):
        eln.load(net, file)
    for name, value in network_arrays(net).items():
        np.testing.assert_array_equal(value, before[name])


def test_every_flipped_bit_of_the_numbers_is_noticed(tmp_path):
    file = tmp_path / "x"
    eln.save(network(), file)
    good = file.read_bytes()
    start = 8 + int.from_bytes(good[:8], "little")
    for place in range(start, len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        file.write_bytes(bad)
        refused(file, "as it was saved, got another SHA-256: the file is damaged")


def test_a_flipped_bit_of_the_header_never_loads_other_numbers(tmp_path):
    file, net, other = tmp_path / "x", network(), network(1)
    eln.save(net, file)
    good = file.read_bytes()
    refusals = 0
    for place in range(8 + int.from_bytes(good[:8], "little")):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        file.write_bytes(bad)
        try:
            eln.load(other, file)
        except ValueError:
            refusals += 1
        else:
            for name, value in network_arrays(net).items():
                np.testing.assert_array_equal(network_arrays(other)[name], value)
    assert refusals > 0.8 * place


def test_a_newer_version_is_told_apart(tmp_path):
    file = tmp_path / "x"
    safetensors.numpy.save_file(network_arrays(network()), file, {"elunet": "2 of another kind"})
    refused(file, "of version 1 or older, got version 2: a newer version of elunet wrote it")


def test_a_lost_mark_does_not_make_it_another_frameworks(tmp_path):
    file = tmp_path / "x"
    eln.save(network(), file)
    file.write_bytes(file.read_bytes().replace(b'"elunet"', b'"dlunet"'))
    refused(file, "got another SHA-256: the file is damaged")


@pytest.mark.parametrize("about", ["", "1", "1 sha256:", "1 sha256:" + "0" * 64, "x sha256:1"])
def test_metadata_that_do_not_agree(tmp_path, about):
    file = tmp_path / "x"
    safetensors.numpy.save_file(network_arrays(network()), file, {"elunet": about})
    refused(file, "the file is damaged")


def test_equal_networks_give_equal_files(tmp_path):
    for name in "ab":
        eln.save(network(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("about", [None, {"format": "pt"}])
def test_another_frameworks_file_loads(tmp_path, about):
    net, other, file = network(), network(1), tmp_path / "x"
    safetensors.numpy.save_file(network_arrays(net), file, about)
    eln.load(other, file)
    for name, value in network_arrays(net).items():
        np.testing.assert_array_equal(network_arrays(other)[name], value)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300])
def test_non_finite_values_are_refused(tmp_path, value):
    arrays, file = network_arrays(network()), tmp_path / "x"
    arrays["linear1.b"] = np.full(3, value)  # 1e300 is infinite in float32
    safetensors.numpy.save_file(arrays, file)
    refused(file, r"expected finite values in .*x, got a NaN or an infinity in linear1\.b")


@pytest.mark.parametrize("name", ["net.npz", "net.PT", "net.keras"])
def test_a_name_that_promises_another_format_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=rf"^save: expected a name .*\.safetensors.* got {name}"):
        eln.save(network(), tmp_path / name)
    assert not [*tmp_path.iterdir()]
