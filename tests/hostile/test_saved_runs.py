"""What is saved can be resumed, wherever it went, and a script can be run again."""

from __future__ import annotations

import shutil
import signal

import numpy as np
import pytest

import elunet as eln

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
    assert len(one.fit((X, Y), epochs=1)) == 3  # a second call goes on


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
