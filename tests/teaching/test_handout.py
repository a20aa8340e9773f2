"""What teachers hand out, and the files for graders: they are complete, and their scripts run."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from elunet.commands import exercises as command
from elunet.teaching import exercises
from elunet.teaching.submission import _handout

ROOT = Path(__file__).parents[2]
SOFTPLUS = exercises()[0]


def bash(script, **variables):
    """Run a script as a grader does; the submission runs as this user."""
    done = subprocess.run(
        ["bash", str(script)],
        env={**os.environ, "GRADE_USER": "root", **variables},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def stand_in_for_python(path):
    """Write a python that is this one."""
    path.parent.mkdir(parents=True)
    path.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)


def test_students_get_no_solutions(tmp_path, capsys):
    assert command.main(["student", str(tmp_path)]) == 0
    assert "without solutions" in capsys.readouterr().out
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    for exercise in exercises():
        for file in ("task.md", f"{exercise.module}.py", f"test_{exercise.module}.py"):
            assert f"{exercise.name}/{file}" in names
    assert not [name for name in names if "solution" in name or "points" in name]
    for path in tmp_path.rglob("*.py"):
        if not path.name.startswith("test_"):
            assert "NotImplementedError" in path.read_text("utf-8")


def test_one_exercise(tmp_path, capsys):
    assert command.main(["student", str(tmp_path), "huber"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"03_huber", "pytest.ini"}
    assert command.main(["student", str(tmp_path), "hubert"]) == 2
    assert "expected an exercise among softplus, concat" in capsys.readouterr().err
    assert command.main([]) == 0
    assert "softplus        Exercise 1: Softplus" in capsys.readouterr().out


def test_gradescope_from_the_zip_file_to_the_result(tmp_path):
    file = tmp_path / "autograder.zip"
    assert command.main(["gradescope", "softplus", str(file), "--points", "20"]) == 0
    with zipfile.ZipFile(file) as archive:
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
        archive.extractall(tmp_path / "source")
    for script in ("setup.sh", "run_autograder"):  # at the root of the archive
        assert modes[script] & 0o111
        assert subprocess.run(["bash", "-n", str(tmp_path / "source" / script)]).returncode == 0
    assert "exercise/01_softplus/test_softplus.py" in modes
    assert not [name for name in modes if "solution" in name or "__pycache__" in name]
    stand_in_for_python(tmp_path / "env" / "bin" / "python")
    handed_in = tmp_path / "submission"
    handed_in.mkdir()
    for text, points in ((SOFTPLUS.folder / "solution.py", 20), (SOFTPLUS.stub, 0)):
        (handed_in / "softplus.py").write_text(text.read_text("utf-8"), "utf-8")
        bash(tmp_path / "source" / "run_autograder", AUTOGRADER=str(tmp_path))
        found = json.loads((tmp_path / "results" / "results.json").read_text("utf-8"))
        assert found["score"] == points
        assert len(found["tests"]) > 10


def test_there_is_a_result_if_the_grader_fails(tmp_path):
    _handout.write_gradescope(SOFTPLUS, tmp_path / "autograder.zip")
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        archive.extract("run_autograder", tmp_path / "source")
    bash(tmp_path / "source" / "run_autograder", AUTOGRADER=str(tmp_path))  # no Python there
    found = json.loads((tmp_path / "results" / "results.json").read_text("utf-8"))
    assert found["score"] == 0
    assert "could not finish" in found["output"]


def test_prairielearn_from_the_folder_to_the_result(tmp_path):
    image, job = tmp_path / "image", tmp_path / "grade"
    assert command.main(["prairielearn", "softplus", str(image)]) == 0
    options = json.loads((image / "info.json").read_text("utf-8"))["externalGradingOptions"]
    assert options["enabled"] is True
    assert options["entrypoint"] == "/grader/grade.sh"
    assert options["timeout"] <= 600
    docker = (image / "Dockerfile").read_text("utf-8")
    for source in re.findall(r"^COPY (\S+) ", docker, re.MULTILINE):
        assert (image / source).exists()
    stand_in_for_python(tmp_path / "bin" / "python")
    (job / "student").mkdir(parents=True)
    variables = {"GRADER": str(image), "GRADE": str(job)}
    variables["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    solution = (SOFTPLUS.folder / "solution.py").read_text("utf-8")
    for text, gradable in ((None, False), ("class", False), (solution, True)):
        if text is not None:
            (job / "student" / "softplus.py").write_text(text, "utf-8")
        bash(image / "grade.sh", **variables)
        found = json.loads((job / "results" / "results.json").read_text("utf-8"))
        assert found["gradable"] is gradable
    assert found["score"] == 1.0


def test_graders_install_what_elunet_needs():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    needed = re.findall(r"^([\w-]+)", config["options"]["install_requires"], re.MULTILINE)
    assert set(needed) == set(_handout.NEEDED)
    packages = _handout._packages().split()
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", package) for package in packages)
    assert {package.partition("==")[0] for package in packages} == {*needed, "pytest"}


def test_a_name_that_a_shell_would_read_is_refused(tmp_path):
    folder = tmp_path / "a; rm -rf b"
    folder.mkdir()
    (folder / "points.toml").write_text(
        'module = "m"\n[[part]]\nname = "p"\npoints = 1\ntests = ["test_m"]\n'
    )
    exercise = _handout.find(folder)
    with pytest.raises(ValueError, match="expected a folder's name of letters and digits"):
        _handout.write_gradescope(exercise, tmp_path / "out.zip")


def test_an_installed_elunet_has_the_exercises_without_their_solutions():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert "teaching/exercises/*/*" in config["options.package_data"]["elunet"]
    assert config["options.exclude_package_data"]["elunet"].split() == [
        "teaching/exercises/*/solution.py"
    ]
