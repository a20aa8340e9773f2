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


def batches_of(x, y, *weights):
    return eln.data.Batches(x, y, 7, shuffle=False, weights=weights[0] if weights else None)


@pytest.mark.parametrize(
    ("loss", "weighted"),
    [
        (eln.losses.SoftmaxCrossEntropy(), True),
        (eln.losses.SoftmaxCrossEntropy(class_weights=[1, 5, 0.2]), False),
        (eln.losses.SoftmaxCrossEntropy(class_weights=[1, 5, 0.2]), True),
        (eln.losses.SoftmaxCrossEntropy(ignore=1), False),
        (eln.losses.SoftmaxCrossEntropy(label_smoothing=0.1, ignore=1), True),
    ],
)
def test_the_mean_over_batches_is_that_of_all_examples(loss, weighted):
    """Each batch counts with its examples' weights; one of 1 counts more than seven of 0."""
    x, y = blobs(30)
    y = np.sort(y)  # so that batches hold other classes
    given = [np.r_[np.ones(4), np.zeros(20), np.full(6, 3.0)]] if weighted else []
    net = eln.Sequential([eln.layers.Flatten(), eln.layers.Linear(72, 3)], seed=0)
    whole, _ = loss(net.predict(x), y, *given)
    trainer = eln.Trainer(net, loss, eln.optim.SGD(0.0))
    trainer.fit(batches_of(x, y, *given))
    assert trainer.history.column("train_loss") == pytest.approx([whole], rel=1e-6)
    if not weighted:
        for size in (1, 4, 100):
            assert eln.evaluate(net, x, y, loss, size)[0] == pytest.approx(whole, rel=1e-6)


def test_the_mean_of_a_run_cut_in_an_epoch_goes_on_with_its_weights(tmp_path):
    x, y = blobs(30)
    w = np.linspace(0, 3, 30)

    class Cut(eln.Callback):
        def on_step(self, trainer, loss):
            if trainer.optimizer.steps == 4:
                raise RuntimeError("cut")

    whole = build()
    whole.fit((x, y, w), epochs=2)
    cut = build()
    cut.callbacks += [eln.Checkpoints(tmp_path, steps=1), Cut()]
    with pytest.raises(RuntimeError, match="cut"):
        cut.fit((x, y, w), epochs=2)
    resumed = build()
    resumed.resume(tmp_path)
    resumed.fit((x, y, w), epochs=2)
    assert resumed.history.column("train_loss") == whole.history.column("train_loss")


def test_a_loss_of_your_own_that_counts():
    class Own(eln.losses.MeanSquaredError):
        def counts(self, target):
            return target[:, 0]

    x = np.arange(6, dtype=np.float32)[:, None]
    net = eln.Sequential([eln.layers.Linear(1, 1)], seed=0)
    whole, _ = Own()(net.predict(x), x)
    assert eln.evaluate(net, x, x, Own(), 2)[0] == pytest.approx(whole, rel=1e-6)
