"""Runs in folders: none replaces another in silence, and no two write into one folder."""

from __future__ import annotations

import copy
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import elunet as eln
from elunet.commands import train
from elunet.storage import files
from elunet.storage.locks import LOCK, Lock

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "cifar_elu11.py"
X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
Y = np.arange(20) % 3
unix = pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")


def trainer(*callbacks, rate=0.1):
    net = eln.Sequential([eln.layers.Linear(4, 3)], seed=0)
    loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(rate)
    return eln.Trainer(
        net,
        loss,
        optimizer,
        batch_size=5,
        callbacks=callbacks,
        progress=False,
        settings={"rate": rate},
    )


def job(folder, epochs=2, resume=None, overwrite=False, rate=0.1):
    lines = []
    one = eln.Job(folder, lines.append)
    if resume is not None:
        one.resume(resume)
    one.prepare(overwrite)
    one.train(trainer(rate=rate), (X, Y), (X, Y), epochs)
    return one, lines


def content(folder):
    found = {file.relative_to(folder): file for file in folder.rglob("*") if file.is_file()}
    return {str(name): file.read_bytes() for name, file in found.items()}


def child(code, *arguments):
    """Start a process that runs code."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


HOLD = """
import sys, time
from pathlib import Path
from elunet.storage.locks import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(100)
"""


@unix
def test_a_lock_names_its_holder_and_a_killed_one_is_in_nobodys_way(tmp_path):
    process = child(HOLD, tmp_path)
    assert process.stdout.readline() == "held\n"
    for attempt in (lambda: job(tmp_path), Lock(tmp_path).acquire):
        with pytest.raises(BlockingIOError, match=f"got process {process.pid} on .* using it"):
            attempt()
    assert content(tmp_path).keys() == {LOCK}
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / LOCK).exists()  # it was left behind
    job(tmp_path)
    assert not (tmp_path / LOCK).exists()


@unix
def test_checkpoints_lock_their_folder(tmp_path):
    process = child(HOLD, tmp_path)
    assert process.stdout.readline() == "held\n"
    temporary = tmp_path / ".latest.safetensors.0123456789abcdef"
    temporary.write_bytes(b"the other run's, half-written")
    with pytest.raises(BlockingIOError, match=f"got process {process.pid}"):
        trainer(eln.Checkpoints(tmp_path)).fit((X, Y))
    assert temporary.exists()
    process.kill()
    process.communicate()
    trainer(eln.Checkpoints(tmp_path)).fit((X, Y))
    assert content(tmp_path).keys() == {"latest.safetensors"}


def test_the_lock_goes_with_the_run_however_it_ends(tmp_path):
    class Fail(eln.Callback):
        def on_step(self, trainer, loss):
            raise OSError("no device")

    for _ in range(2):
        with pytest.raises(OSError, match="no device"):
            trainer(eln.Checkpoints(tmp_path), Fail()).fit((X, Y))
    trainer(eln.Checkpoints(tmp_path), eln.Checkpoints(tmp_path, steps=2)).fit((X, Y))
    assert not (tmp_path / LOCK).exists()


@unix
def test_two_trainers_of_one_process(tmp_path):
    class Nested(eln.Callback):
        def on_step(self, outer, loss):
            with pytest.raises(BlockingIOError, match=f"got process {os.getpid()}"):
                trainer(eln.Checkpoints(tmp_path)).fit((X, Y))

    trainer(eln.Checkpoints(tmp_path), Nested()).fit((X, Y))


@unix
def test_a_child_that_is_forked_does_not_keep_the_lock(tmp_path):
    lock = Lock(tmp_path)
    lock.acquire()
    pid = os.fork()
    if not pid:
        time.sleep(30)
        os._exit(0)
    try:
        lock.release()
        Lock(tmp_path).acquire()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@unix
def test_a_file_system_without_locks(tmp_path, monkeypatch):
    import fcntl

    def flock(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    job(tmp_path)
    assert len(eln.History.from_csv(tmp_path / "history.csv")) == 2


@unix
def test_what_is_being_written_is_not_swept_up(tmp_path):
    target = tmp_path / "file"

    def look():
        files.sweep(target)
        assert len([file for file in tmp_path.iterdir() if file.name.startswith(".file")]) == 1

    files.write_atomically(target, b"content", look)
    assert target.read_bytes() == b"content"
    left = tmp_path / ".file.0123456789abcdef"
    left.write_bytes(b"")
    files.sweep(target)
    assert not left.exists()


@unix
def test_a_copy_of_a_lock_holds_nothing(tmp_path):
    lock = Lock(tmp_path)
    lock.acquire()
    other = copy.deepcopy(lock)
    other.release()
    with pytest.raises(BlockingIOError):
        other.acquire()
    lock.release()
    other.acquire()
    other.release()


def test_a_job_that_was_prepared_before_another_had_finished(tmp_path):
    late = eln.Job(tmp_path, lambda line: None)
    late.prepare()
    job(tmp_path)
    before = content(tmp_path)
    with pytest.raises(FileExistsError, match="without a run, got one in"):
        late.train(trainer(), (X, Y), (X, Y), 1)
    assert content(tmp_path) == before


def test_nothing_is_moved_until_all_is_in_order(tmp_path):
    job(tmp_path / "one")
    job(tmp_path / "two", rate=0.2)
    before = content(tmp_path)
    other = eln.Job(tmp_path / "two", lambda line: None)
    other.resume(tmp_path / "one")
    other.prepare(overwrite=True)
    assert content(tmp_path) == before
    with pytest.raises(ValueError, match="optimizer: expected"):
        other.train(trainer(rate=0.3), (X, Y), (X, Y), 2)
    with pytest.raises(ValueError, match="minutes"):
        other.train(trainer(), (X, Y), (X, Y), 2, minutes=np.inf)
    assert content(tmp_path) == before


@pytest.mark.parametrize("moved", range(4))
def test_a_death_while_a_run_is_moved_aside_loses_nothing(tmp_path, monkeypatch, moved):
    job(tmp_path)
    names = ["history.csv", "summary.json", "weights.safetensors", "checkpoints"]
    before = {name for name in content(tmp_path)}
    real, count = Path.rename, []

    def rename(self, target):
        if len(count) == moved:
            raise KeyboardInterrupt
        count.append(self.name)
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            job(tmp_path, overwrite=True)
    assert count == names[:moved]
    kept = {name.removeprefix(f"earlier-1{os.sep}") for name in content(tmp_path)}
    assert kept == before
    job(tmp_path, resume=tmp_path)  # the checkpoints were still there
    assert (tmp_path / "summary.json").exists()


def test_going_back_to_an_earlier_checkpoint_replaces_what_came_after(tmp_path):
    job(tmp_path)
    previous = tmp_path / "checkpoints" / "previous.safetensors"
    before = content(tmp_path)
    with pytest.raises(FileExistsError):
        job(tmp_path, resume=previous)
    assert content(tmp_path) == before
    _, lines = job(tmp_path, resume=previous, overwrite=True)
    assert "continuing after step 4, with 1 epochs complete" in lines
    aside = content(tmp_path / "earlier-1")
    assert aside == before
    assert len(eln.History.from_csv(tmp_path / "history.csv")) == 2
    job(tmp_path, resume=tmp_path)


def test_going_back_when_the_latest_is_damaged(tmp_path):
    job(tmp_path)
    inside = tmp_path / "checkpoints"
    (inside / "latest.safetensors").write_bytes(b"damaged")
    job(tmp_path, resume=inside / "previous.safetensors")
    assert len(eln.train.about(inside).history) == 2


def test_a_finished_run_is_finished_in_its_own_folder_only(tmp_path):
    job(tmp_path / "one")
    job(tmp_path / "two", rate=0.2)
    other = eln.Job(tmp_path / "two")
    other.resume(tmp_path / "one")
    assert not other.is_finished(2)
    with pytest.raises(FileExistsError):
        other.prepare()
    job(tmp_path / "three", resume=tmp_path / "one")
    job(tmp_path / "three", resume=tmp_path / "three")  # it can be resumed itself


DIES = """
import os, sys, numpy as np, elunet as eln
x, y = np.eye(4, dtype=np.float32), np.arange(4)
net = eln.Sequential([eln.layers.Linear(4, 4)], seed=0)
class Die(eln.Callback):
    def on_step(self, trainer, loss):
        os._exit(9)
trainer = eln.Trainer(net, eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1),
    callbacks=[Die()], settings={"case": "d"})
eln.Job(sys.argv[1]).train(trainer, (x, y), (x, y), 3)
"""


def test_the_settings_of_a_run_that_died_in_its_first_step_are_known(tmp_path):
    process = child(DIES, tmp_path / "run")
    process.communicate(timeout=100)
    assert process.returncode == 9
    assert eln.Job(tmp_path / "run").resume(tmp_path / "run").settings == {"case": "d"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", str(10**30)], "at least 1 and at most 100,000"),
        (["--epochs", "100001"], "at least 1 and at most 100,000, got '100001'"),
        (["--epochs", "9" * 5000], "got '999999999999999999999999999999...'"),
        (["--epochs=--5"], "got '--5'"),
        (["--epochs", "\u0663"], "expected an integer"),
        (["--epochs", "1e3"], "got '1e3'"),
        (["--threads", "1000000000"], "at most 1,024"),
        (["--seed", str(2**64)], "--seed: expected an integer"),
        (["--limit", "0"], "--limit: expected an integer of at least 1"),
        (["--out", ""], "--out: expected a folder or a file, got nothing"),
        (["--data", " "], "--data: expected a folder or a file, got nothing"),
        (["--resume", ""], "--resume: expected a folder or a file, got nothing"),
        (["--minutes", "inf"], "--minutes: expected a number above 0, got inf"),
    ],
)
def test_options_beyond_sense(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        train.parse(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def main_job(*arguments, cwd):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
    )


@unix
def test_the_main_job_against_other_runs(tmp_path):
    small = ("--limit", 100, "--epochs", 1)
    assert main_job(*small, "--out", "a", cwd=tmp_path).returncode == 0
    assert main_job(*small, "--seed", 1, "--out", "b", cwd=tmp_path).returncode == 0
    before = content(tmp_path)
    file = "a/checkpoints/latest.safetensors"
    (tmp_path / "loose.safetensors").write_bytes((tmp_path / file).read_bytes())
    for arguments, message in [
        (
            ["--resume", "a", "--out", "b"],
            "cannot continue: expected a folder without a run, got one in b",
        ),
        ([*small, "--out", "a"], "cannot continue: expected a folder without a run, got one in a"),
        (["--resume", "loose.safetensors"], "expected a job's folder, or --out DIR"),
        (["--resume", file, "--case", "d"], "--case: expected quick, got d"),
    ]:
        done = main_job(*arguments, cwd=tmp_path)
        assert done.returncode == 1, arguments
        assert message in done.stderr
    done = main_job("--resume", file, cwd=tmp_path)  # means a
    assert "this run is finished" in done.stdout
    (tmp_path / "loose.safetensors").unlink()
    assert content(tmp_path) == before
    assert not (tmp_path / "runs").exists()


@unix
def test_two_main_jobs_in_one_folder(tmp_path):
    command = [sys.executable, str(SCRIPT), "--limit", "100", "--epochs", "2", "--out", "run"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=500)[1].decode() for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes == [0, 1], errors
    assert "cannot continue: expected run " in "".join(errors)
    assert len(eln.History.from_csv(tmp_path / "run" / "history.csv")) == 2
