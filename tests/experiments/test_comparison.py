"""Comparing rules: fair by construction, resumable, and honest about what weakens it."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import elunet as eln
from elunet import routers
from elunet.experiments import Comparison, Trial
from elunet.experiments.grid import Order
from elunet.experiments.trials import SWEEP_SEED, baselines

RULES = {"backprop": lambda seed: routers.Backprop(), "fa": routers.FeedbackAlignment}
L = eln.layers


def network(seed):
    return eln.Sequential([L.Flatten(), L.Linear(4, 8), L.ELU(), L.Linear(8, 3)], seed=seed)


@pytest.fixture(scope="module")
def data():
    """Three clouds of 2 x 2 "images": to train on, to choose on, to test on."""
    rng = np.random.default_rng(0)
    centers = rng.normal(0, 3, (3, 2, 2, 1))
    y = rng.integers(0, 3, 150)
    x = (centers[y] + rng.normal(0, 1, (150, 2, 2, 1))).astype(np.float32)
    return (x[:90], y[:90]), (x[90:120], y[90:120]), (x[120:], y[120:])


def compare(data, folder, **changes):
    options = {"rates": (0.001, 0.01, 0.1), "epochs": 2, "seeds": 2, "batch_size": 10, "log": None}
    options |= {"executor": 1}
    options |= changes
    rules, net = options.pop("rules", RULES), options.pop("network", network)
    return eln.compare(net, rules, *data, folder=folder, **options)


@pytest.fixture(scope="module")
def result(data, tmp_path_factory):
    with pytest.warns(UserWarning, match="edge of the grid") as caught:
        result = compare(data, tmp_path_factory.mktemp("rules"), angles_every=9, null=2)
    assert len(caught) == len(result.warnings)
    return result


def test_every_rule_and_baseline_has_its_runs(result):
    assert result.rules == ("backprop", "fa", "last layer only", "linear", "shallow")
    for rule in result.rules:
        assert [run.rate for run in result.of(rule, "sweep")] == [0.001, 0.01, 0.1]
        assert {run.seed for run in result.of(rule, "sweep")} == {SWEEP_SEED}
        assert [run.seed for run in result.of(rule)] == [0, 1]
        assert {run.rate for run in result.of(rule)} == {result.best_rates[rule]}
        assert len(result.histories(rule)) == 2
    assert all(math.isnan(run.test_accuracy) for run in result.trials if run.stage == "sweep")


def test_a_final_run_is_a_training_that_one_could_have_made_by_hand(result, data):
    net = network(1)
    optimizer = eln.optim.SGD(result.best_rates["fa"], momentum=0.9)
    loss = eln.losses.SoftmaxCrossEntropy()
    rule = routers.FeedbackAlignment(1)
    trainer = eln.Trainer(net, loss, optimizer, rule, batch_size=10, seed=1)
    history = trainer.fit(data[0], data[1], epochs=2)
    run = result.of("fa")[1]
    assert (run.train_loss, run.validation_accuracy) == (
        history[-1].train_loss,
        history[-1].validation_accuracy,
    )
    assert run.test_accuracy == eln.evaluate(net, *data[2], loss)[1]


def test_rules_start_from_the_same_weights_and_see_the_same_order(result, data, tmp_path):
    """With the same rule under two names, nothing differs."""
    same = {"one": RULES["backprop"], "other": RULES["backprop"]}
    with pytest.warns(UserWarning, match="edge"):
        twins = compare(data, tmp_path, rules=same, baselines=False)
    assert twins.difference("other") == (0, 0)
    assert [run.test_accuracy for run in twins.of("one")] == [
        run.test_accuracy for run in result.of("backprop")
    ]


def test_the_last_layer_alone_learns_alone(data):
    entry = baselines(network, data[0])["last layer only"]
    assert entry.frozen
    assert not entry.is_rule
    net, before = entry.network(0), network(0).parameters()
    optimizer = eln.optim.PerLayer(
        {"linear2.*": eln.optim.SGD(0.1, l2=0.1), "*": eln.optim.SGD(0.0)}
    )
    loss = eln.losses.SoftmaxCrossEntropy()
    eln.Trainer(net, loss, optimizer, batch_size=10).fit(data[0])
    changed = [name for name, p in net.parameters().items() if not np.array_equal(p, before[name])]
    assert changed == ["linear2.W", "linear2.b"]


def test_it_can_be_read_again(result):
    again = Comparison.read(result.folder)
    assert again.table() == result.table()
    assert again.histories("fa") == result.histories("fa")
    assert again.warnings == result.warnings


def test_angles_are_kept_for_rules_only(result):
    assert {row.step for row in result.angles("fa", 1)} == {0, 9}
    assert result.angles("linear") == []


def test_a_cut_comparison_goes_on(result, data, monkeypatch, tmp_path):
    """Cut after each run in turn, it makes no run twice and ends with the same table."""
    made = []

    class CutError(Exception):
        pass

    def note(text):
        made.append(text)
        if len(made) % 4 == 0:
            raise CutError

    options = {"angles_every": 9, "null": 2, "log": note}
    for _ in range(20):
        try:
            with pytest.warns(UserWarning, match="edge"):
                again = compare(data, tmp_path, **options)
            break
        except (CutError, pytest.fail.Exception):
            continue
    assert len(made) == len(result.trials)
    plain = [[run.__dict__ | {"seconds": 0} for run in c.trials] for c in (again, result)]
    assert str(plain[0]) == str(plain[1])
    assert again.table() == result.table()


def test_another_comparison_in_the_folder_is_refused(result, data):
    with pytest.raises(
        ValueError, match=r"a comparison with different epochs, batch_size \(see settings.json"
    ):
        compare(data, result.folder, epochs=3, batch_size=30, angles_every=9, null=2)
    other = [(x + 1, y) for x, y in data]
    with pytest.raises(ValueError, match="different data"):
        compare(other, result.folder, angles_every=9, null=2)
    rules = RULES | {"fa": lambda seed: routers.FeedbackAlignment(seed + 1)}
    with pytest.raises(ValueError, match="different rules"):
        compare(data, result.folder, rules=rules, angles_every=9, null=2)


def test_more_seeds_can_be_added(result, data, tmp_path):
    with pytest.warns(UserWarning, match="edge"):
        compare(data, tmp_path, seeds=1, baselines=False)
    made = []
    with pytest.warns(UserWarning, match="edge"):
        more = compare(data, tmp_path, seeds=3, baselines=False, log=made.append)
    assert [text.split(",")[0] for text in made] == ["final backprop", "final fa"] * 2
    assert "; 9 of 12, about " in made[0]
    assert len(more.of("fa")) == 3


def without_seconds(trials):
    return sorted(str(vars(trial) | {"seconds": 0}) for trial in trials)


def test_rules_rates_and_seeds_can_be_added(result, data, tmp_path):
    """The larger comparison is the one that was made at once, and trains only what is new."""
    options = {"angles_every": 9, "null": 2}
    with pytest.warns(UserWarning, match="edge"):
        small = compare(
            data,
            tmp_path,
            rules={"fa": RULES["fa"]},
            rates=(0.01, 0.001),
            seeds=1,
            baselines=False,
            **options,
        )
    made = []
    with pytest.warns(UserWarning, match="edge"):
        large = compare(data, tmp_path, log=made.append, **options)
    assert large.table() == result.table() == Comparison.read(tmp_path).table()
    assert without_seconds(large.trials) == without_seconds(result.trials)
    kept = {trial.key for trial in small.trials} & {trial.key for trial in large.trials}
    assert len(made) == len(large.trials) - len(kept)
    for seed in (0, 1):
        assert large.angles("fa", seed) == result.angles("fa", seed)
    losses = [[h.column("train_loss") for h in c.histories("fa")] for c in (large, result)]
    assert losses[0] == losses[1]


def test_a_rule_may_be_left_out_and_keeps_its_trials(result, data):
    before = (result.folder / "trials.csv").read_text()
    made = []
    with pytest.warns(UserWarning, match="edge"):
        fewer = compare(
            data,
            result.folder,
            rules={"fa": RULES["fa"]},
            baselines=False,
            angles_every=9,
            null=2,
            log=made.append,
        )
    assert (fewer.rules, made) == (("fa",), [])
    assert (result.folder / "trials.csv").read_text() == before
    assert set(Comparison.read(result.folder).rules) == set(result.rules)
    with pytest.raises(ValueError, match="different rates"):
        compare(data, result.folder, rates=(0.01, 0.1), angles_every=9, null=2)


def test_final_trials_of_a_rate_that_is_no_longer_the_best_go():
    rates = [run("a", rate, SWEEP_SEED, rate, "sweep") for rate in (0.01, 0.1)]
    old, new, kept = (run(rule, rate, 0, 0.5) for rule, rate in (("a", 0.01), ("a", 0.1), ("b", 1)))
    order = Order({"a": [""]}, (0.01, 0.1, 0.3), 1, 1, [*rates, old, kept])
    assert order.table() == [*rates, old, kept], "the sweep of 0.3 may still choose 0.01"
    order = Order({"a": [""]}, (0.01, 0.1), 1, 1, [*rates, old, new, kept])
    assert order.trials() == [*rates, new]
    assert order.table() == [*rates, new, kept]


def test_attacks_on_the_final_networks(data, tmp_path):
    with pytest.warns(UserWarning, match="edge"):
        result = compare(data, tmp_path, attacks=(0.5, 2.0), seeds=2)
    rule, rate = RULES["fa"](1), result.best_rates["fa"]
    loss = eln.losses.SoftmaxCrossEntropy()
    optimizer = eln.optim.SGD(rate, momentum=0.9)
    trainer = eln.Trainer(network(1), loss, optimizer, rule, batch_size=10, seed=1)
    trainer.fit(data[0], epochs=2)
    rows = eln.experiments.robustness(trainer.net, *data[2], (0.5, 2.0), batch_size=10)
    assert [(row.attack, row.accuracy) for row in result.robustness("fa", 1)] == [
        (row.attack, row.accuracy) for row in rows
    ]
    table = result.robustness_table().splitlines()
    assert table[0] == "| rule | none | fgsm 0.5 | pgd 0.5 | fgsm 2 | pgd 2 |"
    assert [line.split(" | ")[0] for line in table[2:]] == [f"| {rule}" for rule in result.rules]
    both = [100 * result.robustness("fa", seed)[2].accuracy for seed in (0, 1)]
    assert f"{sum(both) / 2:.1f} ± " in table[3].split(" | ")[3]


def test_without_attacks_there_is_no_table(result):
    assert result.robustness("fa") == []
    assert result.robustness_table() == ""


def run(rule, rate, seed, score, stage="final", diverged=0):
    return Trial(stage, rule, rate, seed, 1.0, 0.5, score, score, diverged, 1.0)


def test_statistics_are_those_of_paired_differences(tmp_path):
    runs = [run("a", 0.1, s, v) for s, v in enumerate([0.5, 0.6, 0.9])]
    runs += [run("b", 0.1, s, v) for s, v in enumerate([0.4, 0.5, 0.8])][::-1]
    runs += [run(r, v, SWEEP_SEED, v, "sweep") for r in "ab" for v in (0.01, 0.1)]
    found = Comparison(("a", "b"), (0.01, 0.1), runs, tmp_path)
    mean, half = found.difference("b")
    assert mean == pytest.approx(-0.1)
    assert half == pytest.approx(0, abs=1e-12)
    assert found.accuracy("a")[0] == pytest.approx(2 / 3)
    assert found.accuracy("a")[1] > 0.4
    assert "| b | 0.1 | 56.7 ± 51.7 | -10.0 ± 0.0 | 50.0 |" in found.table()
    assert "Warning: a: the best learning rate, 0.1, lies at the edge" in found.table()
    assert str(found) == found._repr_markdown_() == found.table()


def test_the_choice_prefers_runs_that_did_not_diverge_and_smaller_rates(tmp_path):
    rates = (0.01, 0.1, 1.0)
    runs = [run("a", 0.01, SWEEP_SEED, 0.3, "sweep"), run("a", 0.1, SWEEP_SEED, 0.3, "sweep")]
    runs += [
        run("a", 1.0, SWEEP_SEED, 0.4, "sweep", diverged=1),
        run("a", 0.01, 0, 0.1, "final", 1),
    ]
    found = Comparison(("a",), rates, runs, tmp_path)
    assert found.best_rates == {"a": 0.01}
    assert found.warnings[1] == "a: 1 of 1 final trials diverged"


def test_a_run_that_diverges_counts_as_guessing(data, tmp_path):
    with pytest.warns(UserWarning, match="diverged|edge"):
        found = compare(
            data, tmp_path, rates=(1e30,), rules={"backprop": RULES["backprop"]}, baselines=False
        )
    assert [(run.diverged, run.test_accuracy) for run in found.of("backprop")] == [(1, 1 / 3)] * 2
    assert found.histories("backprop") == []
    assert "2 of 2 final trials diverged" in found.table()


def test_a_high_train_loss_counts_as_diverged(data, tmp_path):
    """It is finite, and more than twice what guessing gives: no such rate is chosen."""
    with pytest.warns(UserWarning, match="diverged|edge"):
        found = compare(
            data,
            tmp_path,
            rates=(0.01, 20.0),
            rules={"backprop": RULES["backprop"]},
            baselines=False,
        )
    good, bad = found.of("backprop", "sweep")
    assert (good.diverged, bad.diverged) == (0, 1)
    assert math.log(9) < bad.train_loss < math.inf
    assert (bad.train_accuracy, bad.validation_accuracy) == (1 / 3, 1 / 3)
    assert found.best_rates == {"backprop": 0.01}


def test_variants_seeds_of_the_sweep_and_optimizers(data, tmp_path):
    scales = {
        f"{s:g}": lambda seed, s=s: eln.routers.FeedbackAlignment(seed, scale=s) for s in (1, 3)
    }
    optimizers = {"fa": lambda rate: eln.optim.SGD(rate, l2=0.1), "*": eln.optim.Adam}
    options = {
        "rules": {"backprop": RULES["backprop"], "fa": scales},
        "baselines": False,
        "sweep_seeds": 2,
        "optimizer": optimizers,
    }
    with warnings.catch_warnings(action="ignore"):
        found = compare(data, tmp_path, **options)
    sweep = found.of("fa", "sweep")
    assert [(t.variant, t.seed) for t in sweep[::3]] == [
        (variant, SWEEP_SEED + k) for variant in ("1", "3") for k in range(2)
    ]
    assert len(found.of("backprop", "sweep")) == 6
    means = {
        (v, r): np.mean([t.validation_accuracy for t in sweep if (t.variant, t.rate) == (v, r)])
        for v in scales
        for r in found.rates
    }
    assert means[found.best["fa"]] == max(means.values())
    variant, rate = found.best["fa"]
    assert {(t.variant, t.rate) for t in found.of("fa")} == {(variant, rate)}
    assert f"| fa ({variant}) | {rate:g} |" in found.table()
    net = network(0)
    trainer = eln.Trainer(
        net,
        eln.losses.SoftmaxCrossEntropy(),
        optimizers["fa"](rate),
        scales[variant](0),
        batch_size=10,
        seed=0,
    )
    trainer.fit(data[0], epochs=2)
    assert eln.evaluate(net, *data[2], trainer.loss)[1] == found.of("fa")[0].test_accuracy
    made = []
    with warnings.catch_warnings(action="ignore"):
        again = compare(data, tmp_path, **options | {"log": made.append})
    assert made == []
    assert again.rules == found.rules
    eln.plots.sweeps(found)
    changed = options | {"rules": {**options["rules"], "fa": {"1": scales["1"]}}}
    with pytest.raises(ValueError, match="with different rules"):
        compare(data, tmp_path, **changed)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rates": ()}, "at least one of rates"),
        ({"rates": (0.1, -1)}, r"expected rates in \(0, inf\), got -1"),
        ({"rules": {}}, "at least one of rules"),
        ({"rules": {"linear": RULES["fa"]}}, "without baselines' names, got {'linear'}"),
        ({"rules": {"a b": RULES["fa"], "a-b": RULES["fa"]}}, "differ in letters or digits"),
        ({"seeds": 0}, "seeds of at least 1"),
        ({"sweep_seeds": 0}, "sweep_seeds of at least 1"),
        ({"attacks": (0.1, 0)}, r"expected attacks in \(0, inf\), got 0"),
        ({"rules": {"fa": {}}}, "at least one variant of fa"),
        ({"optimizer": {"kp": eln.optim.SGD}}, r"optimizers of rules or \"\*\", got \['kp'\]"),
    ],
)
def test_wrong_arguments(changes, text, data, tmp_path):
    with pytest.raises(ValueError, match=text):
        compare(data, tmp_path, **changes)


def test_the_pictures_show_what_was_found(result, tmp_path):
    figure = eln.plots.accuracies(result, tmp_path / "a.png", title="rules")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(result.rules)
    seeds = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_alpha() == 0.8]
    assert [list(line.get_xdata()) for line in seeds] == [
        [100 * run.test_accuracy for run in result.of(rule)] for rule in result.rules
    ]
    figure = eln.plots.sweeps(result, tmp_path / "s.png")
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines["fa"].get_xdata()) == [0.001, 0.01, 0.1]
    assert (tmp_path / "a.png").exists()
    assert (tmp_path / "s.png").exists()
