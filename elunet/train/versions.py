"""The versions and the number of threads that the last bits of a run depend on."""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from elunet._group import ALONE, Alone
from elunet.engine.threads import get_num_threads
from elunet.kernels._jit import version

ALONE_IS = {"processes": 1, "mpi": ""}
"""Entries that a checkpoint of one process may leave out."""


def current(group: Alone = ALONE) -> dict[str, Any]:
    """Return those of this process, and the number of processes."""
    together = {"processes": group.size, "mpi": group.about} if group.size > 1 else {}
    return {
        "elunet": sys.modules[__name__.partition(".")[0]].__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": version(),
        "machine": platform.machine(),
        "threads": get_num_threads(),
        **together,
    }


def differences(
    saved: Mapping[str, Any], allow: Collection[str] = (), group: Alone = ALONE
) -> list[str]:
    """Return a text for each that differs from a checkpoint's."""
    there, here = ALONE_IS | dict(saved), ALONE_IS | current(group)
    return [
        f"{name} {there.get(name)}, here {value}"
        for name, value in here.items()
        if there.get(name) != value and name not in allow
    ]
