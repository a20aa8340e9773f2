"""The versions and the number of threads that a run's last bits depend on."""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from elunet.engine.threads import get_num_threads
from elunet.kernels._jit import version


def current() -> dict[str, Any]:
    """Return those of this process."""
    return {
        "elunet": sys.modules[__name__.partition(".")[0]].__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": version(),
        "machine": platform.machine(),
        "threads": get_num_threads(),
    }


def differences(saved: Mapping[str, Any], allow: Collection[str] = ()) -> list[str]:
    """Return a text for each that differs from a checkpoint's."""
    return [
        f"{name} {saved.get(name)}, here {here}"
        for name, here in current().items()
        if saved.get(name) != here and name not in allow
    ]
