"""What every test shares: drawing without a screen, hypothesis profiles, and the real data set."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
from hypothesis import HealthCheck, settings

import elunet as eln
from elunet.kernels._jit import PLAIN

mpl.use("Agg")

# Started in the background (`pytest &` in a script, some CI), a process ignores SIGINT, and so
# would every child of the tests. They are about what Ctrl-C does otherwise.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A first call compiles its kernels, so no example may be judged by its time.
COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", COMMON)
CI = bool(os.environ.get("CI"))
settings.register_profile("ci", COMMON, derandomize=True, print_blob=True)
settings.register_profile("quick", COMMON, max_examples=10, derandomize=CI, print_blob=CI)
settings.load_profile("ci" if CI else "default")


def pytest_runtest_setup() -> None:
    """Have PyTorch compute without oneDNN.

    On a Zen 3 processor, with PyTorch 2.13, tests/test_torch.py aborts because memory is corrupted:
    with elunet's plain kernels too, and never without oneDNN. The public switch cannot be used:
    PyTorch's own test module, which `tests/peers` imports, locks it.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch._C._set_mkldnn_enabled(False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is about numba where the plain kernels are in use, and processes in a browser."""
    missing = {"numba": "numba is not in use"} if PLAIN else {}
    if sys.platform == "emscripten":
        missing["process"] = "there is one process"
    for item in items:
        for mark, reason in missing.items():
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Give every test the same number of threads: a documented example may set another."""
    before = eln.get_num_threads()
    yield
    if eln.get_num_threads() != before:
        eln.set_num_threads(before)


@pytest.fixture(scope="session")
def cifar10() -> Path:
    """Return the folder that ELUNET_CIFAR10 names: CIFAR-10's binary files, or their parent."""
    folder = os.environ.get("ELUNET_CIFAR10")
    if not folder:
        pytest.skip("ELUNET_CIFAR10 names no folder with CIFAR-10")
    return Path(folder)
