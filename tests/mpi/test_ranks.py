"""Training over processes of a real MPI: the curves of one process, and an end when one fails.

The MPI is the one whose mpirun stands first on the path: the system's, or that of the packages
openmpi or mpich.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mpi_launch import LIMIT, MPIRUN, command, environment, run, weights

pytest.importorskip("mpi4py", reason="the extra elunet[mpi] is not installed")
if MPIRUN is None:
    pytest.skip("no mpirun: install openmpi or mpich", allow_module_level=True)


def train(ranks, *arguments, **more):
    code, text = run(ranks, "equal.py", *arguments, **more)
    assert code == 0, text


def differences(one, other):
    """Return {case: (of weights and states, of curves)}, relative, over all arrays together."""
    sums = {}
    with np.load(one) as a, np.load(other) as b:
        assert a.files == b.files
        for key in a.files:
            case, name = key.split("/", 1)
            x, y = np.float64(a[key]), np.float64(b[key])
            place = sums.setdefault((case, "history" in name), [0.0, 0.0])
            place[0] += np.square(x - y).sum()
            place[1] += np.square(x).sum()
    found = {key: np.sqrt(d / n) for key, (d, n) in sums.items()}
    return {case: (found[case, False], found[case, True]) for case, _ in found}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Return a folder with what one process gives: on one thread, on two, and in float64."""
    folder = tmp_path_factory.mktemp("alone")
    for threads in (1, 2):
        file = folder / f"threads{threads}.npz"
        assert run(0, "equal.py", "all", file, THREADS=str(threads))[0] == 0
    train(0, "all", folder / "float64.npz", "float64")
    return folder


@pytest.mark.parametrize("ranks", [2, 3])
def test_curves_are_those_of_one_process(ranks, alone, tmp_path):
    train(ranks, "all", tmp_path / "ranks.npz", "distributed")
    found = differences(alone / "threads1.npz", tmp_path / "ranks.npz")
    usual = differences(alone / "threads1.npz", alone / "threads2.npz")
    assert len(found) >= 30
    wrong = {
        case: (weights, curves)
        for case, (weights, curves) in found.items()
        if weights > max(4 * usual[case][0], 1e-6) or curves > max(4 * usual[case][1], 1e-6)
    }
    assert not wrong
    assert any(weights > 0 for weights, _ in found.values())  # it was another computation


def test_curves_in_float64(alone, tmp_path):
    train(3, "all", tmp_path / "ranks.npz", "distributed", "float64")
    found = differences(alone / "float64.npz", tmp_path / "ranks.npz")
    assert max(map(max, found.values())) < 1e-12


def test_they_are_the_same_to_the_bit_each_time(tmp_path):
    for name in "ab":
        train(2, "batch-norm,kp", tmp_path / f"{name}.npz", "distributed")
    found = differences(tmp_path / "a.npz", tmp_path / "b.npz")
    assert set(found.values()) == {(0, 0)}


def test_an_mpi_that_one_thread_alone_may_call_gives_the_same(tmp_path):
    for level in ("multiple", "serialized"):
        more = {"MPI4PY_RC_THREAD_LEVEL": level}
        train(2, "wide,kp", tmp_path / f"{level}.npz", "distributed", **more)
    found = differences(tmp_path / "multiple.npz", tmp_path / "serialized.npz")
    assert set(found.values()) == {(0, 0)}


def start(ranks, *arguments):
    return subprocess.Popen(
        command(ranks, "run.py", *arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(job):
    """Return (exit code, the rest that was printed, seconds that it took)."""
    begin = time.perf_counter()
    text, _ = job.communicate(timeout=LIMIT)
    return job.returncode, text, time.perf_counter() - begin


def wait_for(job, step):
    """Return the process of each rank once all have made a step."""
    pids = {}
    for line in job.stdout:
        for found in re.findall(r"rank (\d+) pid (\d+) step (\d+)", line):  # MPICH joins lines
            rank, pid, done = map(int, found)
            if done >= step:
                pids[rank] = pid
        if len(pids) == 2:
            return pids
    raise AssertionError(f"the job ended before step {step}")


def is_running(pid):
    """Return whether there is a process that is more than a record of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the weights of a run of two processes that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    code, text = run(2, "run.py", folder)
    assert code == 0, text
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.safetensors",
        "history.csv",
        "latest.safetensors",
        "previous.safetensors",
        "weights.safetensors",
    ]  # the first process alone wrote
    return weights(folder)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_process_ends_all_after_a_step_and_saves(rank, whole, tmp_path):
    job = start(2, tmp_path, "--pause", "0.1")
    os.kill(wait_for(job, 4)[rank], signal.SIGTERM)
    code, text, seconds = end(job)
    assert code != 0
    assert "SIGTERM ended the run after step" in text
    assert seconds < 30
    assert not (tmp_path / "weights.safetensors").exists()
    code, text = run(2, "run.py", tmp_path)
    assert code == 0, text
    np.testing.assert_array_equal(weights(tmp_path), whole)


def test_a_killed_process_ends_the_job_and_the_rest_can_be_made(whole, tmp_path):
    job = start(2, tmp_path, "--pause", "0.1")
    pids = wait_for(job, 5)  # the first epoch of three steps is saved
    os.kill(pids[1], signal.SIGKILL)
    code, text, seconds = end(job)
    assert code != 0
    assert "signal 9" in text.lower() or "KILLED BY SIGNAL: 9" in text or "killed" in text.lower()
    assert seconds < 30
    deadline = time.monotonic() + 20
    while any(map(is_running, pids.values())):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    code, text = run(2, "run.py", tmp_path)
    assert code == 0, text
    np.testing.assert_array_equal(weights(tmp_path), whole)


@pytest.mark.parametrize("ranks", [3, 0])
def test_a_run_goes_on_with_another_number_of_processes(ranks, whole, tmp_path):
    assert run(2, "run.py", tmp_path, "--do", "SIGTERM", "--at", "4")[0] != 0
    arguments = ["--alone"] if ranks == 0 else []
    code, text = run(ranks, "run.py", tmp_path, *arguments, PYTHONWARNINGS="always")
    assert code == 0, text
    assert f"processes 2, here {max(ranks, 1)}" in text
    assert "its last bits may differ" in text
    np.testing.assert_allclose(weights(tmp_path), whole, rtol=1e-4, atol=1e-7)


def test_an_error_in_one_process_ends_the_job(tmp_path):
    code, text = run(2, "run.py", tmp_path, "--do", "raise")
    assert code != 0
    assert "OSError: the disk is gone" in text
    assert "elunet: rank 1 of 2 failed; the job ends" in text


def test_what_is_not_finite_ends_all(tmp_path):
    code, text = run(2, "run.py", tmp_path, "--do", "nan")
    assert code != 0
    assert "DivergenceError" in text


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("seed", "rank 1, state of the layers: expected"),
        ("W", "rank 1, state of the layers: expected"),
        ("data", "rank 1, data: train: expected"),
        ("matrix", "rank 1, router: expected FeedbackAlignment(seed=0"),
    ],
)
def test_a_process_that_differs_is_refused_before_the_first_step(what, text, tmp_path):
    code, said = run(2, "run.py", tmp_path, "--do", what, "--router", "FeedbackAlignment()")
    assert code != 0
    assert "to have the same before the first step, got differences from rank 0" in said
    assert text in said
    assert "step 1" not in said


def test_processes_that_drift_apart_are_noticed(tmp_path):
    code, said = run(2, "run.py", tmp_path, "--do", "drift", "--at", "4")
    assert code != 0
    assert "RuntimeError: Trainer: expected all 2 processes to have the same after step 6" in said
    assert "rank 1, state of the layers" in said


def test_a_rule_that_needs_the_whole_batch_is_refused(tmp_path):
    code, said = run(2, "run.py", tmp_path, "--router", "PEPITA()")
    assert code != 0
    assert "expected a rule whose gradients are sums over the batch's rows" in said


def test_the_main_job(tmp_path):
    """It trains, is cut, continues, and is finished; each process has its share of the cores."""
    few = ["train", "--distributed", "--limit", "60", "--epochs", "1", "--out", "run"]
    program = [sys.executable, "-W", "ignore", "-m", "elunet"]
    first = command(2, "run.py")[:-2]

    def elunet(*arguments):
        return subprocess.run(
            [*first, *program, *arguments],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    done = elunet(*few)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1
    assert "in each of 2 processes" in done.stdout
    again = elunet("train", "--distributed", "--resume", "run")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("this run is finished") == 1
    wrong = elunet("train", "--distributed", "--resume", "nowhere")
    assert wrong.returncode != 0
    assert "nowhere" in wrong.stderr
