"""What is saved can be resumed, wherever it went, and a script can be run again."""

from __future__ import annotations

import copy
import functools
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import elunet as eln
from elunet.storage.identity import identity

X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
Y = np.arange(20) % 3


def trainer(*callbacks):
    net = eln.Sequential([eln.layers.Linear(4, 3)], seed=0)
    loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1)
    return eln.Trainer(net, loss, optimizer, batch_size=5, callbacks=callbacks, progress=False)


class Vanishing(eln.train.Callback):
    """Somebody removes the folder during the run."""

    def __init__(self, folder):
        self.folder = folder

    def on_epoch_end(self, trainer, row):
        shutil.rmtree(self.folder, ignore_errors=True)


def test_a_folder_that_vanishes_is_made_again(tmp_path):
    folder = tmp_path / "checkpoints"
    trainer(Vanishing(folder), eln.Checkpoints(folder)).fit((X, Y), epochs=2)
    assert folder.is_dir()
    again = trainer(Vanishing(folder), eln.Checkpoints(folder))
    again.resume(folder)
    assert len(again.history) == 2


@pytest.mark.parametrize("name", ["newfolder", "new/folder"])
def test_saving_to_a_folder_that_is_not_there_yet(tmp_path, name):
    one = trainer()
    one.fit((X, Y), epochs=1)
    file = one.save(tmp_path / name)
    assert file == tmp_path / name / "latest.safetensors"
    trainer().resume(tmp_path / name)


@pytest.mark.parametrize("name", ["run", "run.safetensors"])
def test_a_script_that_resumes_fits_and_saves_can_be_run_again(tmp_path, name):
    for _ in range(3):
        one = trainer()
        if (tmp_path / name).exists():
            one.resume(tmp_path / name)
        one.fit((X, Y), epochs=2)
        one.save(tmp_path / name)
        assert len(one.history) == 2
    assert len(one.fit((X, Y), epochs=1)) == 3  # a second call continues


def test_more_epochs_go_on_from_where_the_saved_call_began(tmp_path):
    one = trainer()
    one.fit((X, Y), epochs=1)
    one.fit((X, Y), epochs=2)
    one.save(tmp_path / "run")
    again = trainer()
    again.resume(tmp_path / "run")
    assert len(again.fit((X, Y), epochs=4)) == 5
    whole = trainer()
    whole.fit((X, Y), epochs=5)
    for name, value in whole.net.parameters().items():
        np.testing.assert_array_equal(again.net.parameters()[name], value)


class Halving(eln.train.Callback):
    """Halves the learning rate after each epoch."""

    def on_epoch_end(self, trainer, row):
        trainer.optimizer.lr /= 2


def test_a_learning_rate_that_a_callback_changed_goes_on(tmp_path):
    whole = trainer(Halving(), eln.Checkpoints(tmp_path / "whole"))
    whole.fit((X, Y), epochs=4)
    cut = trainer(Halving(), Stop(7), eln.Checkpoints(tmp_path / "cut", steps=1))
    with pytest.raises(eln.Interrupted):
        cut.fit((X, Y), epochs=4)
    again = trainer(Halving(), eln.Checkpoints(tmp_path / "cut", steps=1))
    again.resume(tmp_path / "cut")
    again.fit((X, Y), epochs=4)
    assert again.optimizer.lr == whole.optimizer.lr == 0.1 / 16
    assert again.history.column("learning_rate") == whole.history.column("learning_rate")
    for name, value in whole.net.parameters().items():
        np.testing.assert_array_equal(again.net.parameters()[name], value)


class Stop(eln.train.Callback):
    """Sends SIGINT after a number of steps."""

    def __init__(self, steps):
        self.steps = steps

    def on_step(self, trainer, value):
        if trainer.optimizer.steps == self.steps:
            signal.raise_signal(signal.SIGINT)


def built(layer=None, optimizer=None, router=None, loss=None, augment=None):
    layers = [layer or eln.layers.BatchNorm(4), eln.layers.Linear(4, 3)]
    return eln.Trainer(
        eln.Sequential(layers, seed=0),
        loss or eln.losses.SoftmaxCrossEntropy(),
        optimizer or eln.optim.SGD(0.1),
        router,
        augment=augment,
        batch_size=5,
        progress=False,
    )


def scaled(factor):
    return lambda x, rng: x * np.float32(factor)


L, R = eln.layers, eln.routers
PAIRS = {
    "BatchNorm eps": ({}, {"layer": L.BatchNorm(4, eps=1e-3)}),
    "BatchNorm momentum": ({}, {"layer": L.BatchNorm(4, momentum=0.2)}),
    "Linear bias": ({"layer": L.Linear(4, 4)}, {"layer": L.Linear(4, 4, bias=False)}),
    "digits": ({"optimizer": eln.optim.SGD(0.1)}, {"optimizer": eln.optim.SGD(0.10000000001)}),
    "digits of a layer": ({"layer": L.ELU(0.5)}, {"layer": L.ELU(0.50000001)}),
    "a lambda": (
        {"augment": lambda x, rng: x},
        {"augment": lambda x, rng: x + np.float32(1)},
    ),
    "what a lambda encloses": ({"augment": scaled(1)}, {"augment": scaled(2)}),
    "a schedule": (
        {"optimizer": eln.optim.SGD(lambda steps: 0.1)},
        {"optimizer": eln.optim.SGD(lambda steps: 0.2)},
    ),
    "a rule's distribution": (
        {"router": R.DirectFeedbackAlignment(1)},
        {"router": R.DirectFeedbackAlignment(1, distribution=eln.init.He())},
    ),
    "noise seeds": (
        {"router": R.GradientNoise(R.Backprop(), 0.1, seed=1)},
        {"router": R.GradientNoise(R.Backprop(), 0.1, seed=2)},
    ),
    "a loss": (
        {"loss": eln.losses.Huber(1.0)},
        {"loss": eln.losses.Huber(1.0000001)},
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_settings_that_a_repr_hides_are_compared(tmp_path, name):
    one, other = PAIRS[name]
    labels = np.eye(3, dtype=np.float32)[Y] if "loss" in one else Y
    first = built(**one)
    first.fit((X, labels), epochs=1)
    first.save(tmp_path / "run")
    built(**one).resume(tmp_path / "run")
    with pytest.raises(ValueError, match=r"expected .*, got "):
        built(**other).resume(tmp_path / "run")


def test_what_is_allowed_is_a_name_and_no_part_of_one(tmp_path):
    one = trainer()
    one.settings = {"e": 1}
    one.fit((X, Y), epochs=1)
    one.save(tmp_path / "run")
    with pytest.raises(ValueError, match="settings e: expected 1, got none"):
        trainer().resume(tmp_path / "run", allow="seed")
    trainer().resume(tmp_path / "run", allow="settings")
    other = trainer()
    other.loss = eln.losses.CrossEntropy()
    with pytest.raises(ValueError, match="loss: expected SoftmaxCrossEntropy.*got CrossEntropy"):
        other.resume(tmp_path / "run", allow="settings loss")
    job = eln.Job(tmp_path / "run", lambda line: None)
    job.saved = eln.train.about(tmp_path / "run")
    assert job.differences({"e": 2}, allow="seed") == {"e": (1, 2)}
    assert job.differences({"e": 2}, allow="e") == {}


FACTOR = 1


class Hidden(eln.layers.Layer):
    """A layer that keeps its argument under another name."""

    def __init__(self, factor):
        super().__init__()
        self.by = factor

    def forward(self, x, train=False):
        return x * np.float32(self.by)

    def backward_input(self, dy):
        return dy * np.float32(self.by)


def test_what_cannot_be_compared_is_said(tmp_path):
    first = built(layer=Hidden(1))
    first.fit((X, Y), epochs=1)
    first.save(tmp_path / "run")
    with pytest.warns(
        RuntimeWarning, match=r"cannot check that .*factor of layer hidden1 \(Hidden\)"
    ):
        built(layer=Hidden(2)).resume(tmp_path / "run")


def test_the_same_code_has_the_same_identity_in_every_process(tmp_path):
    code = (
        "from elunet.storage.identity import identity; import numpy as np;"
        "print(identity([lambda x: x in {'a', 'b', 'c', 'd'}, np.tanh, {'p', 'q'}]))"
    )
    found = set()
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
        found.add(done.stdout)
    assert len(found) == 1
    assert b"tanh" in found.pop()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.tanh, np.exp),
        (lambda x: lambda y: 1, lambda x: lambda y: 2),
        (lambda x, *, k=1: k, lambda x, *, k=2: k),
        (functools.partial(scaled, 1), functools.partial(scaled, 2)),
        (
            R.NormMatched(R.DirectFeedbackAlignment()),
            R.NormMatched(R.DirectFeedbackAlignment(distribution=eln.init.He())),
        ),
        (
            R.Mixed({"*": R.FeedbackAlignment(1)}),
            R.Mixed({"*": R.FeedbackAlignment(2)}),
        ),
        (eln.schedules.Constant(0.1), eln.schedules.Constant(0.1000000001)),
        (0.0, -0.0),
        (np.float32([1]), np.float64([1])),
    ],
)
def test_identities_differ(one, other):
    assert identity(one) != identity(other)
    assert identity(one) == identity(copy.deepcopy(one))


def test_a_global_that_a_lambda_looks_up_counts(monkeypatch):
    function = eval("lambda x, rng: x * FACTOR", globals())
    before = identity(function)
    monkeypatch.setitem(globals(), "FACTOR", 2)
    assert identity(function) != before


def test_a_global_with_an_attributes_name_does_not_count(monkeypatch):
    function = eval("lambda rule: rule.FACTOR", globals())
    before = identity(function)
    monkeypatch.setitem(globals(), "FACTOR", 2)
    assert identity(function) == before


def test_the_augmentation_of_batches_that_were_given_is_compared(tmp_path):
    one = built()
    one.fit(eln.data.Batches(X, Y, 5, augment=scaled(1)), epochs=1)
    one.save(tmp_path / "run")
    other = built()
    other.resume(tmp_path / "run")
    with pytest.raises(ValueError, match=r"augment: expected .*scaled.*, got .*scaled"):
        other.fit(eln.data.Batches(X, Y, 5, augment=scaled(2)), epochs=2)
    other.fit(eln.data.Batches(X, Y, 5, augment=scaled(1)), epochs=2)
