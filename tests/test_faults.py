"""The faults that others met, one by one: a right result, or a message that says what to do.

Each is here in its shortest form; what belongs to one part of the package is tested at length where
that part's tests are, and named in the docstring.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from cifar_files import archive_bytes, entry
from small_runs import Stop, assert_equal_runs, blobs, build, everything

import elunet as eln
from elunet import layers as L
from elunet import optim as O
from elunet.data import cifar10, load_cifar10
from elunet.storage.weights import network_arrays

TESTS = Path(__file__).parent
RNG = np.random.default_rng(0)
PICTURES = RNG.normal(size=(2, 8, 8, 3)).astype(np.float32)
MARGINS = {"sides": [0.0, -1.0, 1e4, -1e4, -0.0]}


def conv(**options):
    return L.Conv2D(3, 4, 3, seed=0, **options)


def in_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, which finds the tests' helpers."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


# 1 to 9: inputs and arguments of layers (tests/layers, tests/test_fuzz.py)


def test_01_an_image_without_its_batch():
    message = re.escape("Conv2D(3->4, 3x3): expected x of shape (N, H, W, 3), got (8, 8, 3)")
    with pytest.raises(ValueError, match=message):
        conv().forward(PICTURES[0])


def test_02_channels_first():
    x = PICTURES.transpose(0, 3, 1, 2)
    with pytest.raises(ValueError, match=r"got \(2, 3, 8, 8\); arrays are \(N, H, W, C\)"):
        conv().forward(x)


@pytest.mark.parametrize(
    ("dtype", "hint"), [("u1", "; images go through"), ("i8", ""), ("O", ""), ("c8", "")]
)
def test_03_no_floats(dtype, hint):
    with np.errstate(invalid="ignore"):
        x = PICTURES.astype(dtype)
    with pytest.raises(
        TypeError, match=rf"expected x of dtype float32 or float64, got {x.dtype}{hint}"
    ):
        conv().forward(x)


@pytest.mark.parametrize(
    "layout",
    [np.asfortranarray, lambda x: x[:, ::-1].copy()[:, ::-1], lambda x: np.repeat(x, 2, 0)[::2]],
)
def test_04_any_memory_layout(layout):
    x = layout(PICTURES)
    assert not x.flags.c_contiguous
    for layer in (conv(), L.MaxPool2D(2), L.ELU()):
        y, again = layer.forward(PICTURES), layer.forward(x)
        np.testing.assert_array_equal(y, again)


def test_05_a_read_only_array():
    x = PICTURES.copy()
    x.flags.writeable = False
    layer = conv()
    dx = layer.backward(layer.forward(x))
    assert dx.shape == x.shape
    np.testing.assert_array_equal(x, PICTURES)


def test_06_an_empty_batch():
    assert conv().forward(PICTURES[:0]).shape == (0, 8, 8, 4)
    message = "BatchNorm(3): expected x with at least 2 values per channel in training"
    with pytest.raises(ValueError, match=re.escape(message)):
        L.BatchNorm(3).forward(PICTURES[:0], train=True)
    with pytest.raises(ValueError, match="expected a prediction with at least one row"):
        eln.losses.SoftmaxCrossEntropy()(np.zeros((0, 3), np.float32), np.zeros(0, int))
    with pytest.raises(ValueError, match="Batches: expected x and y with at least one example"):
        build().fit((blobs()[0][:0], blobs()[1][:0]))


def test_07_a_smaller_last_batch_keeps_means_right():
    x, y = blobs(50)
    trainer = build(augment=None)  # batches of 20, 20 and 10
    loss, hits = eln.evaluate(trainer.net, x, y, trainer.loss, 20)
    logits = trainer.net.forward(x)
    assert loss == pytest.approx(trainer.loss(logits, y)[0], rel=1e-6)
    assert hits == (logits.argmax(axis=1) == y).mean()


def test_08_a_kernel_larger_than_the_image():
    layer = L.Conv2D(3, 4, 9, padding="valid", seed=0)
    message = "expected x of at least 9 pixels in height, padding included, got 8"
    with pytest.raises(ValueError, match=message):
        layer.forward(PICTURES)
    with pytest.raises(ValueError, match=r"MaxPool2D\(9x9\): expected x of at least 9 x 9 pixels"):
        L.MaxPool2D(9).forward(PICTURES)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"stride": 0}, ValueError, "Conv2D: expected stride of at least 1, got 0"),
        ({"stride": True}, TypeError, "Conv2D: expected stride as an integer, got True"),
        ({"padding": -1}, ValueError, "Conv2D: expected padding of at least 0, got -1"),
        ({"padding": 0.5}, TypeError, "Conv2D: expected padding as an integer, got 0.5"),
    ],
)
def test_09_sizes_that_are_none(arguments, kind, message):
    with pytest.raises(kind, match=message):
        conv(**arguments)


# 10 to 13: labels and numbers (tests/test_losses.py, tests/layers/test_activations.py)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 10, 0], r"expected labels in 0..9, got target\[1\] = 10"),
        ([1, 2, -1], r"expected labels in 0..9, got target\[2\] = -1"),
        ([1.0, 2.0, 0.0], r"expected integer labels, got float64 \(target\[0\] = 1.0\)"),
        ([1, 2], r"expected target of shape \(3,\) \(labels\) or \(3, 10\)"),
    ],
)
def test_10_labels_that_cannot_be(labels, message):
    logits = np.zeros((3, 10), np.float32)
    with pytest.raises((TypeError, ValueError), match=message):
        eln.losses.SoftmaxCrossEntropy()(logits, np.array(labels))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_11_a_nan_in_the_input_is_found_by_its_index(bad):
    x, y = blobs(40)
    x[3, 1, 2, 0] = bad
    trainer = build(augment=None, batch_size=40, seed=1, debug=True)
    trainer.augment = lambda batch, rng: x  # in this order
    message = r"after step 0, first in the input batch, at index \(3, 1, 2, 0\)"
    with pytest.raises(eln.DivergenceError, match=message):
        trainer.fit((x, y))


def test_12_huge_logits():
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    for target in ([0, 1], [1, 0]):
        value, dy = eln.losses.SoftmaxCrossEntropy()(logits, target)
        assert math.isfinite(value)
        assert np.isfinite(dy).all()


def test_13_elu_far_out_and_at_zero():
    x = np.array([[1e4, -1e4, 0.0, -0.0]], np.float32)
    layer = L.ELU()
    np.testing.assert_array_equal(layer.forward(x), [[1e4, -1, 0, 0]])
    np.testing.assert_array_equal(layer.backward_input(np.ones_like(x)), [[1, 0, 1, 1]])


# 14 to 17: arguments of layers, routers, optimizers


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, np.nan])
def test_14_dropout_rates(rate):
    message = rf"Dropout: expected rate in \[0, 1\), got {float(rate)}"
    with pytest.raises(ValueError, match=message):
        L.Dropout(rate)


def test_15_backward_before_forward():
    message = re.escape(
        "Conv2D(3->4, 3x3): expected a forward pass before the backward pass, got none"
    )
    with pytest.raises(RuntimeError, match=message):
        conv().backward(PICTURES)
    net = build().net
    net.forward(blobs(4)[0])
    with pytest.raises(RuntimeError, match=r"expected forward\(x, train=True\) before backward"):
        net.backward(np.zeros((4, 3), np.float32))


def test_16_a_feedback_matrix_of_the_wrong_shape():
    wrong = {"conv2": np.zeros((3, 3, 4, 5), np.float32)}
    trainer = build(router=lambda: eln.routers.FeedbackAlignment(B=wrong))
    before = everything(trainer)
    message = r"expected B of conv2 .*\(3, 3, 4, 4\), got .*\(3, 3, 4, 5\)"
    with pytest.raises(ValueError, match=message):
        trainer.fit(blobs())
    assert everything(trainer)[:0] == before[:0]


@pytest.mark.parametrize("lr", [-0.1, np.nan, np.inf])
def test_17_learning_rates(lr):
    with pytest.raises(ValueError, match=rf"SGD: expected lr in \[0, inf\), got {lr}"):
        O.SGD(lr)
    trainer = build(optimizer=lambda: O.SGD(lambda step: lr))
    weights = {name: value.copy() for name, value in trainer.net.parameters().items()}
    with pytest.raises(ValueError, match=r"returns at time 0, in \[0, inf\), got"):
        trainer.fit(blobs())
    for name, value in trainer.net.parameters().items():
        np.testing.assert_array_equal(value, weights[name])


# 18 to 21: runs and their checkpoints (tests/test_resume.py, tests/test_checkpoint.py)


def test_18_a_diverging_run_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    class Blast(eln.Callback):
        def on_step(self, trainer, loss):
            if trainer.optimizer.steps == 8:
                trainer.optimizer.lr = 1e39

    trainer = build(optimizer=lambda: O.SGD(0.01), callbacks=[Blast(), eln.Checkpoints(tmp_path)])
    latest = tmp_path / "latest.safetensors"
    message = (
        r"Trainer: expected a finite loss, gradients and weights, got a NaN or an infinity after"
        r" step 9, first in conv1.W. A smaller learning rate, .* The last good .* is "
        + re.escape(f"{latest}.")
    )
    with pytest.raises(eln.DivergenceError, match=message) as caught:
        trainer.fit(blobs(), epochs=3)
    assert caught.value.checkpoint == latest
    assert len(trainer.history) == 1
    good = build(optimizer=lambda: O.SGD(0.01))
    good.resume(tmp_path)
    assert good.optimizer.steps == 5
    with pytest.raises(eln.DivergenceError):
        trainer.save(tmp_path)
    with pytest.raises(ValueError, match="save: expected finite values"):
        eln.save(trainer.net, latest)
    build(optimizer=lambda: O.SGD(0.01)).resume(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_19_a_kill_in_the_middle_of_a_save(tmp_path, moment):
    """Also, at random moments, tests/test_kill.py."""
    build(callbacks=[eln.Checkpoints(tmp_path)]).fit(blobs(), epochs=1)
    good = (tmp_path / "latest.safetensors").read_bytes()
    done = in_python(
        "import os, signal, small_runs, elunet as eln\n"
        f"trainer = small_runs.build(callbacks=[eln.Checkpoints({str(tmp_path)!r}, steps=1)])\n"
        f"os.{moment} = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)\n"
        "trainer.fit(small_runs.blobs())\n"
    )
    assert done.returncode == -9, done.stderr
    assert (tmp_path / "latest.safetensors").read_bytes() == good
    assert any(name.startswith(".latest") for name in os.listdir(tmp_path)) or moment == "replace"
    resumed, alone = build(callbacks=[eln.Checkpoints(tmp_path)]), build()
    resumed.resume(tmp_path)
    for trainer in (resumed, alone):
        trainer.fit(blobs(), epochs=2)
    assert_equal_runs(resumed, alone)
    assert not any(name.startswith(".") for name in os.listdir(tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes there")
def test_20_a_full_disk(tmp_path):
    """A limit of the file size stands in for it; a full disk fails in the same places."""
    done = in_python(
        "import os, resource, small_runs, elunet as eln\n"
        f"folder = {str(tmp_path)!r}\n"
        "trainer = small_runs.build(callbacks=[eln.Checkpoints(folder)])\n"
        "trainer.fit(small_runs.blobs())\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    trainer.fit(small_runs.blobs())\n"
        "except OSError as error:\n"
        "    print(error)\n"
        "try:\n"
        "    eln.save(trainer.net, folder + '/latest.safetensors')\n"
        "except OSError as error:\n"
        "    print(error)\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("File too large") == 2, done.stdout
    assert os.listdir(tmp_path) == ["latest.safetensors"]
    trainer = build()
    trainer.resume(tmp_path)
    assert len(trainer.history) == 1


@contextlib.contextmanager
def unprivileged():
    """Be nobody for a while, if we are root, whom no permission stops."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
def test_20_a_folder_that_may_only_be_read():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trainer = build(callbacks=[eln.Checkpoints(folder)])
        trainer.fit(blobs())
        good = {file.name: file.read_bytes() for file in folder.iterdir()}
        folder.chmod(0o555)
        try:
            with unprivileged():
                again = build(callbacks=[eln.Checkpoints(folder)])
                again.resume(folder)
                with pytest.raises(PermissionError):  # at once, not after an epoch
                    again.fit(blobs(), epochs=2)
                assert again.optimizer.steps == 5
                with pytest.raises(PermissionError):
                    eln.save(trainer.net, folder / "latest.safetensors")
            assert {file.name: file.read_bytes() for file in folder.iterdir()} == good
        finally:
            folder.chmod(0o755)


def test_20_a_file_in_the_folders_place(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match="taken"):
        build(callbacks=[eln.Checkpoints(tmp_path / "taken")]).fit(blobs())


def test_21_checkpoints_that_are_none(tmp_path):
    trainer = build(callbacks=[eln.Checkpoints(tmp_path), Stop(3)])
    with pytest.raises(eln.Interrupted):
        trainer.fit(blobs())
    eln.save(trainer.net, tmp_path / "weights")
    run, weights = ((tmp_path / name).read_bytes() for name in ("latest.safetensors", "weights"))
    flipped = bytearray(run)
    flipped[-5] ^= 16
    newer = safetensors.numpy.save(network_arrays(trainer.net), {"elunet": "7 new"})
    cases = {
        "as a safetensors file, got an empty file": b"",
        "got a truncated one: 40 bytes, which end inside its header": run[:40],
        f"got a truncated one: {len(run) - 9} of {len(run)} bytes": run[:-9],
        "got another SHA-256: the file is damaged": bytes(flipped),
        "what looks like a pickle, which elunet never opens": b"\x80\x04\x95\x05\x00N.",
        "got a zip archive, as PyTorch and NumPy write them": b"PK\x03\x04" + bytes(40),
        "of version 1 or older, got version 7: a newer version of elunet wrote it": newer,
        "got another kind of file": b"<html>",
    }
    file = tmp_path / "x"
    for message, content in cases.items():
        file.write_bytes(content)
        other = build()
        before = everything(other)
        for call, name in ((other.resume, "Trainer.resume"), (load_into(other), "load")):
            with pytest.raises(ValueError, match=re.escape(message)) as caught:
                call(file)
            assert str(caught.value).startswith(f"{name}: expected {file} ")
        assert everything(other) == before
    wide = build(channels=5)
    before = everything(wide)
    with pytest.raises(ValueError, match=r"conv1.W: expected float32 of shape \(3, 3, 2, 5\), got"):
        eln.load(wide.net, tmp_path / "weights")
    with pytest.raises(
        ValueError, match=r"layer conv1: expected Conv2D\(2->4, 3x3\) of input, got"
    ):
        wide.resume(tmp_path)
    assert everything(wide) == before
    assert len(weights) < len(run)


def load_into(trainer):
    return lambda file: eln.load(trainer.net, file)


# 22 and 23: archives (tests/data/test_cifar10.py)


def spoiled(tmp_path, content):
    archive = tmp_path / "in" / "cifar-10-binary.tar.gz"
    archive.parent.mkdir(exist_ok=True)
    archive.write_bytes(content)
    return archive


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b" + bytes(100), "of 170052171 bytes, got 102: it is truncated. Fetch it again"),
        (b"<!doctype html>", "gzip archive, got a file that starts with .* like a web page"),
        (None, r"with sha256 c4a38c50\w+, got \w+. Fetch it again, or unpack it yourself"),
    ],
)
def test_22_archives_that_are_not_the_official_one(tmp_path, content, message, monkeypatch):
    if content is None:
        content = archive_bytes([entry("x", b"1")])
        monkeypatch.setattr(
            cifar10,
            "_BINARY",
            dataclasses.replace(cifar10._BINARY, size=1),
        )
        monkeypatch.setattr(cifar10, "_LAYOUTS", (cifar10._BINARY, cifar10._PYTHON))
    with pytest.raises(ValueError, match=message):
        load_cifar10(spoiled(tmp_path, content))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (entry("../evil", b"x"), r"members of .* inside cifar-10-batches-bin, got '\.\./evil'"),
        (entry("a", type=b"2", linkname="/etc/passwd"), "expected regular files in .* a link"),
        (entry("a", bytes(40_000_000)), "of at most 30730000 bytes, got 'a' of 40000000"),
    ],
)
def test_23_members_that_should_not_be_there(tmp_path, member, message, monkeypatch):
    monkeypatch.setattr(cifar10.official, "check_archive", lambda *rest: None)
    archive = spoiled(tmp_path, archive_bytes([member]))
    with pytest.raises(ValueError, match=message):
        load_cifar10(archive)
    assert os.listdir(tmp_path) == ["in"]
    assert os.listdir(archive.parent) == [archive.name]


# 24 and 25: the machine


def test_24_nothing_may_be_written():
    """Kernels without a cache: tests/test_import.py, in a process of its own."""
    source = (TESTS / "test_import.py").read_text("utf-8")
    assert "def test_works_where_nothing_can_be_written(tmp_path, home):" in source


def test_24_a_data_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "file" / project)
    monkeypatch.delenv("ELUNET_CIFAR10", raising=False)
    with pytest.raises(RuntimeError, match="expected to download .* or fetch that file by other"):
        load_cifar10(download=True)


def test_24_no_home(monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda project: Path("~/.cache") / project)
    monkeypatch.delenv("ELUNET_CIFAR10", raising=False)
    with pytest.raises(FileNotFoundError, match="expected a home folder .* give path, or set ELU"):
        load_cifar10(download=True)
    assert not Path("~").exists()


def test_25_two_threads(tmp_path):
    """More in tests/test_parallel.py and tests/test_network.py."""
    trainers = [build(), build()]
    threads = [
        threading.Thread(target=trainer.fit, args=(blobs(), None, 3)) for trainer in trainers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = build()
    alone.fit(blobs(), epochs=3)
    for trainer in trainers:
        assert_equal_runs(trainer, alone)
    messages = []

    def look(name, y):
        def also():
            try:
                alone.net.forward(blobs()[0])
            except RuntimeError as error:
                messages.append(str(error))

        thread = threading.Thread(target=also)
        thread.start()
        thread.join()

    alone.net.forward(blobs()[0], tap=look)
    assert "Network: a network runs in one thread at a time" in messages[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # threads, and a fork
def test_25_a_fork_after_a_kernel_with_threads():
    x = np.random.default_rng(0).normal(size=(64, 16, 16, 3)).astype(np.float32)
    layer = L.Conv2D(3, 16, 3, seed=0)
    y = layer.forward(x)  # large enough for threads
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = int(not np.array_equal(layer.forward(x), y))
        os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_every_fault_has_its_test():
    names = re.findall(r"^def test_(\d\d)_", Path(__file__).read_text("utf-8"), re.MULTILINE)
    assert {int(number) for number in names} == set(range(1, 26))
    assert errno.EFBIG  # what a file too large for its limit is called
