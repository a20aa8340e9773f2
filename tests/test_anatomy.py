"""The anatomy's bugs are found, its switches do what they say, and its page shows its numbers."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import elunet as eln
from elunet.experiments.recipes import RECIPES
from elunet.layers import ELU, MeanPool2D
from elunet.routers import DilatedBackprop
from elunet.storage import tables
from elunet.testing import GradientCheckError

ROOT = Path(__file__).parents[1]


def load_example():
    spec = importlib.util.spec_from_file_location("anatomy", ROOT / "examples" / "anatomy.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["anatomy"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


anatomy = load_example()


@pytest.fixture(scope="module")
def images():
    return eln.data.make_shapes(120, seed=0)


@pytest.mark.parametrize(
    ("bug", "said"),
    [
        ("elu", "wrong only where x > 0, there analytic = 2 x numeric"),
        ("pool", "a missing factor 1/4, the window's area"),
        ("adam", "1 - beta instead of 1 - beta**t"),
        ("summed", "a missing 1/100: the value is a mean over the batch, its gradient is not"),
        ("constant", "conv1.W is wrong at 108 of 108 entries"),
    ],
)
def test_each_bug_is_found(bug, said):
    with pytest.raises(GradientCheckError) as caught:
        anatomy.CHECKS[bug]()
    assert said in " ".join(str(caught.value).split())


def test_every_bug_has_a_check():
    assert set(anatomy.CHECKS) == set(asdict(anatomy.Bugs())) - {"logits"}


def test_without_the_constant_the_dilated_rule_passes_its_check():
    anatomy.check_constant(DilatedBackprop(proportion=0.003, decay=0.9))


def test_showing_the_checks_prints_every_message(capsys):
    anatomy.main(["--check"])
    assert capsys.readouterr().out.count("is wrong at") == 4  # and Adam, which "differs"


@pytest.mark.parametrize("case", ["b", "c", "d", "e"])
def test_without_bugs_a_run_is_the_recipe_s_own_bit_for_bit(case, images):
    recipe = RECIPES[case]
    train, _ = recipe.prepared(images, images)
    faultless = anatomy.recipe_of(anatomy.Setup(case=case), anatomy.Bugs())
    own, assembled = recipe.trainer(120, 1, seed=3), faultless.trainer(120, 1, seed=3)
    for trainer in (own, assembled):
        trainer.fit(train, epochs=1)
    assert own.history[-1].train_loss == assembled.history[-1].train_loss
    weights, others = own.net.parameters(), assembled.net.parameters()
    assert list(weights) == list(others)
    for name, value in weights.items():
        np.testing.assert_array_equal(value, others[name])


def test_a_switch_replaces_what_it_says_and_nothing_else():
    grid = anatomy.variants("c")
    assert list(grid) == [
        "correct",
        *(f"with-{name}" for name in ("elu", "pool", "adam", "summed", "constant", "logits")),
        "all",
        *(f"without-{name}" for name in ("elu", "pool", "adam", "summed", "constant")),
        "all-logits",
    ]
    setup = anatomy.Setup(case="c", width=0.1)
    for bugs in grid.values():
        trainer = anatomy.recipe_of(setup, bugs).trainer(100, 1)
        elus = [layer for layer in trainer.net.layers if isinstance(layer, ELU)]
        pools = [layer for layer in trainer.net.layers if isinstance(layer, MeanPool2D)]
        assert len(elus) == 10 + bugs.logits
        assert {isinstance(layer, anatomy.DoubledELU) for layer in elus} == {bugs.elu}
        assert {isinstance(layer, anatomy.RepeatedMeanPool2D) for layer in pools} == {bugs.pool}
        assert isinstance(trainer.optimizer, anatomy.UncorrectedAdam) == bugs.adam
        assert isinstance(trainer.loss, anatomy.SummedCrossEntropy) == bugs.summed
        assert isinstance(trainer.router, anatomy.BareConstant) == bugs.constant


def test_case_e_has_the_bug_only_where_it_has_adam():
    setup = anatomy.Setup(case="e", width=0.1, rate=2.0)
    optimizer = anatomy.recipe_of(setup, anatomy.Bugs(adam=True)).optimizer(1, 1)
    kinds = {name: type(part).__name__ for name, part in optimizer.optimizers.items()}
    assert kinds["conv1.*"] == "SGD"
    assert kinds["conv2.*"] == "UncorrectedAdam"
    assert {part.learning_rate() for part in optimizer.optimizers.values()} == {2e-4}
    assert {part.l2 for part in optimizer.optimizers.values()} == {2e-4}


def test_in_the_long_run_the_bug_makes_adam_s_steps_a_third():
    weights = []
    for kind in (eln.optim.Adam, anatomy.UncorrectedAdam):
        w, state = np.zeros(3), {"m": np.zeros(3), "v": np.zeros(3)}
        optimizer = kind(1e-3)
        for optimizer.steps in range(10_000):
            before = w.copy()
            optimizer.update(w, np.array([1e-3, 1.0, 1e3]), state, 1e-3)
        weights.append(w - before)
    np.testing.assert_allclose(weights[1] / weights[0], 10 / math.sqrt(1000), rtol=2e-3)


def test_a_narrow_network_s_signals_keep_their_size(images):
    x, _ = RECIPES["e"].prepare(images[0][:10], images[0][:1])
    sizes = []
    for width in (1.0, 0.25):
        outputs = {}
        net = anatomy.narrow("e", width, 0)
        net.forward(x, tap=lambda name, y, outputs=outputs: outputs.update({name: np.std(y)}))
        sizes.append([outputs[name] for name in ("conv1", "conv4", "conv7")])
    np.testing.assert_allclose(sizes[0], sizes[1], rtol=0.5)
    assert net["conv2"].params["W"].shape == (1, 1, 48, 48)


SMALL = ["--case", "b", "--limit", "100", "--epochs", "2", "--variants", "correct", "with-elu"]


def test_a_grid_is_written_and_gone_on_with(tmp_path, capsys):
    out = ["--out", str(tmp_path)]
    anatomy.main([*SMALL, *out])
    first = capsys.readouterr().out
    assert first.count("seed 0") == 2
    rows = tables.read("test", tmp_path / "anatomy.csv", anatomy.Point)
    assert [(row.variant, row.step) for row in rows] == [
        (name, step) for name in ("correct", "with-elu") for step in (1, 2)
    ]
    assert (tmp_path / "anatomy.png").stat().st_size > 10_000

    (tmp_path / "runs" / "with-elu-0.csv").unlink()
    content = (tmp_path / "anatomy.csv").read_bytes()
    anatomy.main([*SMALL, *out])
    again = capsys.readouterr().out
    assert "seed 0  with-elu" in again
    assert "seed 0  correct" not in again
    assert (tmp_path / "anatomy.csv").read_bytes() == content
    assert again.partition("|")[2] == first.partition("|")[2]

    with pytest.raises(SystemExit, match="is of another grid"):
        anatomy.main([*SMALL, *out, "--rate", "11"])
    with pytest.raises(SystemExit, match="expected names among correct, with-elu"):
        anatomy.main([*SMALL[:-2], "with-nothing", *out])


def test_a_run_that_breaks_is_a_result(images):
    setup = anatomy.Setup(case="e", width=0.25, epochs=5)
    x, _ = RECIPES["e"].prepare(images[0], images[0][:1])
    with np.errstate(all="ignore"):
        points = anatomy.run(setup, "all", 0, (x, images[1]), (x[:50], images[1][:50]))
    assert points[-1].stopped
    assert "| all | NaN after step" in anatomy.table(points)


@pytest.mark.parametrize("file", sorted((ROOT / "docs" / "data").glob("anatomy-*.csv")))
def test_the_page_s_tables_are_those_of_the_published_runs(file):
    page = (ROOT / "docs" / "anatomy.md").read_text("utf-8")
    expected = anatomy.table(tables.read("test", file, anatomy.Point)).splitlines()[2:]
    shown = {re.sub(r"[*\\]", "", line) for line in page.splitlines()}
    missing = [line for line in expected if line not in shown]
    assert not missing
