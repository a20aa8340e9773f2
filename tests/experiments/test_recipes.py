"""The recipes hold what their sources say, and prepare images as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import elunet as eln
from elunet.experiments.recipes import RECIPES, DropoutRamp


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    return eln.data.make_shapes(40, seed=0)[0], eln.data.make_shapes(10, seed=1)[0]


@pytest.mark.parametrize("name", ["quick", "a", "d"])
def test_pictures_become_float32(name, images):
    train, test = RECIPES[name].prepare(*images)
    assert train.dtype == test.dtype == np.float32
    assert train.shape == images[0].shape
    if name == "quick":
        np.testing.assert_allclose(train.mean(axis=(0, 1, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(train.std(axis=(0, 1, 2)), 1, atol=1e-4)
    else:
        assert (train.min(), train.max()) == (0, 1)


def test_the_papers_schedule_is_scaled_to_the_run():
    optimizer = RECIPES["paper"].optimizer(330, 500)
    rates = [optimizer.lr(step) for step in (0, 34_999, 35_000, 84_999, 85_000, 135_000, 164_999)]
    assert rates == [0.01, 0.01, 0.005, 0.005, 0.0005, 0.00005, 0.00005]
    assert (optimizer.momentum, optimizer.l2, optimizer.nesterov) == (0.9, 0.0005, False)
    half = RECIPES["paper"].optimizer(165, 500)
    assert [half.lr(step) for step in (17_499, 17_500, 67_500)] == [0.01, 0.005, 0.00005]
    assert RECIPES["paper"].callbacks(330) == []


def test_a_short_run_of_the_papers_case_has_a_schedule_of_its_own():
    optimizer = RECIPES["paper"].optimizer(3, 500)
    assert (optimizer.lr.peak, optimizer.lr.total, optimizer.clip_norm) == (0.05, 1500, 2.0)
    (ramp,) = RECIPES["paper"].callbacks(3)
    assert (ramp.first, ramp.last) == (0.3, 0.3)


def test_case_d_is_the_articles():
    optimizer = RECIPES["d"].optimizer(200, 500)
    assert isinstance(optimizer, eln.optim.Adam)
    assert optimizer.l2 == 1e-4
    rates = [optimizer.lr(epoch) for epoch in (0, 24, 25, 50, 100, 199)]
    assert rates == [1e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5, 1.25e-5]
    assert RECIPES["d"].epochs == 200
    assert not any(name.endswith(".b") for name in RECIPES["d"].network(0).parameters())


def test_case_a_is_the_articles():
    optimizer = RECIPES["a"].optimizer(1000, 500)
    assert (optimizer.lr, optimizer.momentum, optimizer.l2) == (1e-5, 0.9, 0)
    assert RECIPES["a"].epochs == 1000


def test_case_b_is_the_articles():
    router = RECIPES["b"].router(3)
    assert isinstance(router, eln.routers.FeedbackAlignment)
    assert (router.distribution, router.seed) == (eln.init.Uniform(-0.5, 0.5), 3)
    assert RECIPES["b"].optimizer(85, 500).lr == 1e-5


@pytest.mark.parametrize(
    ("case", "rates"), [("c", [0.003, 0.003 / 1.9, 0.003 / 10]), ("e", [1, 1 / 6, 1 / 51])]
)
def test_cases_c_and_e_dilate_at_the_articles_rate(case, rates):
    router = RECIPES[case].router(0)
    assert isinstance(router, eln.routers.DilatedBackprop)
    found = []
    for router.epoch in (0, 1, 10):
        found.append(router.rate)
    np.testing.assert_allclose(found, rates)


def test_case_e_mixes_two_optimizers():
    net = RECIPES["e"].network(0)
    optimizer = RECIPES["e"].optimizer(200, 500)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    net.backward(net.forward(x, train=True))
    optimizer.step(net)
    slots = {name: set(state) for name, state in optimizer.buffers.items()}
    assert slots["conv1.W"] == slots["conv11.W"] == {"velocity"}
    assert slots["conv2.W"] == slots["conv10.W"] == {"m", "v"}
    optimizer.epoch = 25
    assert optimizer.learning_rate() == 8e-5


@pytest.mark.parametrize("case", ["a", "b", "c", "d", "e"])
def test_every_case_takes_a_step(case):
    recipe = RECIPES[case]
    train, _ = recipe.prepared(eln.data.make_shapes(2), eln.data.make_shapes(2))
    trainer = recipe.trainer(2, epochs=1)
    before = {name: value.copy() for name, value in trainer.net.parameters().items()}
    trainer.fit(train)
    for name, value in trainer.net.parameters().items():
        assert not np.array_equal(value, before[name]), name


def test_a_trainer_is_the_recipes():
    recipe = RECIPES["e"]
    log = eln.Callback()
    trainer = recipe.trainer(250, epochs=4, seed=7, callbacks=[log], progress=False)
    assert recipe.steps(250) == 3
    assert repr(trainer.net) == repr(recipe.network(7))
    assert repr(trainer.router) == repr(recipe.router(7))
    assert (trainer.batch_size, trainer.seed, trainer.augment) == (100, 7, None)
    assert isinstance(trainer.optimizer, eln.optim.PerLayer)
    assert trainer.callbacks == [log]
    quick = RECIPES["quick"].trainer(250)
    assert quick.optimizer.lr.total == 15 * 3
    assert [type(one).__name__ for one in quick.callbacks] == ["DropoutRamp"]
    assert quick.augment is eln.data.pad_crop_flip


def test_an_epochs_time_is_estimated():
    small = replace(RECIPES["d"], network=lambda seed: eln.models.elu11(widths=(2,) * 10, seed=0))
    assert 0 < small.seconds_per_epoch(200, 100) < 60


def test_dropout_ramps_between_its_ends():
    net = eln.models.elu11(widths=(4,) * 10)
    trainer = eln.Trainer(net, eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1))
    ramp = DropoutRamp(0.3, 0.8, epochs=6)
    rates = []
    for epoch in range(6):
        ramp.on_epoch_start(trainer, epoch)
        rates.append(net["dropout5"].rate)
    np.testing.assert_allclose(rates, 0.5 * np.linspace(0.3, 0.8, 6))
    ramp.on_epoch_start(trainer, 9)
    assert rates[-1] == net["dropout5"].rate
    ramp.on_fit_end(trainer)
    assert net["dropout5"].rate == 0.5
    ramp.on_fit_start(trainer)  # of a run that is in the middle of its first epoch
    assert net["dropout5"].rate == 0.15


@pytest.mark.parametrize("arguments", [(-0.1, 1, 3), (0.5, 1.2, 3), (0.5, 1, 0)])
def test_a_ramp_out_of_range_is_refused(arguments):
    with pytest.raises(ValueError, match="DropoutRamp: expected (first|last|epochs)"):
        DropoutRamp(*arguments)


def test_the_paper_whitens():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (60, 4, 4, 3), dtype=np.uint8)
    train, test = RECIPES["paper"].prepare(small, small[:5])
    np.testing.assert_allclose(train[:5], test, rtol=1e-5, atol=1e-5)
    assert train.dtype == np.float32


def test_the_long_recipe_smooths_labels_and_whitens():
    recipe = RECIPES["long"]
    assert recipe.loss().label_smoothing == 0.1
    assert recipe.prepare is RECIPES["paper"].prepare
    assert repr(recipe.optimizer(40, 500)) == repr(RECIPES["quick"].optimizer(40, 500))
