"""EarlyStopping and ReduceOnPlateau: what they count, and that a cut changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import Stop, assert_equal_runs, blobs, build

import elunet as eln


class Told(eln.losses.SoftmaxCrossEntropy):
    """A loss whose values in validation are given; in training it is cross entropy."""

    def __init__(self, values):
        super().__init__()
        self.values, self.passed = list(values), 0

    def __call__(self, prediction, target):
        value, dy = super().__call__(prediction, target)
        if len(target) == 7:  # the validation data
            value, self.passed = self.values[self.passed], self.passed + 1
        return value, dy


def run(callback, values, optimizer=None):
    """Train on as many epochs as there are values of the validation loss; return the trainer."""
    x, y = blobs(20)
    net = eln.Sequential([eln.layers.Flatten(), eln.layers.Linear(72, 3)], seed=0)
    trainer = eln.Trainer(
        net, Told(values), optimizer or eln.optim.SGD(0.5), callbacks=[callback], seed=1
    )
    trainer.log = lambda text: None
    trainer.fit((x, y), (x[:7], y[:7]), epochs=len(values))
    return trainer


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "epochs", "best"),
    [
        ([3, 2, 1, 2, 3, 4, 5], 2, 0.0, 5, 3),
        ([3, 2, 1, 2, 0.5, 4, 5], 2, 0.0, 7, 5),
        ([3, 2, 1.5, 1, 0.5, 0.1], 1, 0.5, 3, 2),
        ([1, 1, 1, 1], 3, 0.0, 4, 1),
        ([1, 1, 1, 1], 1, 0.0, 2, 1),
        ([1, 2, 1, 2], 9, 0.0, 4, 1),
    ],
)
def test_it_stops(values, patience, min_delta, epochs, best):
    callback = eln.EarlyStopping(patience=patience, min_delta=min_delta)
    trainer = run(callback, values)
    assert len(trainer.history) == epochs
    assert callback.best_epoch == best
    assert callback.best == values[best - 1]


def test_an_accuracy_has_to_rise():
    x, y = blobs(20)
    net = eln.Sequential([eln.layers.Flatten(), eln.layers.Linear(72, 3)], seed=0)
    stopping = eln.EarlyStopping("train_accuracy", patience=2)
    trainer = eln.Trainer(
        net, eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.3), callbacks=[stopping]
    )
    trainer.log = lambda text: None
    trainer.fit((x, y), epochs=50)
    seen = [row.train_accuracy for row in trainer.history]
    assert max(seen) == 1.0
    assert stopping.best_epoch == 1 + int(np.argmax(seen))
    assert len(seen) == stopping.best_epoch + 2


def measured(callback, values, before=True):
    """Train on as many epochs as there are values of a measure; return the trainer."""
    x, y = blobs(20)
    left = iter(values)
    metrics = eln.train.Metrics(score=lambda prediction, target: next(left))
    net = eln.Sequential([eln.layers.Flatten(), eln.layers.Linear(72, 3)], seed=0)
    trainer = eln.Trainer(
        net,
        eln.losses.SoftmaxCrossEntropy(),
        eln.optim.SGD(1.0),
        callbacks=[metrics, callback] if before else [callback, metrics],
    )
    trainer.log = lambda text: None
    trainer.fit((x, y), (x[:7], y[:7]), epochs=len(values))
    return trainer


@pytest.mark.parametrize(
    ("mode", "values", "epochs", "best"),
    [
        ("max", [1, 2, 3, 2, 3, 9], 5, 3),
        ("min", [3, 2, 1, 2, 3, 0], 5, 3),
        ("max", [math.nan, -2, -1, math.nan, -3], 5, 3),
    ],
)
def test_a_measure_of_metrics(mode, values, epochs, best):
    stopping = eln.EarlyStopping("score", patience=2, mode=mode)
    assert len(measured(stopping, values).history) == epochs
    assert stopping.best_epoch == best
    assert stopping.best == values[best - 1]
    slower = eln.ReduceOnPlateau("score", patience=2, mode=mode)
    rates = [row.learning_rate for row in measured(slower, values).history]
    assert rates == pytest.approx([1.0] * 5 + [0.1] * (len(values) - 5))


def test_a_mode_given_for_a_column_counts():
    stopping = eln.EarlyStopping("validation_loss", patience=2, mode="max")
    run(stopping, [1, 2, 3, 2, 1, 5])
    assert stopping.best_epoch == 3


@pytest.mark.parametrize("kind", [eln.EarlyStopping, eln.ReduceOnPlateau])
def test_a_measure_that_is_not_computed(kind):
    for name, before in (("other", True), ("score", False)):
        with pytest.raises(ValueError, match=f"{kind.__name__}: expected Metrics with a measure"):
            measured(kind(name, mode="min"), [1], before)
    with pytest.raises(ValueError, match=f"{kind.__name__}: expected mode to be one of"):
        kind("score", mode="best")


def test_the_best_weights_come_back():
    kept = []

    class Keep(eln.Callback):
        def on_step(self, trainer, loss):
            kept.append(trainer.net["linear1"].params["W"].copy())

    x, y = blobs(20)
    net = eln.Sequential([eln.layers.Flatten(), eln.layers.Linear(72, 3)], seed=0)
    stopping = eln.EarlyStopping(patience=2, restore_best=True)
    trainer = eln.Trainer(
        net, Told([3, 2, 4, 5]), eln.optim.SGD(0.5), callbacks=[Keep(), stopping], batch_size=20
    )
    trainer.log = lambda text: None
    trainer.fit((x, y), (x[:7], y[:7]), epochs=4)
    np.testing.assert_array_equal(net["linear1"].params["W"], kept[1])
    assert not np.array_equal(kept[1], kept[3])


@pytest.mark.parametrize(
    ("values", "options", "rates"),
    [
        ([3, 2, 2, 2, 2, 2], {"patience": 2}, [1, 1, 1, 1, 0.1, 0.1]),
        ([3, 2, 2, 2, 2, 2], {"patience": 1, "factor": 0.5}, [1, 1, 1, 0.5, 0.25, 0.125]),
        ([3, 2, 2, 2, 2, 2], {"patience": 1, "cooldown": 1}, [1, 1, 1, 0.1, 0.1, 0.01]),
        ([3, 2, 2, 2, 2, 2], {"patience": 1, "min_lr": 0.05}, [1, 1, 1, 0.1, 0.05, 0.05]),
        ([3, 2, 2, 2], {"patience": 1, "min_lr": 2.0}, [1, 1, 1, 1]),
        ([3, 2, 1, 0, -1, -2], {"patience": 1}, [1] * 6),
    ],
)
def test_the_learning_rate_falls(values, options, rates):
    trainer = run(eln.ReduceOnPlateau(**options), values, eln.optim.SGD(1.0))
    assert [row.learning_rate for row in trainer.history] == pytest.approx(rates)


@given(
    values=st.lists(st.floats(0, 10), min_size=1, max_size=40),
    patience=st.integers(1, 4),
    cooldown=st.integers(0, 3),
    min_delta=st.sampled_from([0.0, 0.5]),
)
def test_it_counts_as_pytorch(values, patience, cooldown, min_delta):
    """PyTorch waits for one epoch more, and takes the difference as absolute if told to."""
    torch = pytest.importorskip("torch")
    w = torch.zeros(1, requires_grad=True)
    reference = torch.optim.SGD([w], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        reference, factor=0.5, patience=patience - 1, cooldown=cooldown,
        threshold=min_delta, threshold_mode="abs", eps=0.0,
    )  # fmt: skip
    trainer = eln.Trainer(
        eln.Sequential([eln.layers.Linear(1, 2)]),
        eln.losses.SoftmaxCrossEntropy(),
        eln.optim.SGD(1.0),
    )
    trainer.log = lambda text: None
    callback = eln.ReduceOnPlateau(
        factor=0.5, patience=patience, cooldown=cooldown, min_delta=min_delta
    )
    for epoch, value in enumerate(values):
        row = eln.Epoch(epoch + 1, 1, 1.0, 0.0, 0.0, value, 0.0, 0.0, 1.0, 1.0)
        callback.on_epoch_end(trainer, row)
        scheduler.step(value)
        assert trainer.optimizer.lr == reference.param_groups[0]["lr"]


def test_all_parts_of_per_layer_fall_once():
    shared = eln.optim.SGD(0.5)
    optimizer = eln.optim.PerLayer({"*.b": shared, "linear1.*": shared})
    run(eln.ReduceOnPlateau(patience=1), [1, 2], optimizer)
    assert shared.lr == pytest.approx(0.05)
    other = eln.optim.PerLayer({"*.b": eln.optim.SGD(0.5), "*": eln.optim.Adam(0.1)})
    run(eln.ReduceOnPlateau(patience=1), [1, 2], other)
    assert [part.lr for part in other.optimizers.values()] == pytest.approx([0.05, 0.01])


def distance(prediction, target):
    return float(np.abs(prediction).max())


def callbacks():
    return [
        eln.train.Metrics(distance=distance),
        eln.ReduceOnPlateau("distance", factor=0.99, patience=2, mode="min"),
        eln.ReduceOnPlateau("train_loss", factor=0.5, patience=1, min_delta=0.3, cooldown=1),
        eln.EarlyStopping("validation_loss", patience=2, min_delta=0.1, restore_best=True),
    ]


def trained(folder=None, cut=None, epochs=12, every=1):
    """Return a run of small batches, cut at a step and resumed if asked for."""
    x, y = blobs()
    while True:
        own = [] if folder is None else [eln.Checkpoints(folder, steps=every)]
        trainer = build(callbacks=[*callbacks(), *own, *([] if cut is None else [Stop(cut)])])
        trainer.log = lambda text: None
        if folder is not None and (folder / "latest.safetensors").exists():
            trainer.resume(folder)
        try:
            trainer.fit((x, y), (x[:20], y[:20]), epochs=epochs)
        except eln.Interrupted:
            cut = None
            continue
        return trainer


def test_a_run_is_cut_anywhere_and_nothing_changes(tmp_path):
    whole = trained()
    epochs, rate = len(whole.history), whole.optimizer.lr
    assert epochs < 12, "it stopped early"
    assert rate < 0.01, "the rate fell"
    for step in range(1, whole.optimizer.steps + 1, 3):
        resumed = trained(tmp_path / str(step), step)
        assert_equal_runs(resumed, whole)
        assert resumed.optimizer.lr == rate
        again = trained(tmp_path / str(step))  # the finished run: nothing is left to do
        assert_equal_runs(again, whole)


def test_a_saved_complete_run_has_nothing_left_to_do(tmp_path):
    whole = trained()
    whole.save(tmp_path / "run.safetensors")
    resumed = build(callbacks=callbacks())
    resumed.resume(tmp_path / "run.safetensors")
    x, y = blobs()
    resumed.fit((x, y), (x[:20], y[:20]), epochs=12)
    assert_equal_runs(resumed, whole)


def test_another_fit_counts_anew():
    whole = trained()
    x, y = blobs()
    before = len(whole.history)
    whole.fit((x, y), (x[:20], y[:20]), epochs=2)
    assert len(whole.history) == before + 2


@pytest.mark.parametrize("kind", [eln.EarlyStopping, eln.ReduceOnPlateau])
def test_errors(kind):
    name = kind.__name__
    with pytest.raises(ValueError, match=f"{name}: expected monitor to be one of"):
        kind("loss")
    for monitor in (3, None, ["score"], np.ones(2)):
        with pytest.raises(TypeError, match=f"{name}: expected monitor as text"):
            kind(monitor, mode="min")
    with pytest.raises(ValueError, match=f"{name}: expected patience of at least 1"):
        kind(patience=0)
    with pytest.raises(ValueError, match=f"{name}: expected min_delta in"):
        kind(min_delta=math.nan)
    trainer = build(callbacks=[kind()])
    with pytest.raises(ValueError, match=f"{name}: expected validation data in fit for"):
        trainer.fit(blobs())
    for state in ({}, {"best": "low", "best_epoch": 0, "waited": 0, "cooling": 0, "weights": {}}):
        with pytest.raises((KeyError, TypeError)):
            kind().restore(state)


def test_a_schedule_is_not_lowered():
    optimizer = eln.optim.SGD(eln.schedules.Constant(0.1))
    with pytest.raises(ValueError, match="ReduceOnPlateau: expected a number as learning rate"):
        run(eln.ReduceOnPlateau(), [1], optimizer)


def test_stop_from_any_hook():
    """`Trainer.stop` ends after the epoch under way; before the first, there is none."""
    for hook, epochs in (("on_fit_start", 0), ("on_step", 1), ("on_epoch_end", 1)):
        callback = eln.Callback()
        setattr(callback, hook, lambda trainer, *rest: trainer.stop())
        trainer = build(callbacks=[callback])
        assert len(trainer.fit(blobs(), epochs=3)) == epochs
