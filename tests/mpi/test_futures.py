"""A comparison whose trials MPI's processes make, by mpi4py.futures."""

from __future__ import annotations

import pytest
from mpi_launch import MPIRUN, run

import elunet as eln

pytest.importorskip("mpi4py", reason="the extra elunet[mpi] is not installed")
pytest.importorskip("cloudpickle", reason="the extra elunet[grid] is not installed")


@pytest.mark.skipif(MPIRUN is None, reason="no mpirun: install openmpi or mpich")
def test_the_table_is_that_of_one_process(tmp_path):
    code, text = run(3, "futures.py", tmp_path, module=("-m", "mpi4py.futures"))
    assert code == 0, text
    assert "workers 2" in text
    tables = []
    for name in ("mpi", "alone"):
        trials = eln.Comparison.read(tmp_path / name).trials
        tables.append([(*t.key, t.train_loss, t.test_accuracy) for t in trials])
    assert len(tables[0]) == 20
    assert str(tables[0]) == str(tables[1])
