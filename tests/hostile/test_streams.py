"""Where nobody listens, the run continues; and a signal is heard whenever it comes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import elunet as eln
from elunet._progress import is_terminal, say

X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
Y = np.arange(20) % 3


def trainer(*callbacks, **options):
    net = eln.Sequential([eln.layers.Linear(4, 3)], seed=0)
    loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1)
    return eln.Trainer(net, loss, optimizer, batch_size=5, callbacks=callbacks, **options)


class Broken(io.StringIO):
    """A stream whose other end is gone."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")

    def isatty(self):
        return True


class Bare:
    """A stream that can write and nothing else."""

    def write(self, text):
        return len(text)


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


whole_numpy = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.1.0",
    reason="numpy.f2py cannot be imported without standard error (NumPy's issue 26862)",
)
STREAMS = {"None": lambda: None, "closed": closed, "broken": Broken, "bare": Bare}


@pytest.mark.parametrize("progress", [None, True, False])
@pytest.mark.parametrize(
    "stream", [pytest.param("None", marks=whole_numpy), "closed", "broken", "bare"]
)
def test_standard_error_that_is_no_terminal(monkeypatch, stream, progress):
    monkeypatch.setattr(sys, "stderr", STREAMS[stream]())
    assert len(trainer(progress=progress).fit((X, Y), epochs=2)) == 2


@pytest.mark.parametrize("stream", STREAMS)
def test_standard_output_that_is_gone(monkeypatch, tmp_path, stream):
    one = trainer(eln.train.Report(2), eln.Checkpoints(tmp_path), progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", STREAMS[stream]())
        one.fit((X, Y), epochs=2)
        summary = eln.Job(tmp_path / "job").train(trainer(progress=False), (X, Y), (X, Y), 1)
    assert summary["epochs"] == 1
    assert eln.train.about(tmp_path).step == 8


def test_a_callback_that_prints_when_an_epoch_is_settled_loses_nothing(tmp_path):
    class Print(eln.Callback):
        def on_settled(self, trainer, row):
            if row is not None:
                raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        trainer(Print(), eln.Checkpoints(tmp_path), progress=False).fit((X, Y), epochs=2)
    assert eln.train.about(tmp_path).step == 4


def test_a_line_that_a_terminal_cannot_show(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    say("caf\u00e9")
    assert stream.buffer.getvalue() == b"caf\\xe9\n"
    assert not is_terminal(stream)


PIPED = """
import sys, numpy as np, elunet as eln
x, y = np.eye(4, dtype=np.float32), np.arange(4)
net = eln.Sequential([eln.layers.Linear(4, 4)], seed=0)
trainer = eln.Trainer(net, eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1),
    callbacks=[eln.train.Report(5), eln.Checkpoints(sys.argv[1])])
trainer.fit((x, y), epochs=5)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such pipes there")
def test_a_pipe_whose_reader_is_gone(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", PIPED, str(tmp_path)]
    subprocess.run(command, stdout=writing, stderr=subprocess.DEVNULL, timeout=300)
    os.close(writing)
    assert len(eln.train.about(tmp_path).history) == 5


WITHOUT = """
import os, signal, sys, numpy as np, elunet as eln
assert sys.stderr is None
x, y = np.eye(4, dtype=np.float32), np.arange(4)
net = eln.Sequential([eln.layers.Linear(4, 4)], seed=0)
class Stop(eln.Callback):
    def on_step(self, trainer, loss):
        if trainer.optimizer.steps == 2:
            signal.raise_signal(signal.SIGTERM)
victim = os.open(sys.argv[1] + "/victim", os.O_CREAT | os.O_RDWR)
assert victim == 2
os.write(victim, b"precious")
trainer = eln.Trainer(net, eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1),
    callbacks=[Stop(), eln.Checkpoints(sys.argv[1])])
try:
    trainer.fit((x, y), epochs=5)
except eln.Interrupted as error:
    print(error.name)
"""


@whole_numpy
@pytest.mark.skipif(sys.platform == "win32", reason="no such signal there")
def test_a_signal_writes_into_no_file_that_took_the_place_of_standard_error(tmp_path):
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" "$2" 2>&-', sys.executable, WITHOUT, str(tmp_path)],
        stdout=subprocess.PIPE,
        timeout=300,
    )
    assert done.stdout == b"SIGTERM\n"
    assert (tmp_path / "victim").read_bytes() == b"precious"


class Signal(eln.Callback):
    """Raises a signal in one of the hooks, once."""

    def __init__(self, hook, number):
        def strike(*arguments):
            setattr(self, hook, lambda *arguments: None)
            signal.raise_signal(number)

        setattr(self, hook, strike)


HOOKS = ("on_fit_start", "on_epoch_start", "on_step", "on_epoch_end", "on_settled", "on_fit_end")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_signal_in_any_hook_ends_the_run(tmp_path, hook, number, capfd):
    one = trainer(Signal(hook, number), eln.Checkpoints(tmp_path), progress=False)
    with pytest.raises(eln.Interrupted) as caught:
        one.fit((X, Y), epochs=2)
    assert caught.value.signal == number
    again = trainer(progress=False)
    again.resume(tmp_path)
    assert len(again.fit((X, Y), epochs=2)) == 2
    assert len(one.fit((X, Y), epochs=2)) == 2  # in the same process too


def test_a_signal_while_another_error_ends_the_run(capfd):
    class Fail(eln.Callback):
        def on_step(self, trainer, loss):
            signal.raise_signal(signal.SIGTERM)
            raise OSError("no disk")

    with pytest.raises(eln.Interrupted) as caught:
        trainer(Fail(), progress=False).fit((X, Y))
    assert isinstance(caught.value.__cause__, OSError)


def test_a_signal_when_nothing_is_left_to_do(tmp_path, capfd):
    trainer(eln.Checkpoints(tmp_path), progress=False).fit((X, Y), epochs=1)
    one = trainer(Signal("on_fit_start", signal.SIGTERM), progress=False)
    one.resume(tmp_path)
    with pytest.raises(eln.Interrupted):
        one.fit((X, Y), epochs=1)


def test_every_callback_is_told_of_the_end(tmp_path):
    told = []

    class End(eln.Callback):
        def __init__(self, number):
            self.number = number

        def on_fit_end(self, trainer):
            told.append(self.number)
            raise OSError(f"no {self.number}")

    with pytest.raises(OSError, match="no"):
        trainer(*(End(k) for k in range(3)), progress=False).fit((X, Y))
    assert told == [0, 1, 2]


def test_in_a_thread_no_signal_is_touched():
    found = []

    def run():
        found.append(len(trainer(progress=None).fit((X, Y), epochs=1)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=60)
    assert found == [1]
