"""A state that cannot be saved is told when the run begins, and a layer may keep what it likes."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln

X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
Y = np.arange(20) % 3


class Keeping(eln.layers.Layer):
    """Passes x on and keeps something in its state."""

    def __init__(self, value):
        super().__init__()
        self.state["kept"] = value
        self.steps = 0

    def forward(self, x, train=False):
        self.steps += train
        return x

    def backward_input(self, dy):
        return dy


class Remembering(eln.Callback):
    """Has a state."""

    def __init__(self, value):
        self.value = value

    def state(self):
        return self.value


def trainer(*callbacks, layer=None):
    layers = [layer or eln.layers.ELU(), eln.layers.Linear(4, 3)]
    loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1)
    net = eln.Sequential(layers, seed=0)
    return eln.Trainer(net, loss, optimizer, batch_size=5, callbacks=callbacks, progress=False)


BAD = {
    "a list": [1, 2],
    "a number": 3,
    "complex numbers": np.zeros(2, complex),
    "objects": np.array([None, {}]),
    "texts": np.array(["a"]),
    "times": np.array(["2020-01-01"], "datetime64[D]"),
}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_a_layers_state_that_is_no_array_of_numbers(tmp_path, value):
    layer = Keeping(value)
    one = trainer(eln.Checkpoints(tmp_path / "run"), layer=layer)
    with pytest.raises(TypeError, match="expected .*keeping1.kept"):
        one.fit((X, Y))
    assert layer.steps == 0
    with pytest.raises(TypeError, match="expected .*keeping1.kept"):
        eln.save(one.net, tmp_path / "net.safetensors")
    assert not (tmp_path / "net.safetensors").exists()
    assert len(trainer(layer=Keeping(value)).fit((X, Y))) == 1  # without saving, it may


@pytest.mark.parametrize("value", [{1: 2}, {"$a": 1}, object(), {"a": {1, 2}}, {"a": print}])
def test_a_callbacks_state_that_is_no_plain_data(tmp_path, value):
    steps = []

    class Count(eln.Callback):
        def on_step(self, trainer, loss):
            steps.append(1)

    one = trainer(eln.Checkpoints(tmp_path), Count(), Remembering(value))
    with pytest.raises(TypeError, match="save: expected"):
        one.fit((X, Y))
    assert steps == []


class Lazy(Keeping):
    """Makes its state in the first pass, then fails."""

    def __init__(self):
        super().__init__(0)
        self.state.clear()

    def forward(self, x, train=False):
        if train:
            self.state["seen"] = self.state.get("seen", np.zeros(1)) + 1
            if self.state["seen"] == self.fails:
                raise OSError("no device")
        return x


@pytest.mark.parametrize(("fails", "left"), [(1, {}), (3, {"seen": 2})])
def test_a_step_that_fails_leaves_no_state_behind(fails, left):
    layer = Lazy()
    layer.fails = fails
    with pytest.raises(OSError, match="no device"):
        trainer(layer=layer).fit((X, Y))
    assert layer.state == left


@pytest.mark.parametrize("name", ["run", "run.v1"])
def test_a_folder_that_vanishes_stays_a_folder(tmp_path, name):
    class Vanish(eln.Callback):
        def on_step(self, trainer, loss):
            (tmp_path / name).rename(tmp_path / f"gone{trainer.optimizer.steps}")

    folder = tmp_path / name
    saving = [eln.HistoryFile(folder / "history.csv"), eln.Checkpoints(folder, steps=1)]
    trainer(Vanish(), *saving).fit((X, Y), epochs=2)
    assert folder.is_dir()
    again = trainer()
    again.resume(folder)
    assert len(again.history) == 2


def test_a_job_whose_folder_vanishes(tmp_path):
    class Vanish(eln.Callback):
        def on_epoch_start(self, trainer, epoch):
            (tmp_path / "job").rename(tmp_path / f"gone{epoch}")

    job = eln.Job(tmp_path / "job", lambda line: None)
    job.train(trainer(Vanish()), (X, Y), (X, Y), 2)
    assert eln.train.about(tmp_path / "job" / "checkpoints").step == 8
    assert (tmp_path / "job" / "summary.json").exists()


def test_a_history_file_that_cannot_be_written_is_told_at_the_start(tmp_path):
    (tmp_path / "taken").write_text("")
    layer = Keeping(np.zeros(1))
    with pytest.raises(OSError, match="taken"):
        trainer(eln.HistoryFile(tmp_path / "taken" / "h.csv"), layer=layer).fit((X, Y))
    assert layer.steps == 0


TARGETS = {
    "labels": (np.array([0, 1, 1]), 2 / 3),
    "one-hot": (np.eye(2)[[0, 1, 1]], 2 / 3),
    "probabilities": (np.float32([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]), 2 / 3),
    "signs": (np.array([[1, -1], [-1, 1], [-1, 1]]), 2 / 3),
    "booleans": (np.eye(2, dtype=bool)[[0, 1, 1]], 2 / 3),
    "two quantities": (np.array([[0.3, 1.2], [5.0, -1.0], [0.1, 0.2]]), np.nan),
    "positive quantities": (np.array([[0.3, 1.2], [5.0, 1.0], [0.1, 0.2]]), np.nan),
    "many labels": (np.array([[1, 1], [0, 1], [0, 0]]), np.nan),
    "NaN": (np.array([[np.nan, 1.0], [0.0, 1.0], [0.0, 1.0]]), np.nan),
}


@pytest.mark.parametrize(("target", "expected"), TARGETS.values(), ids=TARGETS)
def test_accuracy_is_reported_for_classes_alone(target, expected):
    prediction = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0]])
    np.testing.assert_equal(eln.train.accuracy(prediction, target), expected)


def test_a_regression_of_two_columns_has_no_accuracy():
    net = eln.Sequential([eln.layers.Linear(4, 2)], seed=0)
    one = eln.Trainer(net, eln.losses.MeanSquaredError(), eln.optim.SGD(0.1), progress=False)
    row = one.fit((X, X[:, :2] + 1), (X, X[:, :2] + 1))[-1]
    assert np.isnan(row.train_accuracy)
    assert np.isnan(row.validation_accuracy)


def compared(tmp_path, layers, **options):
    return eln.compare(
        lambda seed: eln.Sequential(layers(), seed=seed),
        {"backprop": lambda seed: eln.routers.Backprop()},
        *[(X, Y)] * 3,
        rates=(0.01, 0.1, 1.0),
        epochs=1,
        seeds=1,
        folder=tmp_path / "c",
        log=None,
        **options,
    )


@pytest.mark.filterwarnings("ignore:compare")
@pytest.mark.parametrize(
    "layers",
    [
        lambda: [eln.layers.Linear(4, 3)],
        lambda: [eln.layers.Linear(4, 3, bias=False), eln.layers.ELU()],
        lambda: [eln.layers.BatchNorm(4), eln.layers.Linear(4, 3)],
        lambda: [eln.layers.Linear(4, 3), eln.layers.BatchNorm(3)],
    ],
)
def test_baselines_of_a_network_with_one_weighted_layer(tmp_path, layers):
    found = compared(tmp_path, layers)
    assert found.rules == ("backprop", "last layer only", "linear", "shallow")


@pytest.mark.filterwarnings("ignore:compare")
def test_baselines_of_a_network_without_weights(tmp_path):
    def layers():
        return [eln.layers.BatchNorm(4)]

    with pytest.raises(ValueError, match="compare: expected baselines=False, or a network with"):
        compared(tmp_path, layers)
    assert not (tmp_path / "c").exists()
    compared(tmp_path, layers, baselines=False)
