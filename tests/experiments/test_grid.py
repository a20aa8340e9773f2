"""Trials on an executor: the same table whoever makes them, and no more lost than a worker held."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import elunet as eln
from elunet import routers
from elunet.experiments import grid
from elunet.experiments.order import SWEEP_SEED, Order, Request
from elunet.experiments.trials import Trial

pytest.importorskip("cloudpickle", reason="the extra elunet[grid] is not installed")

L = eln.layers
RULES = {"backprop": lambda seed: routers.Backprop(), "fa": routers.FeedbackAlignment}


def network(seed):
    return eln.Sequential([L.Flatten(), L.Linear(4, 8), L.ELU(), L.Linear(8, 3)], seed=seed)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    centers = rng.normal(0, 3, (3, 2, 2, 1))
    y = rng.integers(0, 3, 150)
    x = (centers[y] + rng.normal(0, 1, (150, 2, 2, 1))).astype(np.float32)
    return (x[:90], y[:90]), (x[90:120], y[90:120]), (x[120:], y[120:])


def compare(data, folder, executor, **changes):
    options = {"rates": (0.001, 0.01, 0.1), "epochs": 2, "seeds": 2, "batch_size": 10, "log": None}
    options |= {"angles_every": 9, "null": 2} | changes
    rules, net = options.pop("rules", RULES), options.pop("network", network)
    with warnings.catch_warnings(action="ignore"):
        return eln.compare(net, rules, *data, folder=folder, executor=executor, **options)


def content(folder):
    """Return the files of a comparison but for what a clock measured."""
    found = {}
    for file in sorted(Path(folder).iterdir()):
        rows = [line.split(",") for line in file.read_text().splitlines()]
        if file.suffix == ".csv":
            clock = [i for i, n in enumerate(rows[0]) if n in ("seconds", "images_per_s")]
            rows = [[v for i, v in enumerate(row) if i not in clock] for row in rows]
        found[file.name] = rows
    return found


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    compare(data, folder, 1)
    return folder


class Slow:
    """An executor that finishes what came last first, and sees how much it was given at once."""

    def __init__(self):
        self.waiting, self.most = [], 0

    def submit(self, function, *arguments):
        future = Future()
        future.done = lambda: self._done(future)
        self.waiting.append((future, function, arguments))
        self.most = max(self.most, len(self.waiting))
        return future

    def _done(self, asked):
        future, function, arguments = self.waiting[-1]
        if future is asked:
            self.waiting.pop()
            future.set_result(function(*arguments))
            del future.done
            return True
        return False


def test_the_order_in_which_trials_end_is_not_seen(data, alone, tmp_path):
    slow = Slow()
    compare(data, tmp_path, slow)
    assert slow.most == 15  # all sweeps at once
    assert content(tmp_path) == content(alone)


class Patient:
    """An executor that works at once, and says so after a thousand looks."""

    def __init__(self):
        self.looks = 0

    def submit(self, function, *arguments):
        future, since = Future(), self.looks
        future.set_result(function(*arguments))
        future.done = lambda: self._look() > since + 1000
        return future

    def _look(self):
        self.looks += 1
        return self.looks


def test_a_look_at_the_futures_works_out_nothing_else(data, alone, tmp_path, monkeypatch):
    asked, ready = [], Order.ready
    monkeypatch.setattr(grid, "PAUSE", 0)
    monkeypatch.setattr(Order, "ready", lambda order: asked.append(order) or ready(order))
    patient = Patient()
    compare(data, tmp_path, patient)
    assert content(tmp_path) == content(alone)
    trials = len((tmp_path / "trials.csv").read_text().splitlines()) - 1
    assert len(asked) <= trials
    assert patient.looks > 2000


def spawned(count):
    return ProcessPoolExecutor(count, get_context("spawn"))


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(2), lambda: spawned(2)])
def test_pools_of_the_standard_library(make, data, alone, tmp_path):
    with make() as pool:
        compare(data, tmp_path, pool)
    assert content(tmp_path) == content(alone)


@pytest.mark.parametrize("count", [2, 3])
def test_workers(count, data, alone, tmp_path):
    pytest.importorskip("loky")
    said = []
    compare(data, tmp_path, count, log=said.append)
    assert content(tmp_path) == content(alone)
    assert [text.rsplit("; ", 1)[1].split(",")[0] for text in said] == [
        f"{k} of 25" for k in range(1, 26)
    ]
    assert "left" in said[0]
    assert "left" not in said[-1]


@pytest.mark.filterwarnings("ignore")
def test_dask(data, alone, tmp_path):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=tmp_path / "dask"
    )
    with cluster, distributed.Client(cluster) as client:
        compare(data, tmp_path / "rules", client)
    assert content(tmp_path / "rules") == content(alone)


@pytest.mark.filterwarnings("ignore")
def test_submitit(data, alone, tmp_path):
    """Its local executor stands for Slurm: the same interface, the same files."""
    submitit = pytest.importorskip("submitit")
    executor = submitit.AutoExecutor(folder=tmp_path / "jobs", cluster="local")
    few = {"baselines": False, "rates": (0.01,), "seeds": 1}
    compare(data, tmp_path / "rules", executor, **few)
    compare(data, tmp_path / "alone", 1, **few)
    assert content(tmp_path / "rules") == content(tmp_path / "alone")


def dies_once(marker, network):
    """Return a network's maker that kills its process the first time that it is called there."""

    def make(seed):
        if seed == 1 and os.getpid() != int(marker.with_suffix(".parent").read_text()):
            try:
                marker.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return network(seed)

    return make


def test_a_killed_worker_costs_its_trial_only(data, tmp_path):
    pytest.importorskip("loky")
    (tmp_path / "killed.parent").write_text(str(os.getpid()))
    few = {"baselines": False, "network": dies_once(tmp_path / "killed", network)}
    said = []
    compare(data, tmp_path / "rules", 2, log=said.append, **few)
    assert (tmp_path / "killed").exists()
    assert len(said) == 10  # each trial once
    compare(data, tmp_path / "alone", 1, **few)
    assert content(tmp_path / "rules") == content(tmp_path / "alone")


@pytest.mark.filterwarnings("ignore")
def test_a_killed_worker_of_dask_costs_its_trial_only(data, tmp_path):
    """dask's nanny starts another worker, and its scheduler hands the trial out again."""
    distributed = pytest.importorskip("distributed")
    (tmp_path / "killed.parent").write_text(str(os.getpid()))
    few = {"baselines": False, "network": dies_once(tmp_path / "killed", network)}
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=tmp_path / "dask"
    )
    said = []
    with cluster, distributed.Client(cluster) as client:
        compare(data, tmp_path / "rules", client, log=said.append, **few)
    assert (tmp_path / "killed").exists()
    assert len(said) == 10  # each trial once
    compare(data, tmp_path / "alone", 1, **few)
    assert content(tmp_path / "rules") == content(tmp_path / "alone")


def test_a_trial_that_always_kills_its_worker_ends_it(data, tmp_path):
    pytest.importorskip("loky")
    parent = os.getpid()

    def make(seed):
        if seed == 1 and os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return network(seed)

    with pytest.raises(
        RuntimeError, match="finish final .*, seed 1, got 3 workers that ended before"
    ):
        compare(data, tmp_path, 2, network=make, baselines=False)
    kept = eln.Comparison.read(tmp_path).trials
    assert len([trial for trial in kept if trial.stage == "sweep"]) >= 3


def test_an_error_in_a_trial_is_the_callers(data, tmp_path):
    parent = os.getpid()

    def make(seed):
        if os.getpid() != parent:
            raise ValueError("no such network")
        return network(seed)

    with spawned(1) as pool, pytest.raises(ValueError, match="no such network") as caught:
        compare(data, tmp_path, pool, network=make)
    assert "In a worker" in caught.value.__notes__[0]
    assert not (tmp_path / "shared").exists()


def test_a_broken_pool_is_told(data, tmp_path):
    (tmp_path / "killed.parent").write_text(str(os.getpid()))
    few = {"baselines": False, "network": dies_once(tmp_path / "killed", network)}
    with spawned(1) as pool, pytest.raises(RuntimeError, match="same call with a new executor"):
        compare(data, tmp_path / "rules", pool, **few)
    kept = len(eln.Comparison.read(tmp_path / "rules").trials)
    assert kept >= 3
    said = []
    compare(data, tmp_path / "rules", 1, log=said.append, **few)
    assert len(said) == 10 - kept


CUT = """
import sys
import elunet as eln
x, y = eln.data.make_shapes(300, seed=0)
data = eln.data.standardize(x), y
R = eln.routers
eln.compare(
    lambda seed: eln.models.mlp(widths=(16,), seed=seed),
    {"backprop": lambda seed: R.Backprop(), "fa": R.FeedbackAlignment},
    data, data, data, rates=(0.001, 0.01), epochs=4, seeds=2, folder=sys.argv[1],
    executor=int(sys.argv[2]), log=lambda text: print(text, flush=True),
)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_cut_comparison_goes_on_and_leaves_no_worker(number, tmp_path):
    pytest.importorskip("loky")
    psutil = pytest.importorskip("psutil")

    def start(folder, workers):
        command = [sys.executable, "-W", "ignore", "-c", CUT, str(tmp_path / folder), workers]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    with start("cut", "2") as cut:
        made = [cut.stdout.readline() for _ in range(3)]
        workers = psutil.Process(cut.pid).children(recursive=True)
        assert len(workers) >= 2
        cut.send_signal(number)
        made += cut.stdout.read().splitlines()
    assert cut.returncode != 0
    _, alive = psutil.wait_procs(workers, 20)
    assert not alive
    done = len(eln.Comparison.read(tmp_path / "cut").trials)
    assert len(made) <= done <= len(made) + 1
    rest = start("cut", "2")
    assert len(rest.communicate()[0].splitlines()) == 20 - done
    whole = start("whole", "1")
    assert len(whole.communicate()[0].splitlines()) == 20
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_what_a_killed_process_was_writing_is_removed(data, tmp_path):
    left = ["trials.csv", "settings.json", "history-fa-0.01-0.csv"]
    for name in left:
        (tmp_path / f".{name}.0123456789abcdef").write_text("half of it")
    compare(data, tmp_path, 1, rates=(0.01,))
    assert not [*tmp_path.glob(".*.0123456789abcdef")]
    assert (tmp_path / "history-fa-0.01-0.csv").exists()


def test_two_at_work_in_one_folder_are_refused(data, tmp_path):
    def intrude(text):
        compare(data, tmp_path, 1)

    with pytest.raises(BlockingIOError, match="to be free"):
        compare(data, tmp_path, 1, log=intrude)


def trial(rule, rate, score=0.5, stage="sweep", seed=SWEEP_SEED):
    return Trial(stage, rule, rate, seed, 1.0, 0.5, score, math.nan, 0, 1.0)


def test_final_trials_start_when_their_own_sweep_is_through():
    order = Order({rule: Request(("",), (0.1, 1.0), 2, 1) for rule in "ab"}, [])
    assert [key[:4] for key in order.ready()] == [
        ("sweep", rule, "", rate) for rule in "ab" for rate in (0.1, 1.0)
    ]
    for done in (trial("b", 0.1), trial("b", 1.0, 0.6), trial("a", 1.0)):
        order.done[done.key] = done
    assert [(key.stage, key.rule, key.rate, key.seed) for key in order.ready()] == [
        ("final", "b", 1.0, 0),
        ("final", "b", 1.0, 1),
        ("sweep", "a", 0.1, SWEEP_SEED),
    ]
    assert (order.size, order.left) == (8, 5)
    assert [one.rule for one in order.trials()] == ["a", "b", "b"]


def test_trials_of_more_seeds_are_kept():
    there = [trial("a", 0.1), trial("a", 0.1, stage="final", seed=7)]
    order = Order({"a": Request(("",), (0.1,), 1, 1)}, there)
    assert order.all_trials() == there
    assert order.left == 1


def test_no_executor_is_told(data, tmp_path):
    with pytest.raises(
        TypeError, match="a number of workers, or an object with a method submit, got 'two"
    ):
        compare(data, tmp_path, "two")
    with pytest.raises(ValueError, match="executor of at least 1"):
        compare(data, tmp_path, 0)


def test_threads_are_part_of_the_comparison(data, tmp_path):
    before = eln.get_num_threads()
    compare(data, tmp_path, 1)
    assert eln.get_num_threads() == before
    with pytest.raises(ValueError, match="with different threads"):
        compare(data, tmp_path, 1, threads=2)


def test_a_worker_maps_the_arrays(data, tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "_latest", {})
    bench, _ = eln.experiments.comparison.bench_of(
        network, RULES, data, (0.1,), 1, batch_size=10, baselines=False
    )
    with grid.sent(bench, data, tmp_path) as recipe:
        _, ((x, y), *_) = grid._received(*recipe)
        assert isinstance(x.base, np.memmap)
        np.testing.assert_array_equal(x, data[0][0])
        np.testing.assert_array_equal(y, data[0][1])
        assert grid._received(*recipe)[1][0][0] is x
    assert not (tmp_path / "shared").exists()


def test_a_folder_that_is_made_again_has_data_of_its_own(data, tmp_path):
    """A worker keeps what it has received, but not for another comparison."""
    other = [(x[::-1], y) for x, y in data]
    few = {"rates": (0.01,), "baselines": False}
    with spawned(1) as pool:
        compare(data, tmp_path / "a", pool, **few)
        shutil.rmtree(tmp_path / "a")
        compare(other, tmp_path / "a", pool, **few)
    compare(other, tmp_path / "b", 1, **few)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_what_has_ended_is_saved_before_anything_stops_it(data, tmp_path):
    """Several trials have ended at once: an error in `log` costs none of them."""

    class AtOnce:
        def submit(self, function, *arguments):
            future = Future()
            future.set_result(function(*arguments))
            return future

    def stop(text):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        compare(data, tmp_path, AtOnce(), log=stop, baselines=False)
    assert len(eln.Comparison.read(tmp_path).trials) == 6


def test_shared_arrays_of_a_killed_process_are_removed(data, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "train-x.npy").write_bytes(b"x")
    compare(data, tmp_path, 1, rates=(0.01,), baselines=False)
    assert not (tmp_path / "shared").exists()


def looks_at(file):
    """Read a mapped file, and stay long enough for loky to measure the memory."""
    kept.append(np.load(file, mmap_mode="r"))
    kept[-1].sum()
    time.sleep(1.2)
    return os.getpid()


kept = []


@pytest.mark.process
def test_mapped_data_are_no_leak(tmp_path, recwarn):
    pytest.importorskip("psutil", reason="loky cannot measure memory without it")
    np.save(tmp_path / "large.npy", np.ones(50_000_000))  # 400 MB; loky's limit is 300
    with grid.Workers(1) as workers:
        found = [workers.submit(looks_at, tmp_path / "large.npy").result() for _ in range(3)]
    assert len(set(found)) == 1, "the worker was restarted"
    assert not recwarn.list
