"""Every exception crosses a process boundary: a pool that cannot read one hangs for ever."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

import elunet
from elunet.teaching.submission._border import BorderError, ClosedError
from elunet.teaching.submission._checker import _UnusableError
from elunet.teaching.submission._process import NoSubmissionError
from elunet.teaching.submission._stand_in import SubmissionEndedError
from elunet.testing import GradientCheckError
from elunet.testing._find.returned import UnmatchedError
from elunet.testing._optimizers.designs import UnknownDesignError
from elunet.testing._report import Row
from elunet.train.guards import DivergenceError
from elunet.train.interrupts import Interrupted

EXAMPLES = [
    DivergenceError(3, "conv1.W", "run/latest"),
    DivergenceError(0, "the loss"),
    Interrupted(signal.SIGTERM, 7, Path("run/latest")),
    Interrupted(signal.SIGINT, 7, None),
    GradientCheckError("dx is wrong", "dx", (0, 1), "the sign", [Row("dx", 1.0, 1.0, 2, 2)]),
    UnmatchedError("two of one shape"),
    UnknownDesignError.of("no step", ["step(net)"]),
    *(
        kind("what came")
        for kind in (
            BorderError,
            ClosedError,
            NoSubmissionError,
            SubmissionEndedError,
            _UnusableError,
        )
    ),
]
INTERNAL = {"TimeIsUp"}  # caught where they are raised
INTERNAL |= {"MalformedError", "UnknownDtypeError", "UnholdableError"}


def test_no_exception_is_left_out():
    for module in pkgutil.walk_packages(elunet.__path__, "elunet."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, queue = set(), [BaseException]
    for kind in queue:
        queue += kind.__subclasses__()
        if kind.__module__.startswith("elunet."):
            found.add(kind.__name__)
    assert found - INTERNAL == {type(error).__name__ for error in EXAMPLES}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "travel",
    [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_exceptions_survive(error, travel):
    other = travel(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)


def fail():
    """Raise in another process."""
    raise DivergenceError(3, "conv1.W")


def test_a_pool_of_processes_hands_them_on():
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(DivergenceError, match="first in conv1.W"),
    ):
        pool.submit(fail).result(timeout=60)
