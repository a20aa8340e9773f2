"""Comparing rules: fair by construction, resumable, and honest about what weakens it."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import elunet as eln
from elunet import routers
from elunet.experiments import Comparison, Trial
from elunet.experiments.order import SWEEP_SEED, Order, Request
from elunet.experiments.trials import baselines

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


def only(data, folder, **changes):
    """Compare without baselines, and without the warnings; return the result and what was made."""
    made = []
    with warnings.catch_warnings(action="ignore"):
        return compare(data, folder, log=made.append, baselines=False, **changes), made


def test_a_rule_may_be_left_out_and_keeps_its_trials(data, tmp_path):
    both, _ = only(data, tmp_path)
    before = [(tmp_path / name).read_text() for name in ("trials.csv", "settings.json")]
    fewer, made = only(data, tmp_path, rules={"fa": RULES["fa"]})
    assert (fewer.rules, made) == (("fa",), [])
    assert str(fewer.trials) == str([trial for trial in both.trials if trial.rule == "fa"])
    assert [(tmp_path / name).read_text() for name in ("trials.csv", "settings.json")] == before
    assert Comparison.read(tmp_path).table() == both.table()


def test_baselines_stay_the_last(data, tmp_path):
    with warnings.catch_warnings(action="ignore"):
        compare(data, tmp_path, rules={"backprop": RULES["backprop"]}, rates=(0.1,))
    only(data, tmp_path, rules={"fa": RULES["fa"]}, rates=(0.1, 0.01))
    again = Comparison.read(tmp_path)
    assert again.rules == ("backprop", "fa", "last layer only", "linear", "shallow")
    assert again.rates == (0.01, 0.1)


def test_fewer_rates_and_seeds_show_what_they_would_alone(data, tmp_path):
    """The latest call says what counts; what it leaves out is kept for the next one."""
    large, _ = only(data, tmp_path / "a", sweep_seeds=2, seeds=3)
    small, made = only(data, tmp_path / "a", rates=(0.001,), seeds=1)
    alone, _ = only(data, tmp_path / "b", rates=(0.001,), seeds=1)
    assert len(made) == 2 - sum(rate == 0.001 for rate in large.best_rates.values())
    assert without_seconds(small.trials) == without_seconds(alone.trials)
    assert small.table() == alone.table() == Comparison.read(tmp_path / "a").table()
    again, made = only(data, tmp_path / "a", sweep_seeds=2, seeds=3)
    assert made == []
    assert again.table() == large.table() == Comparison.read(tmp_path / "a").table()


def test_each_final_trial_has_files_of_its_own(data, tmp_path):
    """Another rate is chosen, by fewer rates here: no file of the old one passes for its own."""
    options = {"angles_every": 9, "null": 2, "attacks": (0.5,)}
    result, _ = only(data, tmp_path / "a", seeds=2, **options)
    rate = next(rate for rate in result.rates if rate != result.best_rates["fa"])
    other, _ = only(data, tmp_path / "a", seeds=1, rates=(rate,), **options)
    alone, _ = only(data, tmp_path / "b", seeds=1, rates=(rate,), **options)
    assert other.best_rates["fa"] == rate != result.best_rates["fa"]
    for seed in (0, 1):
        assert other.angles("fa", seed) == alone.angles("fa", seed)
        assert other.robustness("fa", seed) == alone.robustness("fa", seed)
        assert other.angles("fa", seed) != result.angles("fa", seed)
    assert other.robustness("fa", 1) == []


def test_variants_are_known_by_name(data, tmp_path):
    """A variant that has changed under its name is refused, and not taken from the table."""
    scaled = {s: lambda seed, s=s: routers.FeedbackAlignment(seed, scale=s) for s in (0.01, 30)}
    only(data, tmp_path, rules={"fa": {"a": scaled[0.01], "b": scaled[30]}})
    for changed in ({"a": scaled[30], "b": scaled[0.01]}, {"a": scaled[30]}):
        with pytest.raises(ValueError, match="with different rules fa a"):
            compare(data, tmp_path, rules={"fa": changed}, baselines=False)
    more, made = only(data, tmp_path, rules={"fa": {"c": scaled[30], "b": scaled[30]}})
    assert len([text for text in made if "(c)" in text and "sweep" in text]) == 3
    assert {trial.variant for trial in more.of("fa", "sweep")} == {"b", "c"}


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_variants_that_are_equal(names, data, tmp_path):
    """The choice does not depend on their order, and there is a table."""
    same = {name: RULES["fa"] for name in names}
    result, made = only(data, tmp_path, rules={"fa": same}, rates=(1e30,))
    assert result.best == {"fa": ("a", 1e30)}
    assert len(result.of("fa")) == 2
    assert "| fa (a) | 1e+30 |" in result.table()
    again, made = only(data, tmp_path, rules={"fa": dict(reversed(same.items()))}, rates=(1e30,))
    assert (again.table(), made) == (result.table(), [])


def test_what_changes_with_the_rate_or_the_seed_is_seen(data, tmp_path):
    one = {"fa": lambda seed: routers.FeedbackAlignment(0)}
    each = {"fa": lambda seed: routers.FeedbackAlignment(seed)}
    fixed, relative = (
        lambda rate: eln.optim.SGD(rate, l2=0.0001),
        lambda rate: eln.optim.SGD(rate, l2=0.1 * rate),
    )
    only(data, tmp_path, rules=one, optimizer=fixed)
    with pytest.raises(ValueError, match="with different rules fa "):
        compare(data, tmp_path, rules=each, optimizer=fixed, baselines=False)
    with pytest.raises(ValueError, match=r"different optimizer fa 0.01, optimizer fa 0.1 \("):
        compare(data, tmp_path, rules=one, optimizer=relative, baselines=False)


class Hidden(routers.FeedbackAlignment):
    """A user's rule that has no repr of its own, and keeps its argument under another name."""

    def __init__(self, seed, share=0.5):
        super().__init__(seed)
        self._part = share


class Halved(Hidden):
    def send(self, layer, dy):
        return np.float32(0.5) * super().send(layer, dy)


class Doubled(Hidden):
    def send(self, layer, dy):
        return np.float32(2) * super().send(layer, dy)


class Slotted:
    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k


Doubled.__qualname__ = Doubled.__name__ = "Halved"  # what an edited class is


def changed(rule, **attributes):
    vars(rule).update(attributes)
    return rule


B = {"linear2": np.ones((8, 3), np.float32)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda seed: routers.FeedbackAlignment(seed), lambda seed: Hidden(seed)),
        (lambda seed: Hidden(seed), lambda seed: Hidden(seed, 0.1)),
        (lambda seed: Halved(seed), lambda seed: Doubled(seed)),
        (
            lambda seed: routers.FeedbackAlignment(seed, distribution=eln.init.He()),
            lambda seed: routers.FeedbackAlignment(seed, distribution=eln.init.LeCun()),
        ),
        (
            lambda seed: routers.FeedbackAlignment(seed, B),
            lambda seed: routers.FeedbackAlignment(seed, {"linear2": -B["linear2"]}),
        ),
        (
            lambda seed: changed(routers.FeedbackAlignment(seed), k=1),
            lambda seed: changed(routers.FeedbackAlignment(seed), k=-1),
        ),
        (
            lambda seed: changed(Hidden(seed), parts=[Slotted(1)]),
            lambda seed: changed(Hidden(seed), parts=[Slotted(2)]),
        ),
    ],
)
def test_a_rule_that_differs_in_anything_is_another(one, other, data, tmp_path):
    """No old table comes back for it, whatever its repr says, or its constructor keeps."""
    only(data, tmp_path, rules={"fa": one})
    assert only(data, tmp_path, rules={"fa": one})[1] == []
    with pytest.raises(ValueError, match="with different rules fa "):
        compare(data, tmp_path, rules={"fa": other}, baselines=False)


def test_layers_and_optimizers_that_differ_in_anything(data, tmp_path):
    def own(**its):
        def make(seed):
            net = network(seed)
            vars(net["elu1"]).update(its)
            return net

        return make

    only(data, tmp_path, network=own(k=1))
    with pytest.raises(ValueError, match=r"with different network \("):
        compare(data, tmp_path, network=own(k=2), baselines=False)
    with pytest.raises(ValueError, match="with different optimizer backprop 0.001, "):
        compare(
            data,
            tmp_path,
            network=own(k=1),
            optimizer=lambda rate: changed(eln.optim.SGD(rate, momentum=0.9), k=1),
            baselines=False,
        )


def test_a_rule_that_no_seed_determines_is_told(data, tmp_path):
    rules = {"fa": lambda seed: Hidden(seed, np.random.default_rng().random())}
    with (
        pytest.warns(UserWarning, match="edge"),
        pytest.warns(UserWarning, match="differ from call to call with the same seed: fa$"),
    ):
        compare(data, tmp_path, rules=rules, baselines=False)


def test_what_cannot_be_read_is_told(data, tmp_path):
    """From the second call on, when it could be another one than in the first."""

    def rule(seed):
        return changed(routers.FeedbackAlignment(seed), names=(name for name in "ab"))

    only(data, tmp_path, rules={"fa": rule})
    with (
        pytest.warns(UserWarning, match="edge"),
        pytest.warns(UserWarning, match="cannot look into them: builtins.generator of fa$"),
    ):
        compare(data, tmp_path, rules={"fa": rule}, baselines=False)


def test_an_unfinished_comparison_can_be_read(data, tmp_path):
    """Also one that is being extended by a rate."""

    def stop(text):
        raise InterruptedError

    only(data, tmp_path, rates=(0.01,), seeds=1)
    with pytest.raises(InterruptedError):
        compare(data, tmp_path, rates=(0.01, 0.1), seeds=1, baselines=False, log=stop)
    found = Comparison.read(tmp_path)
    assert found.of("fa") == []
    assert "Warning: fa: 1 of 2 sweep trials are finished." in found.table()
    assert not any("fa: the best" in text for text in found.warnings)
    assert "| fa |" not in found.table()
    eln.plots.accuracies(found)
    eln.plots.sweeps(found)
    with pytest.raises(InterruptedError):
        compare(data, tmp_path / "new", rates=(0.01, 0.1), baselines=False, log=stop)
    eln.plots.sweeps(Comparison.read(tmp_path / "new"))


def test_what_is_there_of_a_rule_is_told(data, tmp_path):
    """Also without a seed that two rules have, and before the first trial has ended."""

    def stop(text):
        if text.startswith("final fa") and "seed 1" in text:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        compare(data, tmp_path, rates=(0.01,), seeds=5, baselines=False, log=stop)
    found = Comparison.read(tmp_path)
    assert "fa: 2 of 5 final trials are finished" in found.warnings
    table = tmp_path / "trials.csv"
    lines = [line for line in table.read_text().splitlines() if "final,backprop" not in line]
    table.write_text("\n".join(lines) + "\n")
    assert math.isnan(Comparison.read(tmp_path).difference("fa")[0])
    assert "| fa | 0.01 |" in Comparison.read(tmp_path).table()
    table.unlink()
    assert Comparison.read(tmp_path).trials == []
    assert "backprop: 0 of 1 sweep trials are finished" in Comparison.read(tmp_path).warnings


def test_other_weights_are_another_network(data, tmp_path):
    """The same layers, with weights that were changed or loaded; for all rules of the folder."""

    def scaled(factor):
        def make(seed):
            net = network(seed)
            net["linear1"].params["W"] *= factor
            return net

        return make

    only(data, tmp_path, network=scaled(0.5))
    for rules in (RULES, {"dfa": routers.DirectFeedbackAlignment}):
        with pytest.raises(ValueError, match=r"with different network \("):
            compare(data, tmp_path, network=scaled(2.0), rules=rules, baselines=False)
    assert only(data, tmp_path, network=scaled(0.5))[1] == []


def test_trials_share_no_network_and_no_rule(data, tmp_path):
    net, rule = network(0), routers.FeedbackAlignment(0)
    with pytest.raises(ValueError, match="network as a function that makes a new object at each"):
        compare(data, tmp_path, network=lambda seed: net)
    with pytest.raises(ValueError, match="fa as a function .* same FeedbackAlignment twice"):
        compare(data, tmp_path, rules={"fa": lambda seed: rule})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"batch_size": 0}, ValueError),
        ({"angles_every": -1}, ValueError),
        ({"null": -1}, ValueError),
        ({"executor": "two"}, TypeError),
        ({"executor": 0}, ValueError),
        ({"rules": {"fa": {0.1: RULES["fa"]}}}, TypeError),
        ({"rules": {3: RULES["fa"]}}, TypeError),
        ({"rules": {"x" * 201: RULES["fa"]}}, ValueError),
        ({"rules": {"last-layer-only": RULES["fa"]}, "baselines": True}, ValueError),
        ({"rules": {"fa": RULES["fa"], "FA": RULES["fa"]}}, ValueError),
        ({"rules": [RULES["fa"]]}, TypeError),
        ({"rules": {"fa": routers.FeedbackAlignment(0)}}, TypeError),
        ({"network": network(0)}, TypeError),
        ({"seeds": 1001}, ValueError),
    ],
)
def test_a_refused_call_leaves_nothing(changes, error, data, tmp_path):
    with pytest.raises(error, match="compare: expected"):
        compare(data, tmp_path / "new", **changes)
    assert not (tmp_path / "new").exists()


def test_trials_without_settings_are_not_used(data, tmp_path):
    only(data, tmp_path, rates=(0.1,))
    (tmp_path / "settings.json").unlink()
    with pytest.raises(ValueError, match=r"settings.json beside trials.csv, got trials.csv alone"):
        compare(data, tmp_path, rates=(0.1,), batch_size=30)


def test_the_refusal_says_what_is_there_and_what_came(data, tmp_path):
    only(data, tmp_path, rates=(0.1,))
    with pytest.raises(ValueError, match="batch_size is 10 there and 30 here"):
        compare(data, tmp_path, rates=(0.1,), batch_size=30, baselines=False)


def test_as_many_workers_as_there_may_be_trials(data, tmp_path, monkeypatch):
    """Another rate may become the best: its final trials run side by side, too."""
    asked, working = [], eln.experiments.comparison._working

    def note(executor, threads, most):
        asked.append(most)
        return working(executor, threads, most)

    monkeypatch.setattr(eln.experiments.comparison, "_working", note)
    one = {"rules": {"fa": RULES["fa"]}, "seeds": 5}
    only(data, tmp_path, rates=(0.001,), **one)
    only(data, tmp_path, rates=(0.001, 0.01), **one)
    only(data, tmp_path, rates=(0.001, 0.01), **one)
    assert asked == [6, 6, 0]


def test_a_chosen_rate_that_diverged_is_told(tmp_path):
    trials = [
        Trial("sweep", "a", rate, SWEEP_SEED + k, 1.0, 0.5, 0.5, math.nan, int(k == bad), 1.0)
        for rate, bad in ((0.1, 0), (0.2, 1))
        for k in range(2)
    ]
    found = Comparison(("a",), (0.1, 0.2), trials, tmp_path)
    said = "a: 1 of 2 sweep trials of the chosen rate diverged, and trials of every other rate"
    assert said in found.warnings
    assert math.isnan(found.accuracy("a")[0])


def test_final_trials_alone_have_a_table(tmp_path):
    assert (
        "| a | 0.1 | 50.0 |"
        in Comparison(("a",), (0.1,), [run("a", 0.1, 0, 0.5)], tmp_path).table()
    )


def test_the_same_call_writes_nothing(data, tmp_path):
    only(data, tmp_path, rates=(0.1,))
    before = {file.name: file.stat().st_ino for file in tmp_path.iterdir()}
    only(data, tmp_path, rates=(0.1,))
    assert {file.name: file.stat().st_ino for file in tmp_path.iterdir()} == before


def test_numbers_of_numpy(data, tmp_path):
    given = {"batch_size": np.int64(10), "angles_every": np.int64(9), "null": np.int64(1)}
    only(data, tmp_path, rates=np.array([0.1]), seeds=np.int64(1), executor=np.int64(1), **given)
    assert only(data, tmp_path, rates=(0.1,), seeds=1, angles_every=9, null=1)[1] == []


def test_different_numbers_of_seeds_are_told(data, tmp_path):
    only(data, tmp_path, rates=(0.1,), seeds=1)
    only(data, tmp_path, rules={"fa": RULES["fa"]}, rates=(0.1,), seeds=3, sweep_seeds=2)
    said = Comparison.read(tmp_path).warnings
    assert "backprop: its number of seeds is 1, others have 3" in said
    assert "backprop: its number of sweep_seeds is 1, others have 2" in said


def test_names_of_files_are_compared_with_those_that_are_there(data, tmp_path):
    only(data, tmp_path, rules={"fa+x": RULES["fa"]}, rates=(0.1,))
    for rules in ({"fa-x": RULES["fa"]}, {"fa": {"x": RULES["fa"]}}):
        before = (tmp_path / "settings.json").read_text()
        with pytest.raises(ValueError, match="names differ in letters or digits, .*, got 'fa"):
            compare(data, tmp_path, rules=rules, rates=(0.1,), baselines=False)
        assert (tmp_path / "settings.json").read_text() == before


def test_a_single_seed_has_no_interval(data, tmp_path):
    found, _ = only(data, tmp_path, rates=(0.01,), seeds=1)
    (row,) = [line for line in found.table().splitlines() if line.startswith("| fa ")]
    accuracy = f"{100 * found.of('fa')[0].test_accuracy:.1f}"
    assert row.split(" | ")[2] == accuracy
    assert "nan" not in found.table()


def test_a_rule_with_fewer_rates_is_told(data, tmp_path):
    only(data, tmp_path, rates=(0.001, 0.002), seeds=1)
    only(data, tmp_path, rules={"fa": RULES["fa"]}, rates=(0.001, 0.002, 0.1), seeds=1)
    said = Comparison.read(tmp_path).warnings
    assert "backprop: it has not tried learning rates that others have: 0.1" in said
    assert any(text.startswith("backprop: the best learning rate, 0.002, lies") for text in said)


def test_settings_of_an_earlier_version_are_told(data, tmp_path):
    (tmp_path / "settings.json").write_text('{"rules": {"fa": ["x"]}, "rates": [0.1]}')
    with pytest.raises(ValueError, match="An earlier version of elunet may have written it"):
        compare(data, tmp_path)
    with pytest.raises(ValueError, match="An earlier version"):
        Comparison.read(tmp_path)


@pytest.mark.parametrize(
    "asked",
    [
        "{}",
        "[1]",
        '{"fa": 3}',
        '{"x": {"variants": [""], "rates": [1], "seeds": 1, "sweep_seeds": 1}}',
        '{"fa": {"variants": [""], "rates": [1], "seeds": Infinity, "sweep_seeds": 1}}',
        '{"fa": {"variants": 3, "rates": [1], "seeds": 1, "sweep_seeds": 1}}',
    ],
)
def test_damaged_settings(asked, tmp_path):
    text = '{"rules": {"fa": {"": "x"}}, "asked": ' + asked + "}"
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"settings.json with what was asked for of each rule, got"
    ):
        Comparison.read(tmp_path)


def test_what_is_left_counts_final_trials_that_will_be_used_again():
    rates = [run("a", rate, SWEEP_SEED, rate, "sweep") for rate in (0.01, 0.1)]
    final, other = run("a", 0.1, 0, 0.5), run("b", 1, 0, 0.5)
    order = Order({"a": Request(("",), (0.01, 0.1, 0.3), 1, 1)}, [*rates, final, other])
    assert (order.size, order.left) == (4, 1)
    assert order.trials() == rates, "the sweep of 0.3 may still choose 0.3"
    assert order.all_trials() == [*rates, final, other]
    order = Order({"a": Request(("",), (0.01, 0.1), 1, 1)}, [final, other, *rates])
    assert (order.left, order.trials()) == (0, [*rates, final])
    assert order.all_trials() == [*rates, final, other]


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


@pytest.mark.parametrize("name", ["rates", "attacks"])
def test_a_single_number_is_refused(name, data, tmp_path):
    with pytest.raises(TypeError, match=f"expected {name} to be several numbers, got 0.1"):
        compare(data, tmp_path, **{name: 0.1})


def test_attacks_are_those_of_any_order(data, tmp_path):
    """Each counts once, on the first 1,000 test images, and no network that diverged."""
    many = tuple(np.tile(part, (40,) + (1,) * (part.ndim - 1)) for part in data[2])
    data = (*data[:2], many)
    options = {"rules": {"fa": RULES["fa"]}, "rates": (0.1,), "seeds": 2}
    result, _ = only(data, tmp_path, attacks=(2.0, 0.5, 2.0), **options)
    assert len(result.robustness("fa")) == 5
    _, made = only(data, tmp_path, attacks=(0.5, 2.0), **options)
    assert made == []
    trainer = eln.Trainer(
        network(0),
        loss := eln.losses.SoftmaxCrossEntropy(),
        eln.optim.SGD(0.1, momentum=0.9),
        RULES["fa"](0),
        batch_size=10,
        seed=0,
    )
    trainer.fit(data[0], epochs=2)
    right = eln.evaluate(trainer.net, many[0][:1000], many[1][:1000], loss)[1]
    assert result.robustness("fa")[0].accuracy == right
    options["rates"] = (1e30,)
    gone, _ = only(data, tmp_path, attacks=(0.5, 2.0), **options)
    assert gone.robustness("fa") == []
    assert gone.robustness_table() == ""


def test_pairs_are_those_of_seeds_that_both_have(data, tmp_path):
    only(data, tmp_path, rates=(0.1,), seeds=2)
    only(data, tmp_path, rules={"fa": RULES["fa"]}, rates=(0.1,), seeds=3)
    found = Comparison.read(tmp_path)
    mine, others = (
        [trial.test_accuracy for trial in found.of(rule)] for rule in ("fa", "backprop")
    )
    assert (len(mine), len(others)) == (3, 2)
    expected = np.mean([a - b for a, b in zip(mine, others, strict=False)])
    assert found.difference("fa")[0] == pytest.approx(expected, abs=1e-12)


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
    changed = options | {"rules": {**options["rules"], "fa": {"1": scales["3"]}}}
    with pytest.raises(ValueError, match="with different rules fa 1 "):
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
        (
            {"attacks": (0.1,), "rules": {"ff": lambda seed: routers.ForwardForward()}},
            "rules that predict by the network's forward pass, got ff, which predicts in another",
        ),
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
