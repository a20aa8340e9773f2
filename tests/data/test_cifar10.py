"""load_cifar10 on small copies of both official layouts, and on files made to harm it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
import tarfile

import numpy as np
import pytest
from cifar_files import archive_bytes, batch_pickle, entry

from elunet.data import CIFAR10_CLASSES, cifar10, load_cifar10

N = 300  # records a file here; more than 255, so that the pickles need long memo numbers


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    """Small files, no network, and a separate cache and environment."""
    monkeypatch.setattr(cifar10, "_RECORDS", N)
    monkeypatch.setattr(cifar10, "_LARGEST_PICKLE", N * 3300)
    monkeypatch.setattr(cifar10, "_URL", "http://127.0.0.1:9/")
    monkeypatch.setattr(cifar10.official, "_RETRIES", 0)
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.delenv("ELUNET_CIFAR10", raising=False)


@pytest.fixture(scope="module", name="data")
def _data():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (6 * N, 32, 32, 3), np.uint8), rng.integers(0, 10, 6 * N)


def parts(data):
    """Yield planes (N, 3072) and labels (N,) of the six files."""
    x, y = data
    planes = x.transpose(0, 3, 1, 2).reshape(6, N, 3072)
    return zip(planes, y.reshape(6, N), strict=True)


def binary_files(data):
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    contents = [
        np.concatenate([labels[:, None].astype(np.uint8), planes], axis=1).tobytes()
        for planes, labels in parts(data)
    ]
    return dict(zip(names, contents, strict=True))


def python_files(data):
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    contents = [batch_pickle(planes, labels) for planes, labels in parts(data)]
    return dict(zip(names, contents, strict=True))


def write_folder(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def binary_entries(data):
    folder = "cifar-10-batches-bin"
    files = {"readme.html": b"<html>", **binary_files(data)}
    directory = entry(folder, type=tarfile.DIRTYPE)
    return [directory, *(entry(f"{folder}/{name}", part) for name, part in files.items())]


@pytest.fixture(name="official")
def _official(monkeypatch):
    """Make bytes the official archive of a layout, "binary" or "python"."""

    def declare(content, layout="binary"):
        name = f"_{layout.upper()}"
        old = getattr(cifar10, name)
        new = dataclasses.replace(
            old, size=len(content), sha256=hashlib.sha256(content).hexdigest()
        )
        monkeypatch.setattr(cifar10, name, new)
        layouts = tuple(new if one is old else one for one in cifar10._LAYOUTS)
        monkeypatch.setattr(cifar10, "_LAYOUTS", layouts)
        return content

    return declare


def check(got, data):
    (x_train, y_train), (x_test, y_test) = got
    x, y = data
    for array in (x_train, x_test):
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
    assert y_train.dtype == y_test.dtype == np.int64
    np.testing.assert_array_equal(x_train, x[: 5 * N])
    np.testing.assert_array_equal(y_train, y[: 5 * N])
    np.testing.assert_array_equal(x_test, x[5 * N :])
    np.testing.assert_array_equal(y_test, y[5 * N :])


# What works


@pytest.mark.parametrize(
    ("folder", "files"),
    [("cifar-10-batches-bin", binary_files), ("cifar-10-batches-py", python_files)],
)
def test_folder_parent_and_any_name(tmp_path, data, folder, files, monkeypatch):
    source = write_folder(tmp_path / "a" / folder, files(data))
    check(load_cifar10(source), data)
    check(load_cifar10(str(source.parent)), data)
    monkeypatch.setenv("ELUNET_CIFAR10", str(source.parent))
    check(load_cifar10(), data)
    check(load_cifar10(download=True), data)
    check(load_cifar10(source.rename(tmp_path / "other")), data)


def test_binary_archive(tmp_path, data, official):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(official(archive_bytes(binary_entries(data)[::-1])))
    check(load_cifar10(archive), data)
    check(load_cifar10(tmp_path), data)
    assert os.listdir(tmp_path) == [archive.name]


def test_a_folder_in_place_of_a_data_file(tmp_path, data, official):
    """Its header has the right size, but a folder has no content."""
    entries = binary_entries(data)
    info, content = entries[-1]
    info.type = tarfile.DIRTYPE
    info.size = len(content)
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(official(archive_bytes(entries)))
    with pytest.raises(ValueError, match=r"load_cifar10: expected .* bytes, got 0"):
        load_cifar10(archive)


def test_python_archive(tmp_path, data, official):
    files = python_files(data).items()
    entries = [entry(f"cifar-10-batches-py/{name}", content) for name, content in files]
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(official(archive_bytes(entries), "python"))
    check(load_cifar10(archive), data)
    check(load_cifar10(tmp_path), data)


def test_classes():
    assert len(CIFAR10_CLASSES) == 10
    assert list(CIFAR10_CLASSES) == sorted(CIFAR10_CLASSES)


@pytest.fixture(name="serve_all")
def _serve_all(serve, monkeypatch):
    """Answer every request with the given bytes; count the requests."""

    def start(content):
        server = serve(lambda name: content)
        monkeypatch.setattr(cifar10, "_URL", server.url)
        return server

    return start


@pytest.mark.filterwarnings("ignore")  # the progress bar's
@pytest.mark.parametrize("given", [True, False])
def test_download_once(tmp_path, data, official, serve_all, given):
    server = serve_all(official(archive_bytes(binary_entries(data))))
    path = tmp_path / "mine" if given else None
    check(load_cifar10(path, download=True), data)
    check(load_cifar10(path, download=True), data)
    check(load_cifar10(path), data)
    assert server.requests == 1
    folder = tmp_path / "mine" if given else tmp_path / "cache" / "elunet"
    assert os.listdir(folder) == ["cifar-10-binary.tar.gz"]


@pytest.mark.filterwarnings("ignore")
def test_download_of_something_else(tmp_path, serve_all):
    serve_all(b"<html>busy</html>")
    with pytest.raises(ValueError, match=r"to have sha256 c4a38c50.*, got another file"):
        load_cifar10(tmp_path, download=True)
    assert os.listdir(tmp_path) == []


def test_download_without_network(tmp_path):
    with pytest.raises(RuntimeError, match=r"expected to download http.*by other means") as caught:
        load_cifar10(tmp_path, download=True)
    assert str(tmp_path) in str(caught.value)


def test_pooch_and_tarfile_are_imported_late():
    import subprocess

    code = "import sys, elunet.data.cifar10 as c; print({'pooch', 'tarfile'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# What is missing or wrong


def test_nothing_there(tmp_path, monkeypatch):
    both = r"load_cifar10\(download=True\), or fetch http.*cifar-10-binary\.tar\.gz"
    with pytest.raises(FileNotFoundError, match=f"at path .*got none of them.*{both}"):
        load_cifar10(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"at the cache folder .*{both}"):
        load_cifar10()
    monkeypatch.setenv("ELUNET_CIFAR10", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"which ELUNET_CIFAR10 names"):
        load_cifar10()


def test_a_file_of_another_name(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"expected path to be a folder.*got the file .*x\.zip"):
        load_cifar10(tmp_path / "x.zip")


def test_a_folder_that_lacks_a_file(tmp_path, data):
    folder = write_folder(tmp_path / "f", binary_files(data))
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"6 official files.*without data_batch_3\.bin"):
        load_cifar10(folder)
    (folder / "data_batch_3.bin").mkdir()
    with pytest.raises(ValueError, match=r"data_batch_3\.bin to be a regular file, got a folder"):
        load_cifar10(folder)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_binary_file_of_another_size(tmp_path, data, change):
    files = binary_files(data)
    content = files["data_batch_2.bin"]
    files["data_batch_2.bin"] = content[:-1] if change < 0 else content + b"\0"
    folder = write_folder(tmp_path / "f", files)
    size = N * 3073
    with pytest.raises(ValueError, match=rf"2\.bin of exactly {size} bytes, got {size + change}"):
        load_cifar10(folder)


def test_a_label_out_of_range(tmp_path, data):
    files = binary_files(data)
    content = bytearray(files["test_batch.bin"])
    content[7 * 3073] = 10
    files["test_batch.bin"] = bytes(content)
    folder = write_folder(tmp_path / "f", files)
    with pytest.raises(ValueError, match=r"labels 0 to 9 in .*test_batch\.bin, got 10 in record 7"):
        load_cifar10(folder)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda c: b"<!DOCTYPE html><html>", "a gzip archive, got a file .* looks like a web page"),
        (lambda c: b"", "to be a gzip archive, got a file that starts with b''"),
        (lambda c: c[:-100], r"of \d+ bytes, got \d+: it is truncated"),
        (lambda c: c[:-1] + b"x", "with sha256 [0-9a-f]{64}, got [0-9a-f]{64}"),
    ],
)
def test_an_archive_that_is_not_the_official_one(tmp_path, data, official, spoil, match):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(spoil(official(archive_bytes(binary_entries(data)))))
    with pytest.raises(ValueError, match=match):
        load_cifar10(archive)


FOLDER = "cifar-10-batches-bin"
TEST = f"{FOLDER}/test_batch.bin"


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        (entry("../evil"), r"members of .* inside cifar-10-batches-bin, got '\.\./evil'"),
        (entry(f"{FOLDER}/../../evil"), "inside cifar-10-batches-bin"),
        (entry("/evil"), "inside cifar-10-batches-bin, got '/evil'"),
        (entry("C:\\evil"), "inside cifar-10-batches-bin"),
        (entry("a\\..\\evil"), "inside cifar-10-batches-bin"),
        (entry(TEST, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "regular files.*a link"),
        (entry(TEST, type=tarfile.LNKTYPE, linkname="x"), "regular files.*test_batch.*a link"),
        (entry(TEST, type=tarfile.FIFOTYPE), "regular files.*a special file"),
        (entry(f"{FOLDER}/other", b"\0" * (N * 3073 + 1)), "of at most .* bytes, got .*other"),
        (entry(TEST, b"\0" * (N * 3073 + 1)), "of at most .* bytes, got .*test_batch"),
        (entry(TEST, b"\0" * 10), r"test_batch\.bin of exactly \d+ bytes, got 10"),
        (None, r"expected \['cifar-10-batches-bin/test_batch\.bin'\] once in .*, got none"),
    ],
)
def test_hostile_members_even_with_the_right_hash(tmp_path, data, official, extra, match):
    entries = binary_entries(data)[:-1] + ([extra] if extra else [])
    folder = tmp_path / "in"
    folder.mkdir()
    archive = folder / "cifar-10-binary.tar.gz"
    archive.write_bytes(official(archive_bytes(entries)))
    with pytest.raises(ValueError, match=match):
        load_cifar10(archive)
    assert os.listdir(tmp_path) == ["in"]
    assert os.listdir(folder) == [archive.name]


@pytest.mark.parametrize("spoil", [lambda c: c[:-5000], lambda c: b"\x1f\x8bnonsense" + c])
def test_an_unreadable_archive_even_with_the_right_hash(tmp_path, data, official, spoil):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(official(spoil(archive_bytes(binary_entries(data)))))
    with pytest.raises(ValueError, match=r"tar\.gz to be readable, got"):
        load_cifar10(archive)


def spoiled_python(tmp_path, data, first):
    files = python_files(data)
    files["data_batch_1"] = first
    return write_folder(tmp_path / "cifar-10-batches-py", files)


def test_a_pickle_runs_nothing(tmp_path, data):
    mark = tmp_path / "was-here"
    harm = b"cos\nsystem\nU" + bytes([len(f"touch {mark}")]) + f"touch {mark}".encode() + b"\x85R"
    planes, labels = next(iter(parts(data)))
    for first in (b"\x80\x02" + harm + b".", batch_pickle(planes, labels, array=harm)):
        folder = spoiled_python(tmp_path, data, first)
        with pytest.raises(ValueError, match=r"data_batch_1 to be a CIFAR-10 batch with .*_Call"):
            load_cifar10(folder)
        assert not mark.exists()
        folder.rename(tmp_path / f"done{len(first)}")


@pytest.mark.parametrize(
    ("pickle", "match"),
    [
        (b"", "got pickle exhausted"),
        (b"\x80\x02}q\x01(", "got pickle exhausted"),
        (b"\x80\x02.", "protocol 2, got"),
        (b"\x80\x02}h\x07.", "protocol 2, got 7"),
        (b"\x80\x02}}K\x01s.", "a key that is a dict"),
        (b"\x80\x02K\x01K\x02b.", "protocol 2, got"),
        (b"\x80\x02K\x01)R.", "protocol 2, got"),
        (b"\x80\x04\x8c\x01a.", "the opcode SHORT_BINUNICODE at byte 2"),
        (b"\x80\x02(U\x01aK\x01tU\x01a\x88\x86.", "entries data and labels, got tuple"),
        (b"\x80\x02}.", "entries data and labels, got dict"),
        (b"\x80\x02}U\x04dataK\x01sU\x06labels]K\x01as.", "labels as a list of 300 .*got list"),
        (b"\0" * (N * 3300 + 1), "of at most .* bytes, got"),
    ],
)
def test_pickles_that_are_no_batch(tmp_path, data, pickle, match):
    folder = spoiled_python(tmp_path, data, pickle)
    with pytest.raises(ValueError, match=match) as caught:
        load_cifar10(folder)
    assert "data_batch_1" in str(caught.value)


def test_pickle_of_a_smaller_array(tmp_path, data):
    planes, labels = next(iter(parts(data)))
    folder = spoiled_python(tmp_path, data, batch_pickle(planes[1:], labels))
    with pytest.raises(ValueError, match=r"data as a \(300, 3072\) uint8 array, got _Call"):
        load_cifar10(folder)


REAL = os.environ.get("ELUNET_CIFAR10")


@pytest.mark.skipif(not REAL, reason="ELUNET_CIFAR10 does not name a folder with CIFAR-10")
def test_real_images(monkeypatch):
    monkeypatch.undo()
    (x_train, y_train), (x_test, y_test) = load_cifar10(REAL)
    assert x_train.shape == (50_000, 32, 32, 3)
    assert x_test.shape == (10_000, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(y_train), [5000] * 10)
    np.testing.assert_array_equal(np.bincount(y_test), [1000] * 10)
    mean = x_train[::10].mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(mean, [0.491, 0.482, 0.447], atol=0.01)
