"""The default number of threads in a container: what its quota of CPU time allows."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import elunet as eln
from elunet.engine import threads
from elunet.engine.cores import available_cores

TWO = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw"
ONE = "34 25 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct"
OTHER = "35 25 0:30 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Return a function that makes the files of a system with eight cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)

    def make(own, mounts, files):
        for name, text in {
            "proc/self/cgroup": own,
            "proc/self/mountinfo": "\n".join(mounts),
            **files,
        }.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")
        return str(tmp_path)

    return make


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("10000 100000", 1),
        ("max 100000", 8),
        ("6400000 100000", 8),
        ("50000 10000", 5),
        ("300000", 3),
        ("0 0", 8),
        ("", 8),
        ("nonsense", 8),
        ("-1 100000", 8),
    ],
)
def test_version_2(system, text, cores):
    """In a container: its group is the root of what it sees."""
    files = {"sys/fs/cgroup/cpu.max": text}
    assert available_cores(system("0::/", [TWO.format(root="/")], files)) == cores


@pytest.mark.parametrize(
    ("quota", "cores"), [("-1", 8), ("200000", 2), ("50000", 1), ("0", 8), ("x", 8)]
)
def test_version_1(system, quota, cores):
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": quota,
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
    }
    own = "9:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc"
    mounts = [OTHER, ONE.format(root="/docker/abc")]
    assert available_cores(system(own, mounts, files)) == cores


def test_groups_above_count_too(system):
    """As with systemd: a slice's limit holds for all below it."""
    files = {
        "sys/fs/cgroup/user.slice/cpu.max": "300000 100000",
        "sys/fs/cgroup/user.slice/a/cpu.max": "max 100000",
        "sys/fs/cgroup/user.slice/a/b/cpu.max": "500000 100000",
        "sys/fs/cgroup/other/cpu.max": "100000 100000",
    }
    own, mounts = "0::/user.slice/a/b", [TWO.format(root="/")]
    assert available_cores(system(own, mounts, files)) == 3


def test_both_versions_at_once(system):
    """The hybrid of some systems: version 1 limits CPUs, version 2 is there without."""
    files = {
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "400000",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
    }
    own = "4:cpu,cpuacct:/job\n0::/job"
    unified = TWO.format(root="/").replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
    assert available_cores(system(own, [ONE.format(root="/"), unified], files)) == 4


def test_a_name_that_the_container_does_not_see(system):
    """The group has the host's name, and what is mounted is the group itself."""
    files = {"sys/fs/cgroup/cpu.max": "150000 100000"}
    own, mounts = "0::/../../kubepods/pod1", [TWO.format(root="/kubepods/pod1")]
    assert available_cores(system(own, mounts, files)) == 2


@pytest.mark.parametrize("mounts", [[], ["nonsense"], ["1 2 3 4 5 -"], [""]])
@pytest.mark.parametrize("own", ["", "nonsense", "0::", "::", "0::/a"])
def test_files_that_make_no_sense(system, own, mounts):
    assert available_cores(system(own, mounts, {})) == 8


def test_no_files(tmp_path, monkeypatch):
    """As on other systems than Linux."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores(str(tmp_path)) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores(str(tmp_path)) == 1


def test_folders_in_place_of_files(system, tmp_path):
    root = system("0::/", [TWO.format(root="/")], {})
    (tmp_path / "sys/fs/cgroup/cpu.max").mkdir(parents=True)
    assert available_cores(root) == 8


def test_it_is_the_default(monkeypatch):
    monkeypatch.setattr(threads, "_pool", threads._Pool())
    monkeypatch.setattr(threads, "available_cores", lambda: 3)
    assert eln.get_num_threads() == 3


def _own_group():
    """Return a folder in which this process may make groups with a quota; None if there is none."""
    for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"):
        folder = os.path.join(top, f"elunet_test_{os.getpid()}")
        try:
            os.mkdir(folder)
        except OSError:
            continue
        if {"cpu.max", "cpu.cfs_quota_us"}.intersection(os.listdir(folder)):
            return folder
        os.rmdir(folder)
    return None


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_a_real_group():
    """Where the tests may make one."""
    folder = _own_group()
    if folder is None:
        pytest.skip("no control group can be made here")
    try:
        try:
            with open(os.path.join(folder, "cpu.max"), "w") as file:
                file.write("100000 100000")
        except OSError:
            with open(os.path.join(folder, "cpu.cfs_quota_us"), "w") as file:
                file.write("100000")
        code = (
            f"open({os.path.join(folder, 'cgroup.procs')!r}, 'w').write('0')\n"
            "import elunet; print(elunet.get_num_threads())"
        )
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert run.stdout == "1\n", run.stderr
    finally:
        os.rmdir(folder)
