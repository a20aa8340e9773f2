"""WeightAverage and `reestimate`."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from small_runs import Stop, blobs, build, network

import elunet as eln
from elunet.train import reestimate


class Keep(eln.Callback):
    """Keeps the parameters of each step or epoch."""

    def __init__(self):
        self.steps, self.epochs = [], []

    def on_step(self, trainer, loss):
        self.steps.append({name: w.copy() for name, w in trainer.net.parameters().items()})

    def on_epoch_end(self, trainer, row):
        self.epochs.append(self.steps[-1])


def trained(average):
    keep = Keep()
    trainer = build(callbacks=[keep, average])
    trainer.fit(blobs(), epochs=4)
    return trainer, keep


@pytest.mark.parametrize(("per", "start"), [("epoch", 0), ("epoch", 2), ("step", 0), ("step", 3)])
def test_the_mean(per, start):
    average = eln.WeightAverage(start=start, per=per)
    _, keep = trained(average)
    taken = keep.epochs[start:] if per == "epoch" else keep.steps[5 * start :]
    assert average.count == len(taken)
    for name, mean in average.averages.items():
        np.testing.assert_allclose(mean, np.mean([w[name] for w in taken], axis=0, dtype=float))
        assert mean.dtype == np.float64


def test_the_exponential_mean_agrees_with_torch():
    torch = pytest.importorskip("torch")
    average = eln.WeightAverage(decay=0.9, per="step")
    _, keep = trained(average)
    step = torch.optim.swa_utils.get_ema_avg_fn(0.9)
    for name, mean in average.averages.items():
        expected = torch.tensor(keep.steps[0][name].astype(float))
        for w in keep.steps[1:]:
            expected = step(expected, torch.tensor(w[name].astype(float)), 1)
        np.testing.assert_allclose(mean, expected.numpy(), rtol=1e-12)


def test_training_is_not_changed():
    one, _ = trained(eln.WeightAverage(decay=0.9, per="step"))
    other = build()
    other.fit(blobs(), epochs=4)
    for name, w in other.net.parameters().items():
        np.testing.assert_array_equal(one.net.parameters()[name], w)


def test_put_into_estimates_batch_normalization_anew():
    average = eln.WeightAverage()
    trainer, _ = trained(average)
    x, _ = blobs()
    live = trainer.net.parameters()
    average.put_into(trainer.net, x, batch_size=30)
    for name, mean in average.averages.items():
        np.testing.assert_array_equal(live[name], mean.astype(np.float32))
    expected = trainer.net["conv1"].forward(x)
    batches = expected.reshape(3, -1, 4).astype(float)
    state = trainer.net["batchnorm1"].state
    np.testing.assert_allclose(state["running_mean"], batches.mean(axis=(0, 1)), rtol=1e-5)
    variances = batches.var(axis=1, ddof=1).mean(axis=0)
    np.testing.assert_allclose(state["running_var"], variances, rtol=1e-4)


def test_reestimate_agrees_with_torch():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(2, 3, (50, 4)).astype(np.float32)
    net = eln.Sequential([eln.layers.BatchNorm(4), eln.layers.Dropout(0.5)], seed=0)
    reference = torch.nn.BatchNorm1d(4)
    theirs = torch.nn.Sequential(reference)
    loader = [torch.tensor(x[start : start + 20]) for start in (0, 20, 40)]
    torch.optim.swa_utils.update_bn(loader, theirs)
    generator = copy.deepcopy(net["dropout1"].rng.bit_generator.state)
    reestimate(net, x, batch_size=20)
    state = net["batchnorm1"].state
    np.testing.assert_allclose(state["running_mean"], reference.running_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(state["running_var"], reference.running_var.numpy(), rtol=1e-5)
    assert net["batchnorm1"].momentum == 0.1
    assert net["dropout1"].rng.bit_generator.state == generator


@pytest.mark.parametrize("make", [eln.WeightAverage, lambda: eln.WeightAverage(0.9, per="step")])
def test_cut_and_resumed(tmp_path, make):
    whole = make()
    build(callbacks=[whole]).fit(blobs(), epochs=4)
    cut = build(callbacks=[make(), eln.Checkpoints(tmp_path), Stop(7)])
    with pytest.raises(eln.Interrupted):
        cut.fit(blobs(), epochs=4)
    resumed = make()
    trainer = build(callbacks=[resumed])
    trainer.resume(tmp_path)
    trainer.fit(blobs(), epochs=4)
    assert resumed.count == whole.count
    for name, mean in whole.averages.items():
        np.testing.assert_array_equal(resumed.averages[name], mean)


def test_errors():
    with pytest.raises(ValueError, match="WeightAverage: expected decay in"):
        eln.WeightAverage(decay=1.0)
    with pytest.raises(ValueError, match="WeightAverage: expected per to be one of"):
        eln.WeightAverage(per="batch")
    average = eln.WeightAverage()
    with pytest.raises(RuntimeError, match="WeightAverage: expected a call of fit before put_into"):
        average.put_into(network())
    trainer, _ = trained(average)
    before = copy.deepcopy(trainer.net.parameters())
    with pytest.raises(ValueError, match="put_into: expected x, to estimate"):
        average.put_into(trainer.net)
    with pytest.raises(ValueError, match="WeightAverage: expected parameters"):
        average.put_into(network(channels=5), blobs()[0])
    for name, w in trainer.net.parameters().items():
        np.testing.assert_array_equal(w, before[name])
    with pytest.raises(ValueError, match="reestimate: expected x of at least 2 examples"):
        reestimate(trainer.net, np.zeros((1, 6, 6, 2), np.float32))


def test_reestimated_means_are_gone_on_with():
    """Without momentum the number of batches is the new one's, too."""
    net = eln.Sequential([eln.layers.BatchNorm(2, momentum=None)])
    x = np.random.default_rng(0).normal(size=(30, 2))
    for _ in range(50):
        net.forward(x + 9, train=True)
    eln.train.reestimate(net, x[:20], batch_size=10)
    assert net["batchnorm1"].state["batches"] == 2
    net.forward(x[20:], train=True)
    np.testing.assert_allclose(net["batchnorm1"].state["running_mean"], x.mean(axis=0), atol=1e-12)
