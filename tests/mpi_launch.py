"""How tests start a program as several processes of an MPI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import elunet as eln

HERE, MPIRUN = Path(__file__).parent / "mpi", shutil.which("mpirun")
LIMIT = 400  # seconds


def is_open():
    """Return whether mpirun is Open MPI's."""
    version = subprocess.run([str(MPIRUN), "--version"], capture_output=True, text=True)
    return "Open MPI" in version.stdout


def command(ranks, file, *arguments, module=()):
    """Return how a file is run by so many processes, or by one without MPI."""
    program = [sys.executable, *module, str(HERE / file), *map(str, arguments)]
    if ranks == 0:
        return program
    options = ["--bind-to", "none"]
    if is_open():
        options += ["--oversubscribe", "--allow-run-as-root"]
    return [str(MPIRUN), *options, "-n", str(ranks), *program]


def environment(**more):
    root = str(HERE.parents[1])
    return {**os.environ, "PYTHONPATH": root, "PYTHONWARNINGS": "ignore", **more}


def run(ranks, file, *arguments, module=(), **more):
    """Return (exit code, what was printed)."""
    done = subprocess.run(
        command(ranks, file, *arguments, module=module),
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    return done.returncode, done.stdout


def weights(folder):
    """Return the parameters that `mpi/run.py` left in a folder, as one array."""
    L = eln.layers
    layers = [L.Conv2D(3, 4, 3, stride=4), L.BatchNorm(4), L.ELU(), L.Dropout(0.2), L.Flatten()]
    net = eln.Sequential([*layers, L.Linear(256, 10)])
    eln.load(net, folder / "weights.safetensors")
    return np.concatenate([value.ravel() for value in net.parameters().values()])
