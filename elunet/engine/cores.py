"""How many cores this process may use: the machine's, the scheduler's mask, a container's quota.

A container that is given two cores' time of a machine with 64 sees all 64. With 64 threads it has
used up its share of each tenth of a second after three milliseconds, and then has to wait. Linux
says the share in control groups: files in the process's own folder and in those above it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath


def available_cores(root: str = "/") -> int:
    """Return how many cores this process may use, at least 1.

    A quota of two and a half cores counts as three.

    Parameters
    ----------
    root : str
        Where the system's files are; another folder for tests.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    least = min(_quotas(Path(root)), default=math.inf)
    return cores if least >= cores else max(1, math.ceil(least))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the cores' time per time of this process's control groups, those that have a limit."""
    for top, group, mounted in _groups(root):
        # In a container, the group's name may be the host's, and its folder is the mounted one.
        inside = PurePosixPath("/", group)
        if inside.is_relative_to(mounted):
            inside = PurePosixPath("/", inside.relative_to(mounted))
        for path in (inside, *inside.parents):
            folder = root / top.lstrip("/") / str(path).lstrip("/")
            with suppress(OSError, ValueError, ZeroDivisionError):
                quota = _quota(folder)
                if 0 < quota < math.inf:
                    yield quota


def _quota(folder: Path) -> float:
    """Return a group's quota in cores; infinity or a negative number if it has none."""
    both = folder / "cpu.max"  # version 2
    if both.exists():
        time, _, period = both.read_text().partition(" ")
        return math.inf if time == "max" else int(time) / int(period or 100_000)
    time = (folder / "cpu.cfs_quota_us").read_text()
    return int(time) / int((folder / "cpu.cfs_period_us").read_text())


def _groups(root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (where the groups are mounted, this process's group, the group mounted there)."""
    try:
        own = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except (OSError, ValueError):  # not Linux
        return
    for line in own:  # hierarchy:controllers:group; version 2 has no controllers
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in mounts:  # id parent device root place options ... - kind source options
            fields, _, kind = mount.partition(" - ")
            parts, kinds = fields.split(), kind.split()
            if len(parts) < 5 or len(kinds) < 3:
                continue
            first, second = kinds[0] == "cgroup", kinds[0] == "cgroup2"
            if (first and controllers and "cpu" in kinds[2].split(",")) or (
                second and not controllers
            ):
                yield _plain(parts[4]), group, _plain(parts[3])


def _plain(path: str) -> str:
    """Return a path of mountinfo, where spaces and the like are octal numbers."""
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
