"""What callbacks change during a run is there again when it is resumed, or it is refused."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import elunet as eln

X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
Y = np.arange(20) % 3
EPOCHS = 4


def trainer(*callbacks, **parts):
    layers = [eln.layers.Linear(4, 4), eln.layers.ELU(), eln.layers.Dropout(0.5)]
    net = eln.Sequential([*layers, eln.layers.Linear(4, 3)], seed=0)
    optimizer = parts.pop("optimizer", None) or eln.optim.SGD(0.1, momentum=0.5)
    router = parts.pop("router", None)
    loss = eln.losses.SoftmaxCrossEntropy()
    return eln.Trainer(
        net, loss, optimizer, router, batch_size=5, callbacks=callbacks, progress=False, **parts
    )


class Change(eln.Callback):
    """Does something after each epoch."""

    def __init__(self, what):
        self.what = what

    def on_epoch_end(self, trainer, row):
        self.what(trainer, row.epoch)


class Stop(eln.Callback):
    """Sends SIGINT after a step."""

    def __init__(self, step):
        self.step = step

    def on_step(self, trainer, loss):
        if trainer.optimizer.steps == self.step:
            signal.raise_signal(signal.SIGINT)


def lives(folder, build, cuts):
    """Cut a run after each of some steps, resume it each time, and return the last trainer."""
    for step in [*cuts, None]:
        one = build()
        one.callbacks += [Stop(step), eln.Checkpoints(folder, steps=1)]
        if (folder / "latest.safetensors").exists():
            one.resume(folder)
        if step is None:
            one.fit((X, Y), epochs=EPOCHS)
            break
        with pytest.raises(eln.Interrupted):
            one.fit((X, Y), epochs=EPOCHS)
    return one


def same(one, other):
    for name, value in one.net.parameters().items():
        np.testing.assert_array_equal(other.net.parameters()[name], value)
    assert one.history.column("learning_rate") == other.history.column("learning_rate")


def set_rate(trainer, epoch):
    trainer.optimizer.lr *= 0.5


def set_rate_of_numpy(trainer, epoch):
    trainer.optimizer.lr = np.float32(trainer.optimizer.lr) * np.float32(0.7)


def set_momentum(trainer, epoch):
    trainer.optimizer.momentum = min(0.9, trainer.optimizer.momentum + 0.1)


def set_slope(trainer, epoch):
    trainer.net["elu1"].alpha = 1.0 + epoch / 10


def set_dropout(trainer, epoch):
    trainer.net["dropout1"].rate *= 0.5


def set_noise(trainer, epoch):
    trainer.router.eta *= 0.5


def set_parts(trainer, epoch):
    for part in trainer.optimizer.optimizers.values():
        part.lr *= 0.5


def per_layer():
    return eln.optim.PerLayer({"linear1.*": eln.optim.SGD(0.1), "*": eln.optim.Adam(0.01)})


def noise():
    return eln.routers.GradientNoise(eln.routers.Backprop(), 0.1)


CHANGES = {
    "rate": (set_rate, {}),
    "rate, a NumPy number": (set_rate_of_numpy, {}),
    "momentum": (set_momentum, {}),
    "activation": (set_slope, {}),
    "dropout": (set_dropout, {}),
    "noise": (set_noise, {"router": noise}),
    "part": (set_parts, {"optimizer": per_layer}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_numbers_go_on_life_after_life(tmp_path, name):
    change, parts = CHANGES[name]

    def build():
        return trainer(Change(change), **{key: make() for key, make in parts.items()})

    whole = build()
    whole.fit((X, Y), epochs=EPOCHS)
    same(lives(tmp_path, build, [2, 5, 6, 11]), whole)


class Warmup(eln.Callback):
    """Sets the rate from what it finds when fit begins, and puts it back in the end."""

    def on_fit_start(self, trainer):
        self.full = trainer.optimizer.lr

    def on_step(self, trainer, loss):
        trainer.optimizer.lr = self.full * min(1.0, trainer.optimizer.steps / 10)

    def on_fit_end(self, trainer):
        trainer.optimizer.lr = self.full


def test_a_callback_that_changes_and_puts_back(tmp_path):
    whole = trainer(Warmup())
    whole.fit((X, Y), epochs=EPOCHS)
    last = lives(tmp_path, lambda: trainer(Warmup()), [2, 5, 6, 11])
    same(last, whole)
    assert last.optimizer.lr == whole.optimizer.lr == 0.1


def test_a_second_fit_after_changes(tmp_path):
    whole = trainer(Change(set_rate))
    for _ in range(2):
        whole.fit((X, Y), epochs=2)
    cut = trainer(Change(set_rate), Stop(10), eln.Checkpoints(tmp_path, steps=1))
    cut.fit((X, Y), epochs=2)
    with pytest.raises(eln.Interrupted):
        cut.fit((X, Y), epochs=2)
    again = trainer(Change(set_rate))
    again.resume(tmp_path)
    assert again.optimizer.lr == 0.1 / 4  # as the second fit found it
    again.fit((X, Y), epochs=2)
    same(again, whole)


def test_resumed_and_saved_before_fit(tmp_path):
    whole = trainer(Change(set_rate))
    whole.fit((X, Y), epochs=EPOCHS)
    cut = trainer(Change(set_rate), Stop(6), eln.Checkpoints(tmp_path / "a", steps=1))
    with pytest.raises(eln.Interrupted):
        cut.fit((X, Y), epochs=EPOCHS)
    between = trainer(Change(set_rate))
    between.resume(tmp_path / "a")
    between.save(tmp_path / "b")  # with the place in the data, which it has not seen
    again = trainer(Change(set_rate))
    again.resume(tmp_path / "b")
    with pytest.raises(ValueError, match="train: expected data of SHA-256"):
        again.fit((X + 1, Y), epochs=EPOCHS)
    again.fit((X, Y), epochs=EPOCHS)
    same(again, whole)


def test_what_is_allowed_to_differ_stays_as_it_was_built(tmp_path):
    one = trainer(Change(set_rate))
    one.fit((X, Y), epochs=1)
    one.save(tmp_path / "run")
    other = trainer(optimizer=eln.optim.SGD(0.3, momentum=0.5))
    with pytest.raises(ValueError, match=r"optimizer: expected .*0.1.*, got .*0.3"):
        other.resume(tmp_path / "run")
    other.resume(tmp_path / "run", allow="optimizer")
    assert other.optimizer.lr == 0.3
    other.save(tmp_path / "other")  # it is a run with that rate from now on
    trainer(optimizer=eln.optim.SGD(0.3, momentum=0.5)).resume(tmp_path / "other")


def set_schedule(trainer, epoch):
    trainer.optimizer.lr = eln.schedules.Constant(0.01)


def test_what_is_no_number_is_refused(tmp_path):
    one = trainer(Change(set_schedule))
    one.fit((X, Y), epochs=2)
    one.save(tmp_path / "run")
    again = trainer(Change(set_schedule))
    with pytest.raises(ValueError, match=r"optimizer: expected .*Constant.*, got .*lr=0.1"):
        again.resume(tmp_path / "run")
    assert again.optimizer.lr == 0.1
    again.resume(tmp_path / "run", allow=["optimizer"])


def test_what_is_no_number_is_refused_within_a_fit(tmp_path):
    one = trainer(Change(set_schedule), Stop(6), eln.Checkpoints(tmp_path, steps=1))
    with pytest.raises(eln.Interrupted):
        one.fit((X, Y), epochs=EPOCHS)
    again = trainer(Change(set_schedule))
    again.resume(tmp_path)
    with pytest.raises(ValueError, match=r"Trainer.fit: expected the settings that had changed"):
        again.fit((X, Y), epochs=EPOCHS)


class Scheduled(eln.Callback):
    """Makes the change again whenever fit begins."""

    def on_fit_start(self, trainer):
        trainer.optimizer.lr = eln.schedules.Cosine(0.1, 16)


def test_unless_it_is_made_again(tmp_path):
    whole = trainer(Scheduled())
    whole.fit((X, Y), epochs=EPOCHS)
    same(lives(tmp_path, lambda: trainer(Scheduled()), [2, 5, 11]), whole)
