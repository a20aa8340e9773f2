"""What is easily written by mistake is told in a sentence, and changes nothing."""

from __future__ import annotations

import inspect
import threading
import warnings

import numpy as np
import pytest
from small_runs import blobs, build

import elunet as eln
from elunet import layers as L

X, Y = blobs()


@pytest.mark.parametrize(
    ("callbacks", "text"),
    [
        (
            [eln.EarlyStopping],
            r"expected .* got <class .*EarlyStopping'>; make one: EarlyStopping\(\)",
        ),
        (["early"], "expected callbacks of class Callback, got 'early'"),
        ([None], "expected callbacks of class Callback, got None"),
        (eln.EarlyStopping(), "expected callbacks as a list of callbacks, got .*EarlyStopping"),
        ("early", "expected callbacks as a list of callbacks, got 'early'"),
        (None, "expected callbacks as a list of callbacks, got None"),
    ],
)
def test_callbacks_that_are_none(callbacks, text):
    with pytest.raises(TypeError, match=f"Trainer: {text}"):
        build(callbacks=callbacks)
    pytest.importorskip("sklearn")
    with pytest.raises(TypeError, match=f"Trainer: {text}"):
        eln.Classifier(callbacks=callbacks).fit(X.reshape(len(X), -1), Y)


def test_a_callback_appended_later():
    trainer = build()
    trainer.callbacks.append(eln.EarlyStopping)
    before = {name: w.copy() for name, w in trainer.net.parameters().items()}
    with pytest.raises(TypeError, match="make one"):
        trainer.fit((X, Y))
    assert all(np.array_equal(w, before[n]) for n, w in trainer.net.parameters().items())


@pytest.mark.parametrize(
    "make", [lambda a: build(augment=a).fit((X, Y)), lambda a: eln.data.Compose(a)]
)
def test_an_augmentation_that_was_not_made(make):
    with pytest.raises(TypeError, match=r"an object, Mixup\(\.\.\.\), got the class Mixup"):
        make(eln.data.Mixup)


def forgets(x, y, rng):
    return x


forgets.with_targets = True


@pytest.mark.parametrize(
    ("augment", "text"),
    [
        (lambda x, rng: None, "expected augment to return an array, got NoneType"),
        (lambda x, rng: (x, x), "expected augment to return an array, got tuple"),
        (lambda x, rng: 3.0, "expected augment to return an array, got float"),
        (forgets, "expected augment to return two arrays, x and y, got ndarray"),
    ],
)
def test_an_augmentation_that_returns_something_else(augment, text):
    with pytest.raises(TypeError, match=f"Batches: {text}"):
        build(augment=augment).fit((X, Y))


class Within(eln.Callback):
    """Calls the trainer from a hook."""

    def __init__(self, call, hook):
        self.call, self.errors = call, []
        setattr(self, hook, self.act)

    def act(self, trainer, *rest):
        try:
            self.call(trainer)
        except RuntimeError as error:
            self.errors.append(str(error))


@pytest.mark.parametrize(
    "hook",
    ["on_fit_start", "on_epoch_start", "on_backward", "on_gradients", "on_step", "on_epoch_end"],
)
@pytest.mark.parametrize("method", ["fit", "resume"])
def test_a_fit_within_a_fit(hook, method, tmp_path):
    """It counted epochs of both; a resume broke off the run with an AttributeError."""
    saved = build()
    saved.fit((X, Y))
    saved.save(tmp_path)
    calls = {"fit": lambda t: t.fit((X, Y)), "resume": lambda t: t.resume(tmp_path)}
    within = Within(calls[method], hook)
    trainer, alone = build(), build()
    trainer.callbacks.append(within)
    trainer.fit((X, Y), epochs=2)
    alone.fit((X, Y), epochs=2)
    assert within.errors
    assert all(f"Trainer.{method}: expected the running fit to end" in e for e in within.errors)
    assert trainer.history.column("train_loss") == alone.history.column("train_loss")
    trainer.callbacks.clear()
    trainer.fit((X, Y))  # and after it, there is none


def test_a_fit_in_another_thread():
    errors = []

    def other(trainer):
        thread = threading.Thread(target=lambda: errors.append(caught(trainer)))
        thread.start()
        thread.join()

    def caught(trainer):
        try:
            trainer.fit((X, Y))
        except RuntimeError as error:
            return str(error)

    trainer = build(callbacks=[Within(other, "on_step")])
    trainer.fit((X, Y))
    assert errors
    assert all(e and "another thread" in e for e in errors)
    assert len(trainer.history) == 1


def test_data_changed_in_place_between_two_fits(tmp_path):
    """A checkpoint held the SHA-256 of the first fit's data: the right ones were refused."""
    x = X.copy()
    trainer = build(callbacks=[eln.Checkpoints(tmp_path)])
    trainer.fit((x, Y), epochs=1)
    x *= 2
    trainer.fit((x, Y), epochs=1)
    resumed = build()
    resumed.resume(tmp_path)
    with pytest.raises(ValueError, match="train: expected data of SHA-256"):
        resumed.fit((X, Y), epochs=2)
    resumed = build()
    resumed.resume(tmp_path)
    resumed.fit((x, Y), epochs=2)
    assert len(resumed.history) == 3


def made_layers():
    kinds = [each for each in vars(eln.layers).values() if inspect.isclass(each)]
    bases = (eln.layers.Layer, eln.layers.SpanLayer, eln.layers.Elementwise, eln.layers.Weighted)
    return [each for each in kinds if issubclass(each, eln.layers.Layer) and each not in bases]


@pytest.mark.parametrize("kind", made_layers(), ids=lambda kind: kind.__name__)
def test_every_layers_arguments_can_be_compared(kind):
    """Else a resume warns of a layer that nobody has changed."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    given = {
        "rate": 0.5, "channels": 4, "groups": 2, "in_channels": 2, "out_channels": 4,
        "kernel_size": 3, "in_features": 3, "out_features": 2, "image_size": 8, "size": 2,
        "padding": 1, "low": -1.0, "high": 1.0, "limit": 6.0,
    }  # fmt: skip
    layer = kind(
        **{each.name: given[each.name] for each in parameters if each.default is each.empty}
    )
    assert [each.name for each in parameters if not hasattr(layer, each.name)] == []


def test_resuming_a_run_with_prelu_warns_of_nothing(tmp_path):
    def made():
        net = eln.Sequential([eln.layers.Linear(3, 4), eln.layers.PReLU(4)], seed=0)
        return eln.Trainer(net, eln.losses.MeanSquaredError(), eln.optim.SGD(0.1))

    x = np.ones((4, 3), np.float32)
    trainer = made()
    trainer.fit((x, np.ones((4, 4))))
    trainer.save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made().resume(tmp_path)


class Returns(L.Layer):
    """Returns something else than an array, forward or back."""

    def __init__(self, up=None, down=None):
        super().__init__()
        self.up, self.down = up, down

    def forward(self, x, train=False):
        return x if self.up is None else self.up(x)

    def backward_input(self, dy):
        return dy if self.down is None else self.down(dy)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Returns(up=lambda x: [None][0]), r"returns1 \(.*forward to return an array, got None; is"),
        (Returns(up=lambda x: x.tolist()), r"returns1 \(.*forward to return an array, got \[\["),
        (
            Returns(down=lambda dy: [None][0]),
            r"returns1 \(.*backward_input to return an array, got N",
        ),
    ],
)
def test_a_layer_that_returns_no_array(layer, message):
    net = eln.Sequential([L.Linear(3, 3), layer, L.Linear(3, 2)], seed=0)
    with pytest.raises(TypeError, match=message):
        net.backward(net.forward(np.ones((4, 3)), train=True))


@pytest.mark.parametrize("found", [1.0, (1.0,), (np.ones(4), np.ones((4, 3))), None])
def test_a_loss_that_returns_something_else(found):
    class Odd(eln.losses.Loss):
        def __call__(self, prediction, target, weights=None):
            return found

        def read_target(self, target, shape):
            return target

    net = eln.Sequential([L.Linear(3, 3)], seed=0)
    trainer = eln.Trainer(net, Odd(), eln.optim.SGD(0.1), progress=False)
    with pytest.raises(
        TypeError, match=r"Trainer.fit: expected Odd.* to return \(loss, gradient\)"
    ):
        trainer.fit((np.ones((4, 3), np.float32), np.zeros(4, int)), epochs=1)


@pytest.mark.parametrize("kind", ["masked", "cyclic"])
def test_a_callback_whose_state_cannot_be_saved(kind, tmp_path):
    class Remembers(eln.Callback):
        def state(self):
            if kind == "masked":
                return {"seen": np.ma.masked_array([1.0, 2.0], [True, False])}
            own = {}
            own["own"] = own
            return own

    net = eln.Sequential([L.Linear(3, 3)], seed=0)
    loss = eln.losses.SoftmaxCrossEntropy()
    callbacks = [Remembers(), eln.Checkpoints(tmp_path)]
    trainer = eln.Trainer(net, loss, eln.optim.SGD(0.1), callbacks=callbacks, progress=False)
    expected = "without a mask" if kind == "masked" else "does it contain itself"
    with pytest.raises((TypeError, ValueError), match=expected):
        trainer.fit((np.ones((4, 3), np.float32), np.zeros(4, int)), epochs=1)


def test_an_estimator_whose_fit_fails_is_as_before():
    pytest.importorskip("sklearn")
    x, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    kept = []

    def build(shape, classes):
        if not kept:
            kept.append(eln.Sequential([L.Linear(3, classes)], seed=0))
        return kept[0]

    one = eln.Classifier(build, epochs=2).fit(x, y)
    before = one.predict_proba(x)
    with pytest.raises(ValueError, match="more than one class"):
        one.fit(x[:, :2], np.zeros(20))
    np.testing.assert_array_equal(one.predict_proba(x), before)
    np.testing.assert_array_equal(one.fit(x, y).predict_proba(x), before)  # trains no further


class Counts(eln.routers.Router):
    """Sends less and less, and says or does not say that it counts."""

    def __init__(self):
        super().__init__()
        self.walks, self.sizes, self._scratch = 0, {}, None

    def begin(self, net, dy, target):
        self.walks += 1
        self.sizes[self.walks] = len(dy)
        self._scratch = dy.sum()

    def send(self, layer, dy):
        return layer.backward_input(dy) / self.walks


def counting(rule, folder, **options):
    net = eln.Sequential([L.Linear(4, 3), L.Linear(3, 3)], seed=0)
    loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1)
    callbacks = [eln.Checkpoints(folder)]
    trainer = eln.Trainer(net, loss, optimizer, rule, callbacks=callbacks, progress=False)
    return trainer.fit((np.eye(4, dtype=np.float32), np.arange(4) % 3), epochs=2)


@pytest.mark.parametrize("wrap", [lambda rule: rule, lambda rule: eln.routers.Mixed({"*": rule})])
def test_a_rule_that_counts_in_secret_is_not_saved(wrap, tmp_path):
    message = r"in its `remembers`.*got changes of router\S*walks, router\S*sizes; if"
    with pytest.raises(ValueError, match=message):
        counting(wrap(Counts()), tmp_path)


def test_a_rule_that_says_so_is_saved(tmp_path):
    from elunet.routers.memory import count

    class Says(Counts):
        remembers = eln.routers.Router.remembers | {"walks": count}

        def begin(self, net, dy, target):
            self.walks += 1

    assert len(counting(Says(), tmp_path)) == 2
