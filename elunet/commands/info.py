"""Print versions, threads, kernels and the folders of data sets."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from elunet import kernels
from elunet.kernels._jit import PLAIN, in_use
from elunet.train import versions

COMMAND = ("elunet", "info")
PLACES = ("ELUNET_CIFAR10", "ELUNET_CIFAR100", "ELUNET_MNIST", "ELUNET_FASHION_MNIST")


def main(arguments: Sequence[str] | None = None, command: Sequence[str] = COMMAND) -> int:
    """Print information about this installation; return the exit code."""
    parser = argparse.ArgumentParser(prog=shlex.join(command), description=__doc__)
    parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    found = {**versions.current(), "system": platform.platform(), "cores": os.cpu_count()}
    found["kernels"] = in_use()
    if not PLAIN:
        found["kernels' cache"] = os.environ.get("NUMBA_CACHE_DIR") or str(
            Path(kernels.__file__).parent / "__pycache__"
        )
    for place in PLACES:
        found[place] = os.environ.get(place, "not set: the user's cache folder")
    for name, value in found.items():
        print(f"{name:22}{value}")
    return 0
