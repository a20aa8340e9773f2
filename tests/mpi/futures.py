"""A comparison on MPI's processes: ``mpirun -n 3 python -m mpi4py.futures futures.py FOLDER``."""

from __future__ import annotations

import sys

import numpy as np
from mpi4py.futures import MPIPoolExecutor

import elunet as eln

L, R = eln.layers, eln.routers


def network(seed):
    return eln.Sequential([L.Flatten(), L.Linear(4, 8), L.ELU(), L.Linear(8, 3)], seed=seed)


def main(folder):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 150)
    x = (rng.normal(0, 3, (3, 2, 2, 1))[y] + rng.normal(0, 1, (150, 2, 2, 1))).astype(np.float32)
    data = (x[:90], y[:90]), (x[90:120], y[90:120]), (x[120:], y[120:])
    rules = {"backprop": lambda seed: R.Backprop(), "fa": R.FeedbackAlignment}
    options = {"rates": (0.001, 0.01), "epochs": 1, "seeds": 2, "batch_size": 10, "log": print}
    with MPIPoolExecutor() as pool:
        print("workers", pool.num_workers)
        eln.compare(network, rules, *data, folder=f"{folder}/mpi", executor=pool, **options)
    eln.compare(network, rules, *data, folder=f"{folder}/alone", executor=1, **options)


if __name__ == "__main__":
    main(sys.argv[1])
