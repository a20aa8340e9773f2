"""A run that is cut anywhere and resumed equals one that was left alone, bit for bit."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import Stop, assert_equal_runs, blobs, build, everything, rows

import elunet as eln
from elunet import optim as O
from elunet.experiments.recipes import DropoutRamp
from elunet.storage.archive import decode, encode
from elunet.train import about

X, Y = blobs()
TEST = X[:20], Y[:20]
EPOCHS, STEPS = 3, 5  # of 5 steps each


def whole(**options):
    trainer = build(**options)
    trainer.fit((X, Y), TEST, epochs=EPOCHS)
    return trainer


def cut_and_resumed(folder, *steps, **options):
    """Return a run that was cut after each of these steps, by a trainer of its own each time."""
    callbacks = options.pop("callbacks", list)
    for step in (*steps, math.inf):
        trainer = build(callbacks=[*callbacks(), eln.Checkpoints(folder), Stop(step)], **options)
        if (folder / "latest.safetensors").exists():
            trainer.resume(folder)
        try:
            trainer.fit((X.copy(), Y.copy()), TEST, epochs=EPOCHS)
        except eln.Interrupted:
            assert trainer.optimizer.steps == step
    return trainer


ROUTERS = {
    "FA": lambda: eln.routers.FeedbackAlignment(seed=1),
    "DFA": lambda: eln.routers.DirectFeedbackAlignment(seed=1),
    "DRTP": lambda: eln.routers.DirectRandomTargetProjection(seed=1),
    "uSF": eln.routers.SignSymmetry,
    "brSF": lambda: eln.routers.SignSymmetry("batchwise", seed=1),
    "frSF": lambda: eln.routers.SignSymmetry("fixed", seed=1),
    "KP": lambda: eln.routers.KolenPollack(seed=1),
    "WM": lambda: eln.routers.WeightMirror(seed=1),
    "DKP": lambda: eln.routers.DirectKolenPollack(seed=1),
    "dilated": lambda: eln.routers.DilatedBackprop(proportion=0.1, decay=0.9),
    "mixed": lambda: eln.routers.Mixed(
        {"conv1": eln.routers.SignSymmetry("batchwise"), "*": eln.routers.KolenPollack()}
    ),
    "noise": lambda: eln.routers.GradientNoise(eln.routers.SignSymmetry("batchwise"), seed=2),
    "NP": lambda: eln.routers.NodePerturbation(seed=1),
    "WP": lambda: eln.routers.WeightPerturbation(seed=1),
    "forward": lambda: eln.routers.ForwardGradient("activities", seed=1),
    "matched": lambda: eln.routers.NormMatched(eln.routers.FeedbackAlignment(seed=1)),
}
OPTIMIZERS = {
    "sgd": lambda: O.SGD(0.05),
    "nesterov": lambda: O.SGD(
        eln.schedules.OneCycle(0.05, EPOCHS * STEPS), 0.9, nesterov=True, clip_norm=1.0
    ),
    "adam": lambda: O.Adam(eln.schedules.Cosine(0.01, EPOCHS, per="epoch"), l2=0.01),
    "adamw": lambda: O.AdamW(0.01, l1=0.01),
    "nadam": lambda: O.NAdam(0.01, momentum_decay=0.5),
    "rmsprop": lambda: O.RMSProp(0.003),
    "centered": lambda: O.RMSProp(
        0.003, momentum=eln.schedules.Cosine(0.9, EPOCHS * STEPS), centered=True
    ),
    "adagrad": lambda: O.AdaGrad(0.01, clip_value=0.01),
    "lion": lambda: O.Lion(0.001, l2=0.1, penalized="*"),
    "per layer": lambda: O.PerLayer({"conv*": O.SGD(0.05, 0.9), "*": O.Adam(0.01)}),
}


@pytest.mark.parametrize("rule", ROUTERS)
def test_every_rule(tmp_path, rule):
    make = {"router": ROUTERS[rule]}
    assert_equal_runs(cut_and_resumed(tmp_path, 3, 5, 9, **make), whole(**make))


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer(tmp_path, kind):
    make = {"optimizer": OPTIMIZERS[kind]}
    assert_equal_runs(cut_and_resumed(tmp_path, 1, 7, 10, **make), whole(**make))


@settings(max_examples=8)
@given(st.lists(st.integers(1, EPOCHS * STEPS), max_size=3, unique=True).map(sorted))
def test_cuts_anywhere(tmp_path_factory, steps):
    got = cut_and_resumed(tmp_path_factory.mktemp("run"), *steps)
    assert_equal_runs(got, REFERENCE())


def REFERENCE(kept=[]):  # noqa: B006, N802
    if not kept:
        kept.append(whole())
    return kept[0]


def test_dropout_that_ramps(tmp_path):
    def ramp():
        return [DropoutRamp(0.1, 1.0, EPOCHS)]

    got = cut_and_resumed(tmp_path, 2, 8, 10, callbacks=ramp)
    assert_equal_runs(got, whole(callbacks=ramp()))
    assert got.net["dropout1"].rate == 0.3


def test_a_finished_run_is_left_as_it_is(tmp_path):
    cut_and_resumed(tmp_path)
    content = (tmp_path / "latest.safetensors").read_bytes()
    again = cut_and_resumed(tmp_path)
    assert_equal_runs(again, whole())
    assert (tmp_path / "latest.safetensors").read_bytes() == content
    again.fit((X, Y), TEST, epochs=1)  # another call: one more
    assert len(again.history) == EPOCHS + 1


def test_a_longer_fit_goes_on_to_its_end(tmp_path):
    cut_and_resumed(tmp_path)
    longer = build()
    longer.resume(tmp_path)
    longer.fit((X, Y), TEST, epochs=EPOCHS + 2)
    alone = build()
    alone.fit((X, Y), TEST, epochs=EPOCHS + 2)
    assert_equal_runs(longer, alone)


def test_a_second_fit_that_was_cut(tmp_path):
    alone = build()
    alone.fit((X, Y), TEST, epochs=1)
    alone.fit((X, Y), TEST, epochs=2)
    cut = build(callbacks=[eln.Checkpoints(tmp_path), Stop(8)])
    cut.fit((X, Y), TEST, epochs=1)
    with pytest.raises(eln.Interrupted):
        cut.fit((X, Y), TEST, epochs=2)
    resumed = build()
    resumed.resume(tmp_path)
    resumed.fit((X, Y), TEST, epochs=2)  # the call that was cut
    assert_equal_runs(resumed, alone)


def test_saved_by_hand_between_two_fits(tmp_path):
    first, alone = build(), build()
    first.fit((X, Y), TEST, epochs=1)
    file = first.save(tmp_path / "run")
    second = build()
    second.resume(file)
    assert second.checkpoint == file
    second.fit((X, Y), TEST, epochs=1)  # the same call: it is done
    assert len(second.history) == 1
    second.fit((X, Y), TEST, epochs=2)
    alone.fit((X, Y), TEST, epochs=3)
    assert_equal_runs(second, alone)


def test_saved_before_the_first_step(tmp_path):
    fresh = build()
    fresh.net["conv1"].params["W"] *= 2
    fresh.save(tmp_path / "run")
    other, alone = build(), build()
    other.resume(tmp_path / "run")
    alone.net["conv1"].params["W"] *= 2
    for trainer in (other, alone):
        trainer.fit((X, Y), epochs=1)
    assert_equal_runs(other, alone)


def test_an_interrupted_trainer_goes_on_in_the_same_process():
    trainer = build(callbacks=[Stop(7)])
    with pytest.raises(eln.Interrupted, match="not saved, because it has no Checkpoints"):
        trainer.fit((X, Y), TEST, epochs=EPOCHS)
    trainer.callbacks.clear()
    trainer.fit((X, Y), TEST, epochs=EPOCHS)
    assert_equal_runs(trainer, whole())


def test_other_data_after_an_interruption_begin_a_new_epoch():
    trainer = build(callbacks=[Stop(7)])
    with pytest.raises(eln.Interrupted):
        trainer.fit((X, Y), TEST, epochs=EPOCHS)
    trainer.callbacks.clear()
    trainer.fit((X[:40], Y[:40]), epochs=1)
    assert trainer.history.column("step") == [5, 9]


def test_given_batches_go_on_too(tmp_path):
    def batches():
        return eln.data.Batches(X, Y, 30, seed=5, augment=eln.data.pad_crop_flip)

    alone = build(augment=None)
    alone.fit(batches(), TEST, epochs=2)
    cut = build(augment=None, callbacks=[eln.Checkpoints(tmp_path), Stop(6)])
    with pytest.raises(eln.Interrupted):
        cut.fit(batches(), TEST, epochs=2)
    resumed = build(augment=None)
    resumed.resume(tmp_path)
    resumed.fit(batches(), TEST, epochs=2)
    assert_equal_runs(resumed, alone)


def test_a_signal_during_validation_is_heard_between_its_batches(tmp_path):
    class Late(eln.Callback):
        def on_step(self, trainer, loss):
            if trainer.optimizer.steps == 5:
                validate = trainer.net.forward

                def forward(x, train=False, tap=None):
                    trainer.net.forward = validate
                    signal.raise_signal(signal.SIGINT)
                    return validate(x, train, tap)

                trainer.net.forward = forward

    cut = build(callbacks=[Late(), eln.Checkpoints(tmp_path)])
    with pytest.raises(eln.Interrupted) as caught:
        cut.fit((X, Y), TEST, epochs=EPOCHS)
    assert caught.value.step == 5
    assert cut.history == []
    resumed = build()
    resumed.resume(tmp_path)
    resumed.fit((X, Y), TEST, epochs=EPOCHS)
    assert_equal_runs(resumed, whole())


# Callbacks' states, and when to save


class Counter(eln.Callback):
    def __init__(self):
        self.seen = {"steps": 0, "mean": np.zeros(3), "last": math.nan}

    def on_step(self, trainer, loss):
        self.seen["steps"] += 1
        self.seen["mean"] += loss
        self.seen["last"] = loss

    def state(self):
        return self.seen

    def restore(self, state):
        if set(state) != {"steps", "mean", "last"}:
            raise ValueError("no counter's state")
        self.seen = dict(state, mean=state["mean"].copy())


def test_callbacks_keep_their_states(tmp_path):
    before, after = Counter(), Counter()
    trainer = build(callbacks=[before, eln.Checkpoints(tmp_path), Stop(7)])
    with pytest.raises(eln.Interrupted):
        trainer.fit((X, Y), epochs=EPOCHS)
    resumed = build(callbacks=[after])
    resumed.resume(tmp_path)
    assert after.seen["steps"] == 7
    assert after.seen["last"] == before.seen["last"]
    np.testing.assert_array_equal(after.seen["mean"], before.seen["mean"])
    with pytest.raises(ValueError, match=r"callbacks: expected \['Counter'\], got \[\]"):
        build().resume(tmp_path)


def test_save_points(tmp_path):
    saved = []

    class Note(eln.Trainer):
        def save(self, path, best=False):
            saved.append((self.optimizer.steps, best))
            return super().save(path, best)

    trainer = build(callbacks=[eln.Checkpoints(tmp_path, steps=2)], kind=Note)
    trainer.fit((X, Y), TEST, epochs=2)
    assert [step for step, _ in saved] == [2, 4, 5, 6, 8, 10, 10]
    losses = trainer.history.column("validation_loss")
    assert (5, True) in saved
    assert ((10, True) in saved) == (losses[1] < losses[0])
    saved.clear()
    build(callbacks=[eln.Checkpoints(tmp_path, minutes=1e-9)], kind=Note).fit((X, Y), epochs=1)
    assert [step for step, _ in saved] == [1, 2, 3, 4, 5, 5]
    assert not any(best for _, best in saved)  # without validation nothing is the best


def test_the_last_two_and_the_best_are_kept(tmp_path):
    trainer = build(callbacks=[eln.Checkpoints(tmp_path, best="train_accuracy")])
    contents = []
    for _ in range(4):
        trainer.fit((X, Y), TEST, epochs=1)
        contents.append((tmp_path / "latest.safetensors").read_bytes())
    names = sorted(os.listdir(tmp_path))
    assert names == ["best.safetensors", "latest.safetensors", "previous.safetensors"]
    assert (tmp_path / "previous.safetensors").read_bytes() == contents[2]
    best = int(np.argmax(trainer.history.column("train_accuracy")))
    assert (tmp_path / "best.safetensors").read_bytes() == contents[best]


def test_without_hard_links_the_one_before_is_a_copy(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    trainer = build()
    for _ in range(3):
        before = tmp_path.joinpath("latest.safetensors")
        content = before.read_bytes() if before.exists() else None
        trainer.save(tmp_path)
    assert (tmp_path / "previous.safetensors").read_bytes() == content


def test_what_killed_saves_left_is_swept(tmp_path):
    litter = tmp_path / f".latest.safetensors.{'0a' * 8}"
    other = tmp_path / ".latest.safetensors.mine"
    litter.write_bytes(b"half")
    other.write_bytes(b"whole")
    build(callbacks=[eln.Checkpoints(tmp_path)]).fit((X, Y), epochs=1)
    assert not litter.exists()
    assert other.exists()


def test_weights_of_a_checkpoint_load_as_weights(tmp_path):
    trainer = build(callbacks=[eln.Checkpoints(tmp_path)])
    trainer.fit((X, Y), TEST, epochs=1)
    net = build().net
    eln.load(net, tmp_path / "best.safetensors")
    np.testing.assert_array_equal(net.forward(X), trainer.net.forward(X))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"steps": 0}, ValueError, "Checkpoints: expected steps of at least 1, got 0"),
        ({"steps": 1.5}, TypeError, "Checkpoints: expected steps as an integer, got 1.5"),
        ({"minutes": 0}, ValueError, r"Checkpoints: expected minutes in \(0, inf\), got 0"),
        ({"best": "loss"}, ValueError, "Checkpoints: expected best to be one of"),
    ],
)
def test_arguments_of_checkpoints(arguments, kind, message):
    with pytest.raises(kind, match=message):
        eln.Checkpoints("x", **arguments)


def test_saving_in_the_middle_of_a_step_is_refused(tmp_path):
    class Early(eln.Callback):
        def on_gradients(self, trainer):
            trainer.save(tmp_path / "run")

    with pytest.raises(RuntimeError, match="expected a call between two steps, got one during"):
        build(callbacks=[Early()]).fit((X, Y))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("state", [{1, 2}, {"a": object()}, {1: 2}, {"$array": 1}])
def test_a_state_that_is_no_plain_data(tmp_path, state):
    class Odd(eln.Callback):
        def state(self):
            return state

    with pytest.raises(TypeError, match="save: expected "):
        build(callbacks=[Odd()]).save(tmp_path / "run")
    assert os.listdir(tmp_path) == []


# What does not fit


def saved(tmp_path, **options):
    trainer = build(callbacks=[eln.Checkpoints(tmp_path), Stop(7)], **options)
    with pytest.raises(eln.Interrupted):
        trainer.fit((X, Y), TEST, epochs=EPOCHS)
    return tmp_path / "latest.safetensors"


def refused(path, message, kind=ValueError, **options):
    """Check that a resume is refused, and that nothing changes; return the text."""
    trainer = build(**options)
    trainer.fit((X, Y), epochs=1)
    before = everything(trainer)
    with pytest.raises(kind, match=message) as caught:
        trainer.resume(path)
    assert everything(trainer) == before
    return str(caught.value)


def test_all_differences_are_listed(tmp_path):
    saved(tmp_path, settings={"case": "a", "limit": 200})
    text = refused(
        tmp_path,
        "expected the trainer of .*latest.safetensors, got differences:",
        optimizer=lambda: O.SGD(0.1),
        seed=4,
        settings={"case": "a", "limit": None},
        batch_size=10,
    )
    assert "optimizer: expected Adam(lr=0.01" in text
    assert "got SGD(lr=0.1" in text
    assert "  seed: expected 0, got 4" in text
    assert "  settings limit: expected 200, got None" in text
    assert "  batch_size: expected 20, got 10" in text
    assert "case" not in text


def test_a_schedule_that_differs_is_shown_once(tmp_path):
    def with_peak(peak):
        return build(optimizer=lambda: O.SGD(eln.schedules.OneCycle(peak, 100), momentum=0.9))

    with_peak(0.1).save(tmp_path / "run")
    with pytest.raises(ValueError, match="got differences") as caught:
        with_peak(0.2).resume(tmp_path / "run")
    message = str(caught.value)
    assert "peak=0.1" in message
    assert "peak=0.2" in message
    assert message.count("OneCycle(") == 2  # what was expected, and what came


def test_what_a_repr_does_not_show_is_told_if_nothing_else_differs(tmp_path):
    class Quiet(O.SGD):
        def __repr__(self):
            return "Quiet()"

    build(optimizer=lambda: Quiet(0.1)).save(tmp_path / "run")
    with pytest.raises(ValueError, match=r"expected Quiet\(\) with lr=0.1, got .* with lr=0.2"):
        build(optimizer=lambda: Quiet(0.2)).resume(tmp_path / "run")


def test_another_network(tmp_path):
    saved(tmp_path)
    text = refused(tmp_path, "differences", channels=5)
    assert "layer conv1: expected Conv2D(2->4, 3x3) of input, got Conv2D(2->5, 3x3)" in text


def test_a_difference_can_be_allowed(tmp_path):
    saved(tmp_path, optimizer=lambda: O.SGD(0.1, 0.9))
    trainer = build(optimizer=lambda: O.SGD(0.01, 0.9))
    trainer.resume(tmp_path, allow=["optimizer"])
    trainer.fit((X, Y), TEST, epochs=EPOCHS)
    assert trainer.history.column("learning_rate") == [0.1, 0.1, 0.01]
    message = r"got a broken one: ValueError: Adam: expected state of .* to hold \['m', 'v'\]"
    other = build()
    before = everything(other)
    with pytest.raises(ValueError, match=message):
        other.resume(tmp_path, allow=["optimizer"])
    assert everything(other) == before


def test_other_data(tmp_path):
    saved(tmp_path)
    trainer = build()
    trainer.resume(tmp_path)
    other = X + np.float32(1)
    with pytest.raises(
        ValueError, match=r"(?s)Trainer.fit: expected the data of .*, got:.* train: exp"
    ):
        trainer.fit((other, Y), TEST, epochs=EPOCHS)
    with pytest.raises(ValueError, match="  validation: expected data of SHA-256 .*, got None"):
        trainer.fit((X, Y), epochs=EPOCHS)
    trainer.fit((X, Y), TEST, epochs=EPOCHS)  # the right ones still continue
    assert_equal_runs(trainer, whole())
    trainer = build()
    trainer.resume(tmp_path, allow=["train"])
    trainer.fit((other, Y), TEST, epochs=EPOCHS)
    assert len(trainer.history) == EPOCHS


def test_no_checkpoint_there(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        refused(path, "expected a run's checkpoint, got no file", FileNotFoundError)


def test_weights_are_no_run(tmp_path):
    eln.save(build().net, tmp_path / "x")
    refused(tmp_path / "x", "as a whole run's checkpoint, got weights only; elunet.load reads them")


def test_a_damaged_checkpoint_names_the_one_before(tmp_path):
    file = saved(tmp_path)
    content = bytearray(file.read_bytes())
    content[-3] ^= 4
    file.write_bytes(content)
    text = refused(tmp_path, "got another SHA-256: the file is damaged")
    assert text.endswith(f"The checkpoint before it is {tmp_path / 'previous.safetensors'}.")
    trainer = build()
    trainer.resume(tmp_path / "previous.safetensors")
    trainer.fit((X, Y), TEST, epochs=EPOCHS)
    assert_equal_runs(trainer, whole())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x05N."])
def test_other_files(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    refused(tmp_path / "x", "Trainer.resume: expected .*x as a safetensors file, got")


def edited(file, change):
    """Write a checkpoint whose content was changed and whose SHA-256 is right all the same."""
    arrays, note = decode("test", file, file.read_bytes())
    tree = json.loads(note)
    change(tree, arrays)
    file.write_bytes(encode(arrays, json.dumps(tree)))


@pytest.mark.parametrize(
    "change",
    [
        lambda tree, arrays: tree.pop("router"),
        lambda tree, arrays: tree.update(router={"epoch": -1}),
        lambda tree, arrays: tree.update(optimizer=None),
        lambda tree, arrays: tree["optimizer"].update(steps=-1),
        lambda tree, arrays: tree["optimizer"].update(steps="7"),
        lambda tree, arrays: tree["optimizer"]["buffers"].popitem(),
        lambda tree, arrays: tree["optimizer"]["buffers"]["conv1.W"].update(m={"$array": "none"}),
        lambda tree, arrays: tree["optimizer"]["buffers"].update({"conv1.W": {"m": 1, "v": 2}}),
        lambda tree, arrays: arrays.update({".optimizer.buffers.conv1.W.m": np.float32([1, 2])}),
        lambda tree, arrays: arrays[".optimizer.buffers.conv1.W.m"].fill(np.nan),
        lambda tree, arrays: arrays["conv1.W"].fill(np.inf),
        lambda tree, arrays: arrays.pop("conv1.W"),
        lambda tree, arrays: arrays.update(more=np.zeros(3)),
        lambda tree, arrays: tree["layers"]["generators"].pop("dropout1"),
        lambda tree, arrays: tree["layers"]["generators"].update(
            dropout1={"bit_generator": "MT19937"}
        ),
        lambda tree, arrays: tree["position"].update(history="epoch\n1"),
        lambda tree, arrays: tree["position"].update(mean=[1, 2]),
        lambda tree, arrays: tree["position"].pop("begun"),
        lambda tree, arrays: tree["position"].update(losses="much"),
        lambda tree, arrays: tree.update(setup=3),
        lambda tree, arrays: tree.update(callbacks=[["Counter", {}]]),
        lambda tree, arrays: tree.update(kind="walk"),
    ],
)
def test_a_checkpoint_that_makes_no_sense(tmp_path, change):
    file = saved(tmp_path)
    edited(file, change)
    refused(file, "Trainer.resume: ")


def test_another_format_is_told_apart(tmp_path):
    file = saved(tmp_path)
    edited(file, lambda tree, arrays: tree.pop("format"))
    refused(file, "of format 3, got 1: another version of elunet wrote it; elunet.load can read")


def test_deep_json_is_refused(tmp_path):
    file = saved(tmp_path)
    arrays, _ = decode("test", file, file.read_bytes())
    file.write_bytes(encode(arrays, "[" * 100_000))
    refused(file, "got a broken one: RecursionError")


def test_broken_batches_are_told_by_fit(tmp_path):
    file = saved(tmp_path)
    edited(file, lambda tree, arrays: tree["batches"].update(position=-1))
    trainer = build()
    trainer.resume(file)
    with pytest.raises(ValueError, match=r"Batches\.restore: expected position of at least 0"):
        trainer.fit((X, Y), TEST, epochs=EPOCHS)


def test_other_versions_are_warned_of(tmp_path):
    file = saved(tmp_path)
    edited(file, lambda tree, arrays: tree["versions"].update(numpy="1.0", threads=77))
    with pytest.warns(RuntimeWarning, match=r"made with numpy 1\.0, here .*; threads 77, here"):
        build().resume(file)
    build().resume(file, allow=["numpy", "threads"])


def test_what_a_checkpoint_says_of_itself(tmp_path):
    saved(tmp_path, settings={"case": "d", "seed": 3})
    found = about(tmp_path)
    assert found.settings == {"case": "d", "seed": 3}
    assert (found.step, len(found.history)) == (7, 1)
    assert found.setup["loss"] == "SoftmaxCrossEntropy()"
    assert found.versions["numpy"] == np.__version__
    assert rows(found.history) == rows(whole().history[:1])


def test_settings_are_plain_data():
    with pytest.raises(TypeError, match="Trainer: expected settings as plain data for JSON"):
        build(settings={"x": object()})
    assert build(settings={"sizes": (1, 2)}).settings == {"sizes": [1, 2]}


def test_functions_are_told_apart_by_name_not_by_address(tmp_path):
    def schedule(step):
        return 0.01

    def make():
        def schedule(step):
            return 0.01

        return O.SGD(schedule)

    file = saved(tmp_path, optimizer=make)
    build(optimizer=make).resume(file)
    assert "0x" not in json.dumps(about(file).setup)


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step(tmp_path, number, capfd):
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    trainer = build(callbacks=[eln.Checkpoints(tmp_path), Stop(3, number)])
    with pytest.raises(eln.Interrupted, match=r"trainer\.resume\(.*the same call of fit") as caught:
        trainer.fit((X, Y), TEST, epochs=EPOCHS)
    assert caught.value.checkpoint == tmp_path / "latest.safetensors"
    assert (caught.value.signal, caught.value.step) == (number, 3)
    assert str(caught.value).startswith(f"{signal.Signals(number).name} ended the run after step 3")
    assert "finishing this step, then leaving; again: at once" in capfd.readouterr().err
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_second_signal_leaves_at_once():
    class Twice(eln.Callback):
        def on_backward(self, trainer, dy, target):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("it should have left")

    with pytest.raises(KeyboardInterrupt) as caught:
        build(callbacks=[Twice()]).fit((X, Y))
    assert not isinstance(caught.value, eln.Interrupted)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_somebody_elses_handler_stays():
    heard = []

    class Once(eln.Callback):
        def on_step(self, trainer, loss):
            if trainer.optimizer.steps == 1:
                signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *arguments: heard.append(1))
    try:
        build(callbacks=[Once()]).fit((X, Y))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [1]


def test_another_thread_touches_no_handler():
    errors = []

    def work():
        try:
            build().fit((X, Y))
        except BaseException as error:
            errors.append(error)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to send there")
def test_a_second_sigterm_ends_the_process(tmp_path):
    import subprocess

    code = (
        "import small_runs as runs, signal, elunet as eln\n"
        "class Twice(eln.Callback):\n"
        "    def on_backward(self, trainer, dy, target):\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        print('still here', flush=True)\n"
        "runs.build(callbacks=[Twice()]).fit(runs.blobs())\n"
    )
    folder = os.path.dirname(os.path.dirname(__file__))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([folder, os.path.dirname(folder)])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert done.stdout == b""


def test_a_run_that_could_not_start_can_still_go_on(tmp_path):
    saved(tmp_path)
    (tmp_path / "taken").write_text("")
    trainer = build(callbacks=[eln.Checkpoints(tmp_path / "taken")])
    trainer.resume(tmp_path)
    with pytest.raises(OSError, match="taken"):
        trainer.fit((X, Y), TEST, epochs=EPOCHS)
    trainer.callbacks.clear()
    trainer.fit((X, Y), TEST, epochs=EPOCHS)
    assert_equal_runs(trainer, whole())
