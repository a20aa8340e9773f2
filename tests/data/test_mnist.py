"""MNIST and Fashion-MNIST from small copies of their files, and from files made to harm."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import tracemalloc

import numpy as np
import pytest

import elunet as eln
from elunet.commands.compare import splits
from elunet.data import load_fashion_mnist, load_mnist, mnist

SPLITS = (("train", 30), ("t10k", 10))
LOADERS = {"mnist": load_mnist, "fashion_mnist": load_fashion_mnist}
EACH = pytest.mark.parametrize("name", LOADERS)


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    monkeypatch.setattr(mnist, "_SPLITS", SPLITS)
    monkeypatch.setattr(mnist.official, "_RETRIES", 0)
    for name in ("_MNIST", "_FASHION"):
        source = getattr(mnist, name)._replace(url="http://127.0.0.1:9/")
        monkeypatch.setattr(mnist, name, source)
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    for name in LOADERS:
        monkeypatch.delenv(f"ELUNET_{name.upper()}", raising=False)


def files(seed=0):
    """Return the four files' contents, and the arrays in them."""
    rng, found, arrays = np.random.default_rng(seed), {}, []
    for split, n in SPLITS:
        x, y = rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)
        found[f"{split}-images-idx3-ubyte"] = struct.pack(">4I", 2051, n, 28, 28) + x.tobytes()
        found[f"{split}-labels-idx1-ubyte"] = struct.pack(">2I", 2049, n) + y.tobytes()
        arrays.append((x, y))
    return found, arrays


def write(folder, contents, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def make_official(monkeypatch, contents, *names):
    hashes = {
        name: mnist._Hashes(
            hashlib.sha256(gzip.compress(content, mtime=0)).hexdigest(),
            hashlib.sha256(content).hexdigest(),
        )
        for name, content in contents.items()
    }
    for name in names or ("mnist", "fashion_mnist"):
        source = "_MNIST" if name == "mnist" else "_FASHION"
        monkeypatch.setattr(mnist, source, getattr(mnist, source)._replace(hashes=hashes))


@EACH
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("where", ["path", "environment", "cache"])
def test_what_is_read(tmp_path, monkeypatch, name, packed, where):
    contents, arrays = files()
    make_official(monkeypatch, contents)
    folder = tmp_path / "cache" / "elunet" / name if where == "cache" else tmp_path / "data"
    write(folder, contents, packed)
    if where == "environment":
        monkeypatch.setenv(f"ELUNET_{name.upper()}", str(folder))
    loaded = LOADERS[name](folder if where == "path" else None)
    for (x, y), (images, labels) in zip(loaded, arrays, strict=True):
        assert x.shape == (len(images), 28, 28, 1)
        assert x.dtype == np.uint8
        assert x.flags.writeable
        assert y.dtype == np.int64
        np.testing.assert_array_equal(x[..., 0], images)
        np.testing.assert_array_equal(y, labels)


@EACH
@pytest.mark.parametrize("packed", [False, True])
def test_names_with_a_dot(tmp_path, monkeypatch, name, packed):
    contents, arrays = files()
    make_official(monkeypatch, contents)
    write(tmp_path, {name.replace("-idx", ".idx"): each for name, each in contents.items()}, packed)
    for (x, y), (images, labels) in zip(LOADERS[name](tmp_path), arrays, strict=True):
        np.testing.assert_array_equal(x[..., 0], images)
        np.testing.assert_array_equal(y, labels)
    assert len(splits(str(tmp_path), 20)[0][0]) == 20


def test_the_folder_to_which_torchvision_downloads(tmp_path, monkeypatch):
    for number, (name, kept) in enumerate([("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")]):
        contents, arrays = files(number)
        make_official(monkeypatch, contents, name)
        raw = write(tmp_path / kept / "raw", contents, packed=True)
        (x, _), _ = LOADERS[name](tmp_path)
        np.testing.assert_array_equal(x[..., 0], arrays[0][0])
        for file in raw.iterdir():  # where torchvision was interrupted, other files count
            file.unlink()
        (x, _), _ = LOADERS[name](write(tmp_path / name, contents))
        np.testing.assert_array_equal(x[..., 0], arrays[0][0])


def test_folders_beside_the_files(tmp_path):
    contents, arrays = files()
    write(tmp_path, {name.replace("-idx", ".idx"): each for name, each in contents.items()})
    for name in contents:
        (tmp_path / name).mkdir()
    (x, _), _ = load_mnist(tmp_path)
    np.testing.assert_array_equal(x[..., 0], arrays[0][0])


def test_each_file_in_a_folder_of_its_name(tmp_path):
    contents, arrays = files()
    for name, content in contents.items():
        write(tmp_path / name, {name: content})
    (x, _), _ = load_mnist(tmp_path)
    np.testing.assert_array_equal(x[..., 0], arrays[0][0])


def test_an_error_in_reading_is_not_the_files_fault(tmp_path, monkeypatch):
    contents, _ = files()
    make_official(monkeypatch, contents)
    write(tmp_path, contents, packed=True)

    def refuse(file):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(mnist.gzip, "open", refuse)
    with pytest.raises(PermissionError):
        load_mnist(tmp_path)


@EACH
@pytest.mark.parametrize("level", [0, 1])
def test_any_program_may_have_compressed_it(tmp_path, monkeypatch, name, level):
    """Debian's package of Fashion-MNIST has compressed files with a header of its own."""
    contents, arrays = files()
    make_official(monkeypatch, contents)
    for each, content in contents.items():
        (tmp_path / f"{each}.gz").write_bytes(gzip.compress(content, level, mtime=1591347949))
    (x, _), _ = LOADERS[name](tmp_path)
    np.testing.assert_array_equal(x[..., 0], arrays[0][0])


@pytest.mark.filterwarnings("ignore")  # the progress bar's
@EACH
def test_a_downloaded_file_has_to_be_the_official_one(tmp_path, monkeypatch, serve, name):
    contents, arrays = files()
    make_official(monkeypatch, contents)
    there = {f"{each}.gz": gzip.compress(content, mtime=0) for each, content in contents.items()}
    source = "_MNIST" if name == "mnist" else "_FASHION"
    url = serve(there.__getitem__).url
    monkeypatch.setattr(mnist, source, getattr(mnist, source)._replace(url=url))
    (x, _), _ = LOADERS[name](tmp_path / "good", download=True)
    np.testing.assert_array_equal(x[..., 0], arrays[0][0])
    there["t10k-labels-idx1-ubyte.gz"] = gzip.compress(contents["t10k-labels-idx1-ubyte"], 1)
    with pytest.raises(ValueError, match=f"load_{name}: expected .* to have sha256"):
        LOADERS[name](tmp_path / "bad", download=True)


@EACH
def test_nothing_there(tmp_path, name):
    with pytest.raises(
        FileNotFoundError, match=f"load_{name}: expected train-images.* got neither"
    ):
        LOADERS[name](tmp_path)
    with pytest.raises(RuntimeError, match=f"load_{name}: expected to download .*call load_{name}"):
        LOADERS[name](tmp_path, download=True)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda c: c[:-1], r"of 23536 bytes, got 23535"),
        (lambda c: c + b"1", r"of 23536 bytes, got 23537"),
        (lambda c: b"<html>" + c, "to be an IDX file of uint8 .* begins with 3c68"),
        (lambda c: b"", "to be an IDX file of uint8"),
        (lambda c: b"\0\0\x0d" + c[3:], "to be an IDX file of uint8"),
        (lambda c: c * 5000, "of at most 47040016 bytes, got 117680000"),
    ],
)
def test_files_that_are_something_else(tmp_path, spoil, text):
    contents, _ = files()
    name = "train-images-idx3-ubyte"
    folder = write(tmp_path, contents | {name: spoil(contents[name])})
    with pytest.raises(ValueError, match=text):
        load_mnist(folder)


def test_compressed_files_that_are_something_else(tmp_path, monkeypatch):
    contents, _ = files()
    folder = write(tmp_path, contents, packed=True)
    with pytest.raises(ValueError, match="with sha256 ba891046.* Fetch it again, or unpack it"):
        load_mnist(folder)
    make_official(monkeypatch, contents)
    load_mnist(folder)
    file = folder / "train-images-idx3-ubyte.gz"
    good = file.read_bytes()
    for bad in (b"<html>", good[:-9], good[:40], good[:-8] + bytes(8), good + b"1"):
        file.write_bytes(bad)
        with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz to be a gzip file, got"):
            load_mnist(folder)
    for other in (b"", gzip.compress(b""), gzip.compress(contents[file.stem][:-1])):
        file.write_bytes(other)
        with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz to hold what the offic"):
            load_mnist(folder)


def test_a_compressed_file_that_claims_to_be_huge(tmp_path):
    folder = write(tmp_path, files()[0], packed=True)
    file = folder / "train-images-idx3-ubyte.gz"
    with gzip.open(file, "wb", 1) as packed:
        for _ in range(256):
            packed.write(bytes(2**20))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="to hold what the official file holds"):
            load_mnist(folder)
        assert tracemalloc.get_traced_memory()[1] < 3 * mnist._LARGEST
    finally:
        tracemalloc.stop()


def test_labels_beyond_nine_and_special_files(tmp_path):
    contents, _ = files()
    name = "train-labels-idx1-ubyte"
    folder = write(tmp_path, contents | {name: contents[name][:-1] + b"\x0a"})
    with pytest.raises(ValueError, match="expected labels 0 to 9 in .*, got 10"):
        load_mnist(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(FileNotFoundError, match=f"expected {name} or {name}.gz at .*got neither"):
        load_mnist(folder)
    os.mkfifo(folder / name / name)
    with pytest.raises(ValueError, match="to be a regular file, got a special file"):
        load_mnist(folder)


@EACH
@pytest.mark.parametrize("packed", [False, True])
def test_a_comparison_of_rules_knows_the_folder(tmp_path, monkeypatch, name, packed):
    contents, ((x, y), (x_test, y_test)) = files()
    folder = write(tmp_path / "images", contents, packed)
    make_official(monkeypatch, contents, name)
    train, validation, test = splits(str(folder), 20, 7)
    assert [len(part[0]) for part in (train, validation, test)] == [20, 7, 10]
    for (_, labels), its in ((train, y[:20]), (validation, y[20:27]), (test, y_test)):
        np.testing.assert_array_equal(labels, its)
    scaled = [eln.data.standardize(x[:20, ..., None], part[..., None])[1] for part in (x, x_test)]
    np.testing.assert_array_equal(np.concatenate([train[0], validation[0]]), scaled[0][:27])
    np.testing.assert_array_equal(test[0], scaled[1])
    with pytest.raises(ValueError, match="of at most 30 images in total, got 25 and 6"):
        splits(str(folder), 25, 6)


def test_a_comparison_tells_of_files_of_neither(tmp_path, monkeypatch):
    contents, _ = files()
    folder = write(tmp_path, contents, packed=True)
    with pytest.raises(
        ValueError, match=r"got neither. load_mnist: expected .*load_fashion_mnist: expected"
    ):
        splits(str(folder), 20)
