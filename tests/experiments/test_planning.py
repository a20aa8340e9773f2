"""The cost of a comparison beforehand: what is counted, and what a trial's time is made of."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln
from elunet import routers
from elunet.experiments import planning
from elunet.experiments.comparison import bench_of
from elunet.experiments.trials import ATTACKED, Cost, Key

RULES = {
    "backprop": lambda seed: routers.Backprop(),
    "fa": {name: routers.FeedbackAlignment for name in ("a", "b", "c")},
}
SWEEP, FINAL = (Key(stage, "backprop", "", 0.1, 0) for stage in ("sweep", "final"))


def network(seed):
    return eln.models.mlp(3, 4, widths=(8,), seed=seed)


def images(n):
    return np.zeros((n, 2, 2, 1), np.float32), np.arange(n) % 3


DATA = images(95), images(20), images(1500)


def seconds(key, **options):
    """Return a trial's seconds, if a step takes 1, angles 100 and an image 10,000."""
    bench, _ = bench_of(network, RULES, DATA, (0.1,), 2, batch_size=10, **options)
    return bench.seconds(DATA, key, Cost(1.0, 10_000.0, 100.0, 0.0))


def test_what_a_trial_takes():
    sweep = 2 * 10 + 10_000 * 3 * 20  # the validation images once more, before the first epoch
    final = sweep + 10_000 * 1500
    assert (seconds(SWEEP), seconds(FINAL)) == (sweep, final)
    angles = {"angles_every": 8}  # at steps 0, 8 and 16
    assert (seconds(SWEEP, **angles), seconds(FINAL, **angles)) == (sweep, final + 300)
    attacks = {"attacks": (0.1, 0.2)}  # FGSM takes a step of each batch, PGD ten
    batches = ATTACKED // 10
    assert seconds(SWEEP, **attacks) == sweep
    assert seconds(FINAL, **attacks) == final + 2 * 11 * batches


@pytest.mark.parametrize("can", [True, False])
def test_the_plan_counts_the_trials_that_there_will_be(can, monkeypatch):
    if can:
        pytest.importorskip("loky")
    monkeypatch.setattr(planning, "can_start_workers", lambda: can)
    monkeypatch.setattr(eln.experiments.comparison, "can_start_workers", lambda: False)
    found = eln.experiments.plan(
        network, RULES, *DATA, rates=(0.1, 0.2), epochs=2, seeds=5, sweep_seeds=3, threads=1
    )
    assert [row[:2] for row in found.rows] == [
        ("backprop", 2 * 3 + 5),
        ("fa", 3 * 2 * 3 + 5),
        *((name, 2 * 3 + 5) for name in ("last layer only", "linear", "shallow")),
    ]
    assert found.runs == 11 + 23 + 3 * 11
    assert all(hours > 0 for *_, hours in found.rows)
    assert (found.workers, found.threads) == (1, 1)
    assert found.memory > 10
    assert found.data == pytest.approx(sum(a.nbytes for pair in DATA for a in pair) / 1e6)
    assert f"{found.runs} runs" in str(found)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="plan: expected seeds of at least 1"):
        eln.experiments.plan(network, RULES, *DATA, rates=(0.1,), epochs=1, seeds=0)
