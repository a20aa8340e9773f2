"""CIFAR-100 from a small copy of its files."""

from __future__ import annotations

import dataclasses
import hashlib
import tarfile

import numpy as np
import pytest
from cifar_files import archive_bytes, entry

from elunet.data import cifar100, load_cifar100

SIZES = {"train.bin": 40, "test.bin": 10}


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    monkeypatch.setattr(cifar100, "_RECORDS", SIZES)
    monkeypatch.setattr(cifar100, "_URL", "http://127.0.0.1:9/")
    monkeypatch.setattr(cifar100.official, "_RETRIES", 0)
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.delenv("ELUNET_CIFAR100", raising=False)


def files():
    """Return contents, and {name: (x, coarse, fine)}."""
    rng, contents, arrays = np.random.default_rng(0), {}, {}
    for name, n in SIZES.items():
        x = rng.integers(0, 256, (n, 32, 32, 3), np.uint8)
        coarse, fine = rng.integers(0, 20, n, np.uint8), rng.integers(0, 100, n, np.uint8)
        planes = x.transpose(0, 3, 1, 2).reshape(n, 3072)
        contents[name] = np.column_stack([coarse, fine, planes]).tobytes()
        arrays[name] = x, coarse, fine
    return contents, arrays


def write(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("labels", ["fine", "coarse"])
@pytest.mark.parametrize("where", ["folder", "above", "environment", "archive"])
def test_what_is_read(tmp_path, monkeypatch, labels, where):
    contents, arrays = files()
    place = write(tmp_path / "cifar-100-binary", contents)
    if where == "above":
        place = tmp_path
    elif where == "environment":
        monkeypatch.setenv("ELUNET_CIFAR100", str(place))
        place = None
    elif where == "archive":
        inside = [entry(f"cifar-100-binary/{name}", c) for name, c in contents.items()]
        content = archive_bytes([entry("cifar-100-binary", type=tarfile.DIRTYPE), *inside])
        place = tmp_path / "cifar-100-binary.tar.gz"
        place.write_bytes(content)
        official = dataclasses.replace(
            cifar100._BINARY, size=len(content), sha256=hashlib.sha256(content).hexdigest()
        )
        monkeypatch.setattr(cifar100, "_BINARY", official)
    for (x, y), (images, coarse, fine) in zip(
        load_cifar100(place, labels=labels), arrays.values(), strict=True
    ):
        np.testing.assert_array_equal(x, images)
        np.testing.assert_array_equal(y, fine if labels == "fine" else coarse)
        assert (x.dtype, y.dtype) == (np.uint8, np.int64)
        assert x.flags.c_contiguous


def test_errors(tmp_path):
    contents, _ = files()
    with pytest.raises(ValueError, match="load_cifar100: expected labels to be one of"):
        load_cifar100(labels="all")
    with pytest.raises(FileNotFoundError, match="load_cifar100: expected cifar-100-binary or"):
        load_cifar100(tmp_path)
    with pytest.raises(RuntimeError, match="load_cifar100: expected to download"):
        load_cifar100(tmp_path, download=True)
    folder = write(tmp_path / "cifar-100-binary", contents | {"test.bin": b"1"})
    with pytest.raises(ValueError, match="test.bin of exactly 30740 bytes, got 1"):
        load_cifar100(folder)
    spoiled = bytearray(contents["test.bin"])
    spoiled[3074 + 1] = 100
    write(folder, {"test.bin": bytes(spoiled)})
    with pytest.raises(
        ValueError, match="expected fine labels below 100 in .*, got 100 in record 1"
    ):
        load_cifar100(folder)
    (folder / "test.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"the 2 official files in .* without test.bin"):
        load_cifar100(folder)
