"""The examples beside the main job do what they say."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import elunet as eln
from elunet.experiments.recipes import RECIPES
from elunet.storage import tables

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


case_b, activations, trained = load("case_b"), load("activations"), load("trained_elu11")


def test_case_b_s_variants_change_what_they_say():
    found = case_b.variants()
    assert found["stated"] is RECIPES["b"]
    for name, recipe in found.items():
        net, rate = recipe.network(0), recipe.optimizer(1, 1).lr
        normed = any(isinstance(layer, eln.layers.BatchNorm) for layer in net)
        assert normed == (name in ("with-norm", "all"))
        assert (rate == case_b.RATE) == (name in ("with-rate", "all"))


def test_case_b_runs_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(eln.data, "make_shapes", lambda count, seed: small(count // 50, seed))
    command = ["--epochs", "1", "--variants", "stated", "all", "--out", str(tmp_path)]
    case_b.main(command)
    first = capsys.readouterr().out.splitlines()
    case_b.main(command)
    again = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in first[:2]] == ["stated", "all"]
    assert again == first[2:]  # the table alone: nothing was trained
    assert (tmp_path / "series.csv").exists()


make = eln.data.make_shapes


def small(count, seed):
    return make(count, seed=seed)


@pytest.mark.jit
def test_activations_choose_their_rates_and_measure_means(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(eln.data, "make_shapes", lambda count, seed: small(count // 20, seed))
    monkeypatch.setattr(activations, "RATES", (0.02, 1e30))
    command = ["--width", "0.03", "--activations", "elu", "relu", "--out", str(tmp_path)]
    activations.main(command)
    out = capsys.readouterr().out
    for name in ("elu", "relu", "elu-norm", "relu-norm"):
        assert f"{name}: learning rate 0.02" in out  # the other one diverged
    means = tables.read("test", tmp_path / "means.csv", activations.MeanActivation)
    assert [mean.depth for mean in means if mean.recipe == "elu"] == list(range(1, 11))
    assert min(mean.mean for mean in means if mean.recipe.startswith("relu")) >= 0
    net = activations.recipe_of("lrelu", True, 0.1, 1.0).network(0)
    kinds = [type(layer).__name__ for layer in net]
    assert kinds[:3] == ["Conv2D", "BatchNorm", "LeakyReLU"]
    assert kinds.count("LeakyReLU") == kinds.count("BatchNorm") == 10


@pytest.mark.jit
def test_the_trained_network_is_evaluated_class_by_class(tmp_path, monkeypatch, capsys):
    data = make(40, seed=0), make(30, seed=1)
    monkeypatch.setattr(eln.data, "load_cifar10", lambda path: data)
    quick = dataclasses.replace(RECIPES["long"], prepare=RECIPES["quick"].prepare)
    monkeypatch.setitem(trained.RECIPES, "long", quick)
    net = eln.models.elu11(seed=1)
    eln.save(net, tmp_path / "net.safetensors")
    trained.main(["--weights", str(tmp_path / "net.safetensors"), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    _, (x, y) = quick.prepared(*data)
    outputs = net.forward(x)
    right = 100 * (outputs.argmax(axis=1) == y).mean()
    loss, _ = eln.losses.SoftmaxCrossEntropy()(outputs, y)
    assert f"one pass: {right:.2f} % of 30 images, cross-entropy {loss:.3f}" in said
    assert "with mirror images: " in said
    rows = tables.read("test", tmp_path / "out" / "classes.csv", trained.ClassRow)
    assert sum(row.images for row in rows) == 30
    assert sum(row.images * row.accuracy for row in rows) == pytest.approx(0.3 * right)
    for label, row in enumerate(rows):
        mistakes = outputs.argmax(axis=1)[(y == label) & (outputs.argmax(axis=1) != label)]
        assert row.times == np.bincount(mistakes, minlength=10).max()
    assert (tmp_path / "out" / "confusion.png").stat().st_size > 1000
