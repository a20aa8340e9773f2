"""A file of tests as a checker: one pytest session, in which every test runs on every subject."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from elunet.teaching.grade._subjects import HUNG, MOST_HANGS, NOT_RUN, Subject, Verdict, run_alone
from elunet.teaching.grade._time_limit import TimeIsUp

try:
    import pytest
except ImportError as error:
    raise ImportError("grade: a file of tests needs pytest: pip install elunet[test]") from error

SWITCHED_OFF = (
    "cacheprovider",
    "faulthandler",
    "threadexception",
    "unraisableexception",
    "warnings",
)


class _Plugin:
    """Gives each test its subject, and notes which fail."""

    def __init__(self, subjects: list[Subject], seconds: float) -> None:
        self.subjects, self.seconds = subjects, seconds
        self.run: set[str] = set()
        self.hung: set[str] = set()
        self.failures: dict[str, dict[str, str]] = {subject.id: {} for subject in subjects}

    @pytest.fixture
    def _subject(self, request: Any) -> Subject:
        subject: Subject = request.param
        return subject

    @pytest.fixture
    def _made(self, _subject: Subject) -> dict[str, Any]:
        return _subject.fixtures()

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Run a test once for each subject if it takes one."""
        if "_subject" in metafunc.fixturenames:
            ids = [subject.id for subject in self.subjects]
            metafunc.parametrize("_subject", self.subjects, indirect=True, ids=ids)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: Any) -> bool | None:
        """Run a test within the time limit."""
        subject = _subject_of(pyfuncitem)
        if subject is None:
            return None
        self.run.add(subject.id)
        arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        try:
            run_alone(lambda: pyfuncitem.obj(**arguments), self.seconds)
        except TimeIsUp:
            self.hung.add(subject.id)
            if len(self.hung) >= MOST_HANGS:
                pyfuncitem.session.shouldstop = "too many tests hang"
            pytest.fail(f"not finished after {self.seconds:g} s")
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Generator[None, Any, Any]:
        """Note a failure."""
        report = yield
        subject = _subject_of(item)
        if subject is not None and report.failed and call.excinfo is not None:
            text = call.excinfo.exconly(tryshort=True).splitlines()
            self.failures[subject.id][item.originalname] = text[0] if text else ""
        return report

    def verdicts(self) -> Iterator[Verdict]:
        """Yield a verdict for each subject."""
        for subject in self.subjects:
            failures = self.failures[subject.id]
            if subject.id in self.hung:
                yield HUNG
            elif subject.id not in self.run and not failures:
                yield NOT_RUN
            else:
                said = "\n".join(f"{test}: {text}" for test, text in failures.items())
                yield Verdict(bool(failures), said, tuple(failures))


def _subject_of(item: Any) -> Subject | None:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    subject: Subject | None = parameters.get("_subject")
    return subject


def _fixture(name: str) -> Any:
    def value(self: _Plugin, _made: dict[str, Any]) -> Any:
        return _made[name]

    return pytest.fixture(name=name)(value)


def judge_by_file(path: Path, subjects: list[Subject], seconds: float) -> list[Verdict]:
    """Run the tests of a file on each subject."""
    if not path.is_file():
        raise ValueError(f"grade: expected the path of a file of tests, got {str(path)!r}")
    names = subjects[0].fixtures()
    plugin = type("Plugin", (_Plugin,), {f"the_{name}": _fixture(name) for name in names})(
        subjects, seconds
    )
    _forget(path)
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "pytest.ini")  # so that none near the file is read
        settings.write_text("[pytest]\n")
        options = [f"-pno:{name}" for name in SWITCHED_OFF]
        options += ["-q", "-s", "--import-mode=importlib", f"-c{settings}", f"--rootdir={folder}"]
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            mock.patch.dict(os.environ),
        ):
            os.environ.pop("PYTEST_ADDOPTS", None)  # the caller's session's, such as --cov
            pytest.main([str(path.resolve()), *options], plugins=[plugin])
    _forget(path)
    if not plugin.run and not any(plugin.failures.values()):
        raise ValueError(
            f"grade: expected tests in {path.name} that take {' or '.join(names)} as an argument; "
            f"pytest says:\n{printed.getvalue().strip()}"
        )
    return list(plugin.verdicts())


def _forget(path: Path) -> None:
    """Let the next import of a file read it again."""
    file = str(path.resolve())
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) == file:
            del sys.modules[name]
