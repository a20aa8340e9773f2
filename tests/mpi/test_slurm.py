"""A real Slurm: trainings that srun starts, the script of the how-to page, comparisons as arrays.

It takes a Slurm that answers (one machine is enough) and whose srun knows how to start the MPI.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from mpi_launch import HERE, LIMIT, MPIRUN, is_open, run, weights

import elunet as eln

ROOT = HERE.parents[1]


def answer(*command):
    """Return what a command prints; "" if it is not there or fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr if done.returncode == 0 else ""


if "up" not in answer("sinfo"):
    pytest.skip("no Slurm that answers", allow_module_level=True)
pytest.importorskip("mpi4py", reason="the extra elunet[mpi] is not installed")
if MPIRUN is None:
    pytest.skip("no mpirun: install openmpi or mpich", allow_module_level=True)
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "PYTHONWARNINGS": "ignore",
    "SLURM_MPI_TYPE": "pmix" if is_open() else "pmi2",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


def srun(*program):
    """Return a job of two processes that has been started."""
    command = ["srun", "-K", "--overcommit", "-n", "2", sys.executable, *map(str, program)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def finish(job):
    """Return (exit code, the rest that was printed)."""
    text, _ = job.communicate(timeout=LIMIT)
    return job.returncode, text


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the weights of a run of two processes that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    code, text = finish(srun(HERE / "run.py", folder))
    assert code == 0, text
    return weights(folder)


def test_srun_trains_as_one_process_does(whole, tmp_path):
    code, text = run(0, "run.py", tmp_path, "--alone")
    assert code == 0, text
    np.testing.assert_allclose(whole, weights(tmp_path), rtol=1e-4, atol=1e-7)
    assert np.any(whole != weights(tmp_path))  # it was another computation


@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_a_job_that_slurm_ends_is_resumed(signal, whole, tmp_path):
    """TERM asks, as at the end of its time; KILL takes one process, and -K then the others."""
    job = srun(HERE / "run.py", tmp_path, "--pause", "0.2")
    pids = {}
    for line in job.stdout:
        if found := re.match(r"rank (\d) pid (\d+) step (\d+)", line):
            rank, pid, step = map(int, found.groups())
            pids[rank] = pid
            if step >= 5 and len(pids) == 2:  # the first epoch of three steps is saved
                break
    subprocess.run(["kill", f"-{signal}", str(pids[1])], check=True)
    code, text = finish(job)
    assert code != 0
    if signal == "TERM":
        assert "SIGTERM ended the run after step" in text
    assert not (tmp_path / "weights.safetensors").exists()
    code, text = finish(srun(HERE / "run.py", tmp_path))
    assert code == 0, text
    np.testing.assert_array_equal(weights(tmp_path), whole)


def page_script():
    """Return the job script of the how-to page."""
    text = (ROOT / "docs/several_machines.md").read_text()
    (script,) = re.findall(r"```sh\n(#!/bin/sh\n#SBATCH.*?)```", text, re.DOTALL)
    return script


def test_the_script_of_the_page(tmp_path):
    """It is handed in twice; Slurm ends it by its signal, and the second continues the first."""
    script = page_script()
    changes = {
        "--nodes=4": "--nodes=1 --overcommit",
        "--ntasks-per-node=8": "--ntasks-per-node=2",
        "--time=12:00:00": "--time=2",
        '--data "$HOME/cifar10" --case paper': "--limit 400 --epochs 60",
        "--signal=TERM@120": "--signal=TERM@70",
    }
    for old, new in changes.items():
        assert old in script
        script = script.replace(old, new)
    file = tmp_path / "job.sh"
    file.write_text(
        script.replace("elunet train", f"{shlex.quote(sys.executable)} -m elunet train")
    )
    history = tmp_path / "runs/elu11/history.csv"
    home = {**ENVIRONMENT, "HOME": str(tmp_path)}

    def hand_in():
        return subprocess.run(
            ["sbatch", "--wait", "-o", str(tmp_path / "out.txt"), str(file)],
            env=home,
            cwd=tmp_path,
            timeout=LIMIT,
        ).returncode

    lengths = []
    for _ in range(2):
        assert hand_in() != 0
        assert "SIGTERM: stopped after step" in (tmp_path / "out.txt").read_text()
        lengths.append(len(history.read_text().splitlines()))
    assert 1 <= lengths[0] < lengths[1] < 61


def network(seed):
    L = eln.layers
    return eln.Sequential([L.Flatten(), L.Linear(4, 8), L.ELU(), L.Linear(8, 3)], seed=seed)


@pytest.mark.filterwarnings("ignore")
def test_a_comparison_as_job_arrays(tmp_path, monkeypatch):
    submitit = pytest.importorskip("submitit")
    # In a job this file's functions are looked for by the names of its module and its helpers.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, HERE, HERE.parent))))
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 150)
    x = (rng.normal(0, 3, (3, 2, 2, 1))[y] + rng.normal(0, 1, (150, 2, 2, 1))).astype(np.float32)
    data = (x[:90], y[:90]), (x[90:120], y[90:120]), (x[120:], y[120:])
    rules = {"backprop": lambda seed: eln.routers.Backprop(), "fa": eln.routers.FeedbackAlignment}
    options = {"rates": (0.001, 0.01), "epochs": 1, "seeds": 1, "batch_size": 10}
    executor = submitit.AutoExecutor(folder=tmp_path / "jobs", cluster="slurm")
    executor.update_parameters(timeout_min=10)
    tables = []
    for name, where in (("slurm", executor), ("alone", 1)):
        with warnings.catch_warnings(action="ignore"):
            eln.compare(
                network,
                rules,
                *data,
                folder=tmp_path / name,
                executor=where,
                baselines=False,
                log=None,
                **options,
            )
        trials = eln.Comparison.read(tmp_path / name).trials
        tables.append([(*t.key, t.validation_accuracy, t.test_accuracy) for t in trials])
    assert str(tables[0]) == str(tables[1])
    assert any(re.match(r"\d+_\d+_", path.name) for path in (tmp_path / "jobs").iterdir())  # arrays
