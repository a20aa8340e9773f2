"""Files that are none, and files made to trouble whoever reads them."""

from __future__ import annotations

import json
import os
import socket
import struct
import time

import numpy as np
import pytest
from cifar_files import batch_pickle

import elunet as eln
from elunet.experiments import comparison
from elunet.storage import files, settings, tables
from elunet.train.history import Epoch

ROW = Epoch(1, 0.1, 2.0, 0.1, 2.1, 0.2, 0.0, 0.0, 1.0, 100.0)
posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")


def net():
    return eln.Sequential([eln.layers.Linear(3, 2)], seed=0)


def trainer(callbacks=()):
    loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1)
    return eln.Trainer(net(), loss, optimizer, callbacks=list(callbacks))


X, Y = np.eye(3, dtype=np.float32), np.array([0, 1, 0])

WRITERS = {
    "save": lambda file: eln.save(net(), file),
    "to_csv": lambda file: eln.History([ROW]).to_csv(file),
    "write_json": lambda file: files.write_json(file, {}),
    "Trainer.save": lambda file: trainer().save(file),
}
READERS = {
    "load": lambda file: eln.load(net(), file),
    "from_csv": eln.History.from_csv,
    "settings": lambda file: settings.claim(file, {}),
    "Comparison": lambda file: eln.Comparison.read(file.parent),
}


def fifo(file):
    os.mkfifo(file)


def device(file):
    os.mknod(file, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero


def listening(file):
    here = os.getcwd()
    os.chdir(file.parent)  # a socket's path may have 108 bytes
    try:
        socket.socket(socket.AF_UNIX).bind(file.name)
    finally:
        os.chdir(here)


@posix
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("make", [fifo, device, listening])
@pytest.mark.parametrize("by_link", [False, True])
@pytest.mark.parametrize("write", WRITERS)
def test_what_is_no_file_is_not_replaced_by_one(tmp_path, write, make, by_link):
    file = thing = tmp_path / "thing.safetensors"
    try:
        make(thing)
    except PermissionError:
        pytest.skip("needs the right to make a device")
    if by_link:
        file = tmp_path / "link.safetensors"
        file.symlink_to(thing)
    before = thing.lstat()
    with pytest.raises(OSError, match=rf"expected .*{file.name} as a regular file, got a"):
        WRITERS[write](file)
    assert (thing.lstat().st_ino, thing.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert {each.name for each in tmp_path.iterdir()} == {thing.name, file.name}


@posix
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("write", WRITERS)
def test_a_symbolic_link_stays_and_its_file_is_written(tmp_path, write, exists):
    there, link = tmp_path / "far" / "net.safetensors", tmp_path / "near" / "link.safetensors"
    there.parent.mkdir()
    link.parent.mkdir()
    if exists:
        there.write_text("old")
    link.symlink_to("../far/net.safetensors")
    WRITERS[write](link)
    assert link.is_symlink()
    assert not there.is_symlink()
    assert there.read_bytes() not in (b"", b"old")
    assert [each.name for each in there.parent.iterdir()] == [there.name]
    assert [each.name for each in link.parent.iterdir()] == [link.name]


@posix
def test_checkpoints_by_links_stay_links(tmp_path):
    """As where a folder of runs points to a larger disk."""
    run, disk = tmp_path / "run", tmp_path / "disk"
    run.mkdir()
    disk.mkdir()
    names = [f"{name}.safetensors" for name in ("latest", "previous", "best")]
    for name in names:
        (run / name).symlink_to(disk / name)
    trainer([eln.Checkpoints(run)]).fit((X, Y), (X, Y), epochs=3)
    assert all((run / name).is_symlink() and (disk / name).is_file() for name in names)
    one = trainer()
    one.resume(run)
    assert len(one.history) == 3
    two = trainer()
    two.resume(run / "previous.safetensors")
    assert len(two.history) == 2


@posix
@pytest.mark.parametrize("make", [fifo, device])
@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_is_not_read(tmp_path, read, make):
    file = tmp_path / "settings.json"
    try:
        make(file)
    except PermissionError:
        pytest.skip("needs the right to make a device")
    with pytest.raises(OSError, match=rf"expected .*{file.name} as a regular file, got a"):
        READERS[read](file)


@posix
@pytest.mark.parametrize("name", ["latest.safetensors", "run.safetensors"])
def test_no_run_is_resumed_from_a_fifo(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(OSError, match=f"got no file .*{name}"):
        trainer().resume(tmp_path / name)


@posix
def test_no_data_are_read_from_a_fifo(tmp_path):
    os.mkfifo(tmp_path / "cifar-10-binary.tar.gz")
    with pytest.raises(ValueError, match=r"cifar-10-binary.tar.gz to be a regular file"):
        eln.data.load_cifar10(tmp_path)


def test_a_name_of_255_bytes(tmp_path):
    for name in ("x" * 243, "\N{SNOWMAN}" * 81):
        file = tmp_path / f"{name}.safetensors"
        (tmp_path / f".{files._stem(file)}.0123456789abcdef").write_text("left over")
        eln.save(net(), file)
        eln.load(net(), file)
        files.sweep(file)
        assert list(tmp_path.iterdir()) == [file]
        file.unlink()
    with pytest.raises(OSError, match="xx"):
        eln.save(net(), tmp_path / ("x" * 300))
    assert not list(tmp_path.iterdir())


def safetensors(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, size):
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3"])
def test_numbers_that_numpy_does_not_have(tmp_path, dtype):
    file, size = tmp_path / "net.safetensors", 12 if dtype == "BF16" else 6
    file.write_bytes(safetensors({"linear1.W": entry(dtype, [3, 2], size)}, bytes(size)))
    with pytest.raises(ValueError, match=f"load: expected .*net.safetensors .*got {dtype}"):
        eln.load(net(), file)


@pytest.mark.parametrize("shape", [[1] * 200, [1] * 65, [0, 2**62, 2**62]])
def test_arrays_that_numpy_does_not_have(tmp_path, shape):
    file, size = tmp_path / "net.safetensors", 0 if 0 in shape else 4
    file.write_bytes(safetensors({"linear1.W": entry("F32", shape, size)}, bytes(size)))
    with pytest.raises(ValueError, match=r"load: expected arrays in .*net.safetensors that NumPy"):
        eln.load(net(), file)


@pytest.mark.parametrize("names", [[f"t{i}" for i in range(200_000)], ["x" * 1_000_000]])
def test_a_message_has_an_end(tmp_path, names):
    file = tmp_path / "net.safetensors"
    file.write_bytes(safetensors(dict.fromkeys(names, entry("F32", [0], 0))))
    with pytest.raises(ValueError, match=r"net.safetensors to fit the network") as caught:
        eln.load(net(), file)
    assert len(str(caught.value)) < 5_000


GOOD = eln.History([ROW]).to_text()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            GOOD.replace("100.0", "9" * 200_000).encode(),
            "after line 1: field larger",
        ),
        (GOOD.replace("100.0", "x" * 100_000).encode(), "numbers in line 2"),
        (b"\xff\xfe" + GOOD.encode(), "as text in UTF-8"),
        (("x" * 200_000 + GOOD).encode(), "as a table, got after line"),
        (("x," * 100_000 + GOOD).encode(), "with columns"),
        (GOOD.replace(",100.0", "").encode(), "11 cells in line 2"),
        (b"", "with columns"),
    ],
)
def test_damaged_tables(tmp_path, content, text):
    file = tmp_path / "history.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=text) as caught:
        eln.History.from_csv(file)
    assert "history.csv" in str(caught.value)
    assert len(str(caught.value)) < 2_000


def test_a_row_with_too_few_texts(tmp_path):
    """What is missing is not a text "None"."""
    header = ",".join(tables.columns(comparison.Trial))
    with pytest.raises(ValueError, match=r"cells in line 2 of trials.csv, got 1"):
        tables.from_text("read", "trials.csv", comparison.Trial, f"{header}\nfinal\n")


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"rules": ', b"[1]", b"3", b"\xff", b"[" * 100_000, b"{}"]
)
def test_damaged_settings(tmp_path, content):
    file = tmp_path / "settings.json"
    file.write_bytes(content)
    (tmp_path / "trials.csv").write_text(",".join(tables.columns(comparison.Trial)) + "\n")
    with pytest.raises(ValueError, match=r"Comparison.read: expected .*settings.json"):
        eln.Comparison.read(tmp_path)
    if content != b"{}":
        with pytest.raises(ValueError, match=r"claim: expected .*settings.json"):
            settings.claim(file, {"epochs": 3})
        assert file.read_bytes() == content


def test_resume_names_the_checkpoints_that_are_there(tmp_path):
    trainer([eln.Checkpoints(tmp_path / "checkpoints")]).fit((X, Y), (X, Y), epochs=2)
    for name in ("latest", "previous"):
        (tmp_path / "checkpoints" / f"{name}.safetensors").unlink()
    for resume in (
        lambda: trainer().resume(tmp_path / "checkpoints"),
        lambda: eln.Job(tmp_path).resume(tmp_path),
    ):
        with pytest.raises(FileNotFoundError, match=r"no file .*latest.* there is .*best\.") as e:
            resume()
    trainer().resume(str(e.value).split("there is ")[1].split(",")[0])


def cifar(folder, content):
    folder.mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("opcode", [b"N", b"(", b"]", b"}", b"K\x01", b")", b"q\x00"])
def test_a_pickle_of_millions_of_opcodes_is_refused_at_once(tmp_path, opcode):
    folder = cifar(tmp_path / "cifar-10-batches-py", b"\x80\x02N" + opcode * 3_000_000 + b".")
    begin = time.process_time()
    with pytest.raises(ValueError, match=r"data_batch_1.* got more than 100000 opcodes"):
        eln.data.load_cifar10(folder)
    assert time.process_time() - begin < 5


def test_a_pickle_as_large_as_the_official_ones_is_read(tmp_path):
    planes = np.random.default_rng(0).integers(0, 256, (10_000, 3072), np.uint8)
    labels = [i % 10 for i in range(10_000)]
    folder = cifar(tmp_path / "cifar-10-batches-py", batch_pickle(planes, labels))
    (x, y), _ = eln.data.load_cifar10(folder)
    assert y[:10_000].tolist() == labels
    assert np.array_equal(x[:10_000].transpose(0, 3, 1, 2).reshape(10_000, -1), planes)


@pytest.mark.parametrize("by_variable", [False, True])
def test_the_home_folder_of_nobody(monkeypatch, by_variable):
    monkeypatch.setenv("ELUNET_CIFAR10", "~nosuchuser/cifar")
    with pytest.raises(FileNotFoundError, match=r"home folder in .*'~nosuchuser/cifar'"):
        eln.data.load_cifar10(None if by_variable else "~nosuchuser/cifar")
