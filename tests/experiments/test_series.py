"""A series trains what is missing, keeps what is there, and says what diverged."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import elunet as eln
from elunet.experiments import SeriesRow, series, series_table
from elunet.experiments.recipes import RECIPES
from elunet.storage import tables

TRAIN, TEST = eln.data.make_shapes(60, seed=0), eln.data.make_shapes(30, seed=1)
SMALL = replace(
    RECIPES["quick"],
    network=lambda seed: eln.models.small_cnn(widths=(2, 2, 2), seed=seed),
    batch_size=20,
)


def test_each_run_is_the_recipes_own(tmp_path):
    rows = series({"one": SMALL}, TRAIN, TEST, 2, tmp_path, seeds=2, log=str)
    assert [(row.seed, row.epoch) for row in rows] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    trainer = SMALL.trainer(60, 2, seed=1)
    history = trainer.fit(*SMALL.prepared(TRAIN, TEST), epochs=2)
    assert rows[3].train_loss == history[1].train_loss
    assert rows[3].test_accuracy == history[1].validation_accuracy
    assert tables.read("test", tmp_path / "series.csv", SeriesRow) == rows


def test_what_is_there_is_not_made_again(tmp_path):
    said = []
    first = series({"one": SMALL}, TRAIN, TEST, 1, tmp_path, log=said.append)
    two = {"one": SMALL, "two": replace(SMALL, augment=None)}
    rows = series(two, TRAIN, TEST, 1, tmp_path, log=said.append)
    assert rows[0] == first[0]
    assert [line.split(",")[0] for line in said] == ["one", "two"]
    with pytest.raises(ValueError, match="series: expected 3 epochs in .*one-0.csv, got 1"):
        series({"one": SMALL}, TRAIN, TEST, 3, tmp_path, log=str)


def test_a_run_that_was_cut_is_resumed(tmp_path):
    class Cut(eln.Callback):
        def on_epoch_end(self, trainer, row):
            if row.epoch == 1:
                raise OSError("cut")

    whole = series({"one": SMALL}, TRAIN, TEST, 2, tmp_path / "whole", log=str)
    cut = replace(SMALL, callbacks=lambda epochs: [*SMALL.callbacks(epochs), Cut()])
    with pytest.raises(OSError, match="cut"):
        series({"one": cut}, TRAIN, TEST, 2, tmp_path / "cut", log=str)
    rows = series({"one": SMALL}, TRAIN, TEST, 2, tmp_path / "cut", log=str)
    strip = [replace(row, seconds=0) for row in rows]
    assert strip == [replace(row, seconds=0) for row in whole]


def test_a_run_that_diverges_is_a_row(tmp_path):
    broken = replace(SMALL, optimizer=lambda epochs, steps: eln.optim.SGD(1e30))
    said = []
    rows = series({"broken": broken, "one": SMALL}, TRAIN, TEST, 2, tmp_path, log=said.append)
    assert [row.diverged for row in rows] == [True, False, False]
    assert said[0] == "broken, seed 0: diverged in epoch 1"
    assert "| broken (1 of 1 diverged) |  |  |  |" in series_table(rows)
    again = series({"broken": broken, "one": SMALL}, TRAIN, TEST, 2, tmp_path, log=said.append)
    assert len(said) == 2
    assert math.isnan(again[0].train_loss)


def test_the_table_has_means_and_intervals():
    rows = [SeriesRow("a", s, 1, 1.0, 0.5, 1.0, 0.25 + s / 100, 1.0) for s in range(3)]
    mean, half = eln.experiments.t_interval([25.0, 26.0, 27.0])
    assert f"| a | 1.000 ± 0.000 | 50.0 ± 0.0 | {mean:.1f} ± {half:.1f} |" in series_table(rows)
    np.testing.assert_allclose(mean, 26)
