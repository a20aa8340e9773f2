"""Run an exercise's tests on a submission: pytest in this process, the submission in another.

Each test gets a fresh copy of the submission's process. It passes if the test passes and the
process is still there afterwards.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from elunet.teaching.submission._exercise import Exercise
from elunet.teaching.submission._grade import Mark
from elunet.teaching.submission._process import Processes
from elunet.teaching.submission._stand_in import Session, StandIns, SubmissionEndedError

try:
    import pytest
except ImportError as error:
    raise ImportError("grade: an exercise's tests need pytest: pip install elunet[test]") from error

SWITCHED_OFF = ("cacheprovider", "faulthandler", "threadexception", "unraisableexception")
MOST_HANGS = 2
"""After this many tests that take too long, the rest is not run."""
MOST_LINES = 14
"""The largest number of lines shown of a failure."""


class _Plugin:
    """Gives each test a fresh copy of the submission, and notes what failed."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.session: Session | None = None
        self.failures: dict[str, str] = {}
        self.passed: set[str] = set()
        self.hangs = 0

    def connected(self) -> Session:
        """Return the session of the test that runs."""
        if self.session is None:
            self.start()
        return self.session  # type: ignore[return-value]

    def start(self) -> None:
        """Start a copy."""
        deadline = min(time.monotonic() + self.processes.limits.seconds, self.processes.until)
        self.session = Session(self.processes.connect(), deadline)

    def stop(self) -> None:
        """End the copy."""
        if self.session is not None:
            self.session.connection.close()
            self.session = None
        self.processes.end_copies()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Generator[None, Any, Any]:
        """Run a test on a copy of its own."""
        name = item.originalname
        if self.hangs >= MOST_HANGS or self.processes.time_is_up:
            self.failures.setdefault(name, "not run: the tests before it took too long")
            item.runtest = lambda: pytest.skip("no time left")
            item.setup = lambda: None
            return (yield)
        self.start()
        try:
            return (yield)
        finally:
            ended = self.connected().ended
            if ended:
                self.failures.setdefault(name, ended)
            self.hangs += "too long" in ended
            self.stop()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Generator[None, Any, Any]:
        """Note how a test ended."""
        report = yield
        if report.failed and call.excinfo is not None:
            self.failures.setdefault(item.originalname, _words(call.excinfo))
        elif report.passed and report.when == "call":
            self.passed.add(item.originalname)
        return report


def _words(failure: Any) -> str:
    """Return the message of a failed test: its assertion, without a traceback."""
    if isinstance(failure.value, SubmissionEndedError):
        return str(failure.value)
    text = str(failure.value)
    if not isinstance(failure.value, AssertionError):
        text = f"{failure.type.__name__}: {text}"
    lines = [line for line in text.strip().splitlines() if line.strip()]
    more = ["..."] if len(lines) > MOST_LINES else []
    return "\n".join([*lines[:MOST_LINES], *more])


def run_tests(exercise: Exercise, processes: Processes) -> tuple[list[Mark], str]:
    """Run the tests; return a mark for each test with points, and why none could be run, or ""."""
    plugin = _Plugin(processes)
    try:
        printed = _run_pytest(exercise, plugin)
    finally:
        plugin.stop()
    if not plugin.passed and not plugin.failures:
        return [], printed
    return list(_marks(exercise, plugin)), ""


def _run_pytest(exercise: Exercise, plugin: _Plugin) -> str:
    """Run the tests' file with stand-ins in place of the module; return what pytest prints."""
    stand_ins = StandIns(exercise.module, plugin.connected)
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "pytest.ini")  # so that none near the file is read
        settings.write_text("[pytest]\n")
        options = [f"-pno:{name}" for name in SWITCHED_OFF]
        options += ["-q", "-s", "--import-mode=importlib", f"-c{settings}", f"--rootdir={folder}"]
        options += ["--noconftest", "--tb=line", "-Wignore"]
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            mock.patch.dict(os.environ),
            _in_place_of(exercise, stand_ins),
        ):
            os.environ.pop("PYTEST_ADDOPTS", None)
            pytest.main([str(exercise.tests), *options], plugins=[plugin])
    return printed.getvalue().strip()


@contextlib.contextmanager
def _in_place_of(exercise: Exercise, stand_ins: StandIns) -> Iterator[None]:
    """Let the tests import the stand-ins by the module's name; forget the tests afterwards."""
    before = sys.modules.get(exercise.module)
    sys.modules[exercise.module] = stand_ins
    try:
        yield
    finally:
        del sys.modules[exercise.module]
        if before is not None:
            sys.modules[exercise.module] = before
        for name, module in list(sys.modules.items()):
            if getattr(module, "__file__", None) == str(exercise.tests):
                del sys.modules[name]


def _marks(exercise: Exercise, plugin: _Plugin) -> Iterator[Mark]:
    """Yield a mark for each test that has points."""
    good = plugin.passed - plugin.failures.keys()
    missing = [name for name in exercise.needed if name not in good]
    for part in exercise.parts:
        share = part.points / len(part.tests)
        for name in part.tests:
            passed = name in good
            message = plugin.failures.get(name, "" if passed else "not run")
            if passed and missing and name not in exercise.needed:
                message = f"passed, but counts only if {missing[0]} passes"
            counts = passed and (not missing or name in exercise.needed)
            yield Mark(name, share * counts, share, passed, part.name, message)
