"""numba's cache of compiled kernels: damaged files, a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = [pytest.mark.jit, pytest.mark.numba]

COMPUTE = textwrap.dedent(
    """
    import numpy as np
    from elunet.kernels.finite import all_finite
    x = np.ones(3)
    assert all_finite(x) and not all_finite(x * np.inf)
    print(sum(all_finite.stats.cache_hits.values()))
    """
)
NO_ROOM = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
"""


def compute(folder, before=""):
    """Run a kernel in another process; return how often it came from the cache, and warnings."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    command = [sys.executable, "-c", before + COMPUTE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout), done.stderr.strip()


def kept(folder, ending):
    return next(folder.glob(f"*/finite.all_finite*.{ending}"))


@pytest.fixture
def folder(tmp_path):
    assert compute(tmp_path) == (0, "")
    assert compute(tmp_path) == (1, "")
    return tmp_path


def truncated(content):
    return content[: len(content) // 2]


def empty(content):
    return b""


def zeroed(content):
    """As a file system leaves the last pages of a file after a power cut."""
    return content[: len(content) // 2] + bytes(len(content) - len(content) // 2)


def flipped(content):
    place = len(content) - 200
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", [truncated, empty, zeroed, flipped])
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_a_damaged_file_is_compiled_anew_and_that_is_said(folder, ending, damage):
    file = kept(folder, ending)
    file.write_bytes(damage(file.read_bytes()))
    hits, said = compute(folder)
    assert hits == 0
    assert said.count("RuntimeWarning") == 1
    assert "elunet: a compiled kernel could not be read" in said
    assert compute(folder) == (1, "")  # fixed


@pytest.mark.parametrize("room", [0, 1000])
def test_on_a_full_disk_it_computes_without_a_cache(tmp_path, room):
    pytest.importorskip("resource")
    hits, said = compute(tmp_path, NO_ROOM.replace("ROOM", str(room)))
    assert hits == 0
    assert said.count("RuntimeWarning") == 1
    assert "elunet: compiled kernels cannot be kept between runs ([Errno 27]" in said
    assert compute(tmp_path) == (0, "")
    assert compute(tmp_path) == (1, "")


def test_a_full_disk_leaves_no_kernel_of_an_older_source(folder):
    """numba's index, small enough to be written, would vouch for the file that was there before."""
    pytest.importorskip("resource")
    data = kept(folder, "nbc")
    kept(folder, "nbi").unlink()  # as if the source had changed
    compute(folder, NO_ROOM.replace("ROOM", "2000"))
    assert not data.exists() or not list(folder.glob("*/finite.all_finite*.nbi"))
    assert compute(folder) == (0, "")
