"""What `import elunet` may cost, and that it works where nothing may be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(code: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter; a change of None removes a variable."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT)} | changes
    result = subprocess.run(
        [sys.executable, "-P", "-c", code],  # -P: not from the current folder
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result


def test_import_loads_nothing_heavy_and_starts_no_thread():
    run(
        """
import sys, threading
import elunet as eln
heavy = {"matplotlib", "tqdm", "pooch", "hypothesis", "pytest", "torch", "PIL"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert threading.active_count() == 1, threading.enumerate()
"""
    )


@pytest.mark.numba
def test_import_compiles_nothing():
    run(
        """
import gc, importlib, pkgutil
from numba.core.dispatcher import Dispatcher
import elunet
import elunet.kernels
for module in pkgutil.iter_modules(elunet.kernels.__path__, "elunet.kernels."):
    importlib.import_module(module.name)
ours = [f for f in gc.get_objects()
        if isinstance(f, Dispatcher) and f.py_func.__module__.startswith("elunet")]
assert ours
compiled = [f.__name__ for f in ours if f.signatures]
assert not compiled, compiled
""",
        NUMBA_DISABLE_JIT=None,
    )


def test_import_leaves_the_process_as_it_was():
    run(
        """
import os, random, signal, sys, warnings
import numba, numpy as np, threadpoolctl

def settings():
    blas = [(lib["filepath"], lib["num_threads"]) for lib in threadpoolctl.threadpool_info()]
    return (dict(os.environ), np.geterr(), np.random.get_state()[1].tolist(), random.getstate(),
            list(warnings.filters), signal.getsignal(signal.SIGINT), blas)

before = settings()
import elunet
after = settings()
for old, new in zip(before, after):
    assert old == new, (old, new)
"""
    )


@pytest.mark.numba
@pytest.mark.skipif(sys.platform == "win32", reason="user folders come from the registry there")
@pytest.mark.parametrize("home", ["plain-file", None])
def test_works_where_nothing_can_be_written(tmp_path, home):
    """A read-only installation, with a HOME that is none and without one: it warns once, and runs.

    Permissions would not do for this, since they do not hold for a superuser: a plain file stands
    where each folder would have to be made.
    """
    package = tmp_path / "site-packages" / "elunet"
    shutil.copytree(ROOT / "elunet", package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [package, *filter(Path.is_dir, package.rglob("*"))]:
        (folder / "__pycache__").write_text("not a folder")
    (tmp_path / "plain-file").write_text("")
    run(
        """
import warnings
import numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import elunet as eln
    net = eln.Sequential([eln.layers.Conv2D(1, 2, 3), eln.layers.ELU(), eln.layers.Flatten(),
                          eln.layers.Linear(32, 3)], seed=0)
    x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(2, 4, 4, 1)
    y = net.forward(x, train=True)
    dx = net.backward(np.ones_like(y))
assert "site-packages" in eln.__file__
assert y.shape == (2, 3) and np.isfinite(y).all() and np.isfinite(dx).all()
assert len(caught) == 1, [str(w.message) for w in caught]
assert caught[0].category is RuntimeWarning
assert "NUMBA_CACHE_DIR" in str(caught[0].message)
""",
        HOME=home and str(tmp_path / home),
        XDG_CACHE_HOME=str(tmp_path / "plain-file" / "cache"),
        PYTHONPATH=str(package.parent),
        NUMBA_DISABLE_JIT=None,
        NUMBA_CACHE_DIR=None,
    )


def test_dir_lists_what_is_imported_at_its_first_use():
    run(
        """
import sys
import elunet
assert set(elunet.__all__) <= set(dir(elunet))
assert not {"elunet.teaching", "elunet.testing"} & sys.modules.keys()
assert {"strategies", "check_layer"} <= set(dir(elunet.testing))
assert "hypothesis" not in sys.modules
"""
    )
