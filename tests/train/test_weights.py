"""Weights of examples, from the data to the loss."""

from __future__ import annotations

import numpy as np
import pytest
from small_runs import blobs, build

import elunet as eln


def test_weights_of_examples_go_to_the_loss():
    """A weight of 0 is an example that is not there, where all are in one batch."""
    x, y = blobs(30)
    weights = np.ones(30)
    weights[10:] = 0
    runs = []
    for data in ((x, y, weights), (x[:10], y[:10])):
        net = eln.Sequential([eln.layers.Flatten(), eln.layers.Linear(72, 3)], seed=0)
        trainer = eln.Trainer(
            net, eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1), batch_size=30
        )
        trainer.fit(data, epochs=3)
        trainer.fit(data, epochs=1)
        runs.append(trainer)
    one, other = runs
    assert one.batches.epoch == 4
    for name, w in one.net.parameters().items():
        np.testing.assert_allclose(w, other.net.parameters()[name], rtol=1e-5, atol=1e-7)
    assert one.history.column("train_loss") == pytest.approx(other.history.column("train_loss"))


def test_weights_belong_to_the_data_of_a_resumed_run(tmp_path):
    x, y = blobs(30)
    w = np.linspace(0, 1, 30)
    trainer = build()
    trainer.fit((x, y, w), epochs=1)
    trainer.save(tmp_path)
    for data in ((x, y), (x, y, w[::-1].copy())):
        resumed = build()
        resumed.resume(tmp_path)
        with pytest.raises(ValueError, match="train: expected data of SHA-256"):
            resumed.fit(data, epochs=2)
    resumed = build()
    resumed.resume(tmp_path)
    resumed.fit((x, y, w), epochs=2)
    assert len(resumed.history) == 2


def test_weights_that_do_not_fit():
    x, y = blobs(30)
    with pytest.raises(ValueError, match=r"Batches: expected weights of shape \(30,\), got \(3,\)"):
        build().fit((x, y, np.ones(3)))
    with pytest.raises(TypeError, match=r"expected validation as \(x, y\), got tuple"):
        build().fit((x, y), (x, y, np.ones(30)))


def test_a_loss_has_to_give_one_number():
    with pytest.raises(
        ValueError, match="Trainer: expected a loss that gives one number, got Mean"
    ):
        eln.Trainer(
            eln.Sequential([eln.layers.Linear(1, 1)]),
            eln.losses.MeanSquaredError("none"),
            eln.optim.SGD(0.1),
        )
