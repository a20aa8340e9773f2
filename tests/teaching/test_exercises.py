"""The exercises: every test fails on the blank stub, and passes on the solution."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from elunet.teaching import mutants
from elunet.teaching.submission._exercise import find
from elunet.testing import LayerContract, LossContract

ROOT = Path(__file__).parents[2]
EXERCISES = ROOT / "elunet" / "teaching" / "exercises"
FOLDERS = sorted(path for path in EXERCISES.iterdir() if (path / "task.md").exists())
EACH = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)

# One bug for each solution that its tests have to find, besides the zoo's mutants.
BUGS = {
    "softplus": ("(1 + np.tanh(self.x / 2)) / 2", "(self.x > 0)"),
    "concat": ("np.cumsum([array.shape[-1] for array in x])[:-1]", "len(x)"),
    "huber": (" / r.size", " / len(r)"),
    "lion": ("self.beta2 * m + (1 - self.beta2)", "self.beta1 * m + (1 - self.beta1)"),
    "maxout": ("self.winner[:, None] == pieces", "True"),
    "layer_norm": ("g - shift - x_hat * along", "g - shift"),
    "depthwise_conv": ("dx[pixels] += ", "dx[pixels] = "),
    "gradient_check": ("rng.normal(size=y.shape)", "0 * y"),
}


def module_of(folder):
    """Return the name of the file that a student writes."""
    (test,) = folder.glob("test_*.py")
    return test.stem.removeprefix("test_")


ALL_OF_THEM = ("-p", "no:cacheprovider", "-o", "addopts=")  # the settings stop at a failure


def run(folder):
    """Run all exercises in a folder; {exercise: [outcome of each test]}, without those skipped."""
    report = folder / "report.xml"
    subprocess.run(
        [sys.executable, "-m", "pytest", *ALL_OF_THEM, f"--junitxml={report}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        stdout=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    found = {module_of(exercise): [] for exercise in FOLDERS}
    for case in ElementTree.parse(report).iter("testcase"):
        name = next(part for part in case.get("classname").split(".") if part.startswith("test_"))
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        if kinds != {"skipped"}:
            found[name.removeprefix("test_")].append("failed" if kinds else "passed")
    return found


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Return the outcomes for the stubs, the solutions, and the solutions with a bug."""
    found = {}
    for kind in ("stub", "solution", "bug"):
        copy = tmp_path_factory.mktemp(kind) / "exercises"
        shutil.copytree(EXERCISES, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for folder in FOLDERS:
            module, solution = module_of(folder), (folder / "solution.py").read_text("utf-8")
            if kind == "bug":
                right, wrong = BUGS[module]
                assert solution.count(right) == 1, module
                solution = solution.replace(right, wrong)
            if kind != "stub":
                (copy / folder.name / f"{module}.py").write_text(solution, "utf-8")
            (copy / folder.name / "solution.py").unlink()  # nothing may need it
        found[kind] = run(copy)
    return found


@EACH
def test_every_test_fails_on_the_stub(folder, outcomes):
    found = outcomes["stub"][module_of(folder)]
    assert len(found) >= 4
    assert set(found) == {"failed"}


@EACH
def test_every_test_passes_on_the_solution(folder, outcomes):
    exercise = module_of(folder)
    assert set(outcomes["solution"][exercise]) == {"passed"}
    assert len(outcomes["solution"][exercise]) == len(outcomes["stub"][exercise])


@EACH
def test_a_bug_is_found(folder, outcomes):
    assert "failed" in outcomes["bug"][module_of(folder)]


@EACH
def test_a_failure_is_short_and_about_the_students_code(folder, tmp_path):
    shutil.copy(EXERCISES / "pytest.ini", tmp_path)
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
    module = module_of(folder)
    outside = {key: value for key, value in os.environ.items() if key != "CI"}  # there it says all
    for text in (None, (folder / "solution.py").read_text("utf-8").replace(*BUGS[module])):
        if text is not None:
            (copy / f"{module}.py").write_text(text, "utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", folder.name],
            cwd=tmp_path,
            env=outside | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 1
        assert 5 < len(done.stdout.splitlines()) < 25, done.stdout
        assert "site-packages" not in done.stdout
        assert f"{os.sep}elunet{os.sep}testing" not in done.stdout


@EACH
def test_every_test_has_its_points(folder):
    exercise = find(folder)
    names = [name for part in exercise.parts for name in part.tests]
    assert len(names) == len(set(names))
    assert set(exercise.needed) <= set(names)
    assert sum(part.points for part in exercise.parts) == 10
    if exercise.check:
        assert set(names) == {m.name for m in mutants.layers() if m.is_findable}
        return
    tests = set(re.findall(r"def (test_\w+)", exercise.tests.read_text("utf-8")))
    assert tests <= set(names) <= tests | set(dir(LayerContract)) | set(dir(LossContract))


@EACH
def test_a_stub_is_its_solution_with_the_work_left_out(folder):
    """The same names and docstrings, so that students need not guess."""

    def names(text):
        return re.findall(r"^ *(?:class|def) (?:\w+)|(?<=\"\"\").+", text, re.MULTILINE)

    stub = (folder / f"{module_of(folder)}.py").read_text("utf-8")
    solution = (folder / "solution.py").read_text("utf-8")
    assert set(names(stub)) <= set(names(solution))
    assert "NotImplementedError" in stub
    assert "NotImplementedError" not in solution


@EACH
def test_a_task_has_what_it_needs(folder):
    task = (folder / "task.md").read_text("utf-8")
    assert task.startswith(f"# Exercise {int(folder.name[:2])}: ")
    assert f"python -m pytest {folder.name}" in task
    assert f"{module_of(folder)}.py" in task
    assert "$$" in task
    assert "Hints" in task


def test_the_page_lists_them():
    page = (ROOT / "docs" / "teaching.md").read_text("utf-8")
    assert re.findall(r"^exercises/(\w+)$", page, re.MULTILINE) == [
        folder.name for folder in FOLDERS
    ]
