"""What is saved can be resumed, wherever it went, and a script can be run again."""

from __future__ import annotations

import shutil

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
