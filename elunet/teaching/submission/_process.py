"""The processes of a submission: started in a fresh folder, limited, and ended completely.

One process imports NumPy and makes copies of itself, one for each test. The grader keeps the only
other end of each connection, has the last word on time, and ends whatever the submission started
before it says how many points there are.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1]
LARGEST_SUBMISSION = 20 << 20
"""The limit in bytes for the files of a submission."""
MOST_PRINTED = 1000
"""The number of printed characters that are kept."""
LAYER_NEEDS = ("_types", "_checks", "_quiet", "_display", "_group", "layers.base")
"""Modules of elunet behind its class Layer, in the order of their imports."""


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Attributes
    ----------
    seconds : float
        For one test, on the clock.
    total : float
        For all tests together.
    memory : int
        In MB, for each process.
    user : str or None
        The user of the system as whom it runs; only root can choose one.
    """

    seconds: float = 20.0
    total: float = 240.0
    memory: int = 2048
    user: str | None = None


class NoSubmissionError(ValueError):
    """There is no file to grade, or the files are too large."""


def copy_of(submission: Path, module: str, folder: Path) -> None:
    """Copy a submission into a folder, with the module under its name.

    Raises
    ------
    NoSubmissionError
        If there is no such file.
    """
    name = f"{module}.py"
    if submission.is_file():
        _check_size([submission])
        shutil.copyfile(submission, folder / name)
        return
    if not submission.is_dir():
        raise NoSubmissionError(f"expected {name}, or a folder with it, got no {submission.name}")
    root = submission
    if not (root / name).is_file():  # the archive of a folder, perhaps
        inner = [path for path in sorted(root.iterdir()) if (path / name).is_file()]
        if len(inner) != 1:
            there = ", ".join(sorted(p.name for p in root.iterdir())[:10]) or "nothing"
            raise NoSubmissionError(f"expected {name}, got {there}")
        root = inner[0]
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]
    _check_size(files)
    for path in files:
        if path.resolve().is_relative_to(root.resolve()):
            target = folder / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _check_size(files: Sequence[Path]) -> None:
    if sum(path.stat().st_size for path in files) > LARGEST_SUBMISSION:
        raise NoSubmissionError(f"expected at most {LARGEST_SUBMISSION >> 20} MB of files")


def sources_of_layer() -> dict[str, str]:
    """Return the modules that a submission finds as elunet: its base class of layers, no more."""
    found = {"elunet": "", "elunet.layers": ""}
    for name in LAYER_NEEDS:
        found[f"elunet.{name}"] = (PACKAGE / f"{name.replace('.', '/')}.py").read_text("utf-8")
    return found


class Processes:
    """The first process of a submission, and its copies.

    Parameters
    ----------
    submission : Path
    module : str
        The name by which it is imported.
    uses_elunet : bool
        Whether it finds elunet's base class of layers.
    limits : Limits
    """

    def __init__(self, submission: Path, module: str, uses_elunet: bool, limits: Limits) -> None:
        self.limits = limits
        self.until = time.monotonic() + limits.total
        self._printed = bytearray()
        self._copies: list[int] = []
        self._folder = Path(tempfile.mkdtemp(prefix="submission-"))
        try:
            work = self._folder / "work"
            work.mkdir()
            copy_of(submission, module, work)
            self._start(work.resolve(), module, uses_elunet)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def _start(self, work: Path, module: str, uses_elunet: bool) -> None:
        ours, theirs = socket.socketpair()
        numpy = Path(np.__file__).parent
        limits = {
            "AS": self.limits.memory << 20,
            "CPU": int(self.limits.seconds) + 5,
            "FSIZE": 1 << 20,
            "CORE": 0,
            "NOFILE": 64,
        }
        settings = {
            "border": (HERE / "_border.py").read_text("utf-8"),
            "guard": (HERE / "_guard.py").read_text("utf-8"),
            "elunet": sources_of_layer() if uses_elunet else {},
            "packages": str(numpy.parent),
            "numpy": str(numpy),
            "folder": str(work),
            "module": module,
            "limits": limits,
        }
        options: dict[str, Any] = {}
        if self.limits.user is not None:
            limits["NPROC"] = 64
            options = {"user": self.limits.user, "group": _group(self.limits.user)}
            options["extra_groups"] = []
            self._folder.chmod(0o755)
            for path in (work, *work.rglob("*")):
                shutil.chown(path, self.limits.user)
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        code = (HERE / "_inside.py").read_text("utf-8")
        try:
            self._first = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-u", "-c", code, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                cwd=work,
                env={"LC_ALL": "C.UTF-8", "HOME": str(work), **dict.fromkeys(threads, "1")},
                start_new_session=True,
                **options,
            )
        finally:
            theirs.close()
        self._control = ours
        self._reader = threading.Thread(target=self._read_prints, daemon=True)
        self._reader.start()
        ours.settimeout(max(60.0, self.limits.seconds))
        data = json.dumps(settings).encode()
        try:
            ours.sendall(struct.pack("<I", len(data)) + data)
            is_ready = ours.recv(1) == b"r"
        except OSError:
            is_ready = False
        if not is_ready:
            self.end()
            raise RuntimeError(f"grade: the submission's process does not start: {self.printed}")

    def connect(self) -> socket.socket:
        """Start a fresh copy and return the connection to it.

        Raises
        ------
        OSError
            If there is no first process any more.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"c"], [theirs.fileno()])
        number = self._control.recv(4)
        if len(number) != 4:
            raise OSError("the submission ended the process that starts its copies")
        self._copies.append(struct.unpack("<I", number)[0])
        return ours

    @property
    def time_is_up(self) -> bool:
        """Whether the time for all tests is used."""
        return time.monotonic() > self.until

    @property
    def printed(self) -> str:
        """The first of what the submission printed; each line once, since each test imports it."""
        lines = bytes(self._printed).decode("utf-8", "replace").splitlines()
        return "\n".join(dict.fromkeys(lines))[:MOST_PRINTED]

    def _read_prints(self) -> None:
        stream = self._first.stdout
        while stream is not None and (part := stream.read1(1 << 16)):  # type: ignore[attr-defined]
            self._printed += part[: 4 * MOST_PRINTED - len(self._printed)]

    def end_copies(self) -> None:
        """End all copies and what they started."""
        for number in self._copies:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(number, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        self._copies.clear()

    def end(self) -> None:
        """End everything that the submission started, and remove its folder."""
        self.end_copies()
        self._control.close()
        if self._first.stdin is not None:
            self._first.stdin.close()  # so it ends what is below it, and then itself
        try:
            self._first.wait(20)
        except subprocess.TimeoutExpired:
            self._first.kill()
            self._first.wait()
        self._reader.join(1)
        if self._first.stdout is not None and not self._reader.is_alive():
            self._first.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _group(user: str) -> int:
    """Return a user's group."""
    import pwd

    return pwd.getpwnam(user).pw_gid
