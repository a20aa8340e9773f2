"""Trained weights: where they are looked for, what is refused, and what the published ones do."""

from __future__ import annotations

import hashlib
import os
import threading
from email.message import Message
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import elunet as eln
from elunet.models import elu11, pretrained

NAME = "elu11-cifar10.safetensors"
NARROW = (8, 8, 10, 10, 12, 12, 14, 14, 16, 16)
SHIPPED = Path(__file__).parents[1] / "docs" / "weights"


@pytest.fixture
def network():
    return elu11(widths=NARROW, seed=3)


@pytest.fixture
def folder(tmp_path, network, monkeypatch):
    """Return a folder with the only weights that there are, a small network's."""
    place = tmp_path / "weights"
    place.mkdir()
    eln.save(network, place / NAME)
    digest = hashlib.sha256((place / NAME).read_bytes()).hexdigest()
    monkeypatch.setitem(pretrained.SHA256, NAME, digest)
    monkeypatch.setenv(pretrained.ENVIRONMENT, str(place))
    return place


def assert_same(one, other):
    for name, value in one.parameters().items():
        np.testing.assert_array_equal(other.parameters()[name], value)


def test_by_name_and_by_path(folder, network):
    assert_same(network, elu11(widths=NARROW, weights="cifar10"))
    assert_same(network, elu11(widths=NARROW, weights=folder / NAME))


def test_they_have_to_fit(folder):
    with pytest.raises(ValueError, match=r"to fit the network.*\n  conv1.W: expected"):
        elu11(weights="cifar10")


def test_a_damaged_file_is_refused(folder):
    content = bytearray((folder / NAME).read_bytes())
    content[-1] ^= 1
    (folder / NAME).write_bytes(content)
    with pytest.raises(ValueError, match="elu11: expected .* with sha256 [0-9a-f]{64}, got"):
        elu11(widths=NARROW, weights="cifar10")


def test_a_folder_without_them(folder):
    (folder / NAME).unlink()
    with pytest.raises(FileNotFoundError, match=f"elu11: expected the weights {NAME} in"):
        elu11(widths=NARROW, weights="cifar10")


class TestDownload:
    @pytest.fixture(autouse=True)
    def nowhere_else(self, folder, tmp_path, monkeypatch):
        monkeypatch.delenv(pretrained.ENVIRONMENT)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        module = tmp_path / "lib" / "elunet" / "models" / "pretrained.py"  # not in a checkout
        monkeypatch.setattr(pretrained, "__file__", str(module))

    @pytest.fixture
    def source(self, tmp_path, folder, monkeypatch):
        """Serve a repository at an address that the installation names."""
        raw = tmp_path / "served" / "raw" / "HEAD" / "docs"
        raw.mkdir(parents=True)
        folder.rename(raw / "weights")
        handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        info = Message()
        info["Project-URL"] = "Issues, http://127.0.0.1:1/issues"
        info["Project-URL"] = f"Source, http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(metadata, "metadata", lambda name: info)
        yield raw / "weights" / NAME
        server.shutdown()
        server.server_close()

    def test_once(self, source, network, tmp_path):
        assert_same(network, elu11(widths=NARROW, weights="cifar10"))
        source.unlink()
        assert_same(network, elu11(widths=NARROW, weights="cifar10"))  # from the cache
        assert [path.name for path in (tmp_path / "cache" / "elunet").iterdir()] == [NAME]

    def test_another_file(self, source):
        source.write_bytes(b"<html>")
        with pytest.raises(ValueError, match=f"elu11: expected the weights {NAME} at http"):
            elu11(widths=NARROW, weights="cifar10")

    def test_no_such_file(self, source):
        source.unlink()
        with pytest.raises(RuntimeError, match="elu11: expected to download http.*404"):
            elu11(widths=NARROW, weights="cifar10")

    def test_nobody_knows_where(self, monkeypatch):
        monkeypatch.setattr(metadata, "metadata", lambda name: Message())
        with pytest.raises(FileNotFoundError, match="the project's folder docs/weights"):
            elu11(widths=NARROW, weights="cifar10")


def test_the_published_file_is_the_one():
    for name, digest in pretrained.SHA256.items():
        assert hashlib.sha256((SHIPPED / name).read_bytes()).hexdigest() == digest


@pytest.mark.slow
@pytest.mark.skipif("ELUNET_CIFAR10" not in os.environ, reason="ELUNET_CIFAR10 is not set")
def test_what_the_model_card_says():
    (x_train, _), (x_test, y_test) = eln.data.load_cifar10()
    _, x = eln.recipes.RECIPES["long"].prepare(x_train, x_test[:2000])
    net = elu11(weights="cifar10")
    found = np.concatenate(
        [net.forward(x[i : i + 200]).argmax(axis=1) for i in range(0, 2000, 200)]
    )
    assert (found == y_test[:2000]).mean() > 0.86
