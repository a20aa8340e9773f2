"""The main job as its user runs it: files, numbers, messages."""

from __future__ import annotations

import argparse
import csv
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import elunet as eln

SCRIPT = Path(__file__).parent.parent / "examples" / "cifar_elu11.py"
JOB = runpy.run_path(str(SCRIPT))


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parent.parent)}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


def rows(file: Path) -> list[dict[str, str]]:
    times = ("seconds", "pictures_per_s")
    with open(file, newline="") as stream:
        return [
            {key: cell for key, cell in row.items() if key not in times}
            for row in csv.DictReader(stream)
        ]


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory) -> list[tuple[Path, subprocess.CompletedProcess[str]]]:
    folder = tmp_path_factory.mktemp("job")
    return [
        (folder / name, run("--limit", "200", "--epochs", "2", "--out", name, cwd=folder))
        for name in ("one", "two")
    ]


def test_it_writes_all_files_and_says_so(two_runs):
    out, done = two_runs[0]
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    summary = json.loads((out / "summary.json").read_text())
    history = eln.History.from_csv(out / "history.csv")
    assert summary["test_accuracy"] == history[-1].validation_accuracy
    assert not any(isinstance(value, dict | list) for value in summary.values())
    assert (summary["epochs"], summary["steps"], summary["train_pictures"]) == (2, 4, 200)
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    eln.load(eln.models.elu11(), out / "weights.safetensors")
    assert f"test accuracy {100 * summary['test_accuracy']:.2f} %" in done.stdout
    assert "about" in done.stdout.split("epoch ")[0]
    assert str(Path("one") / "curves.png") in done.stdout


def test_two_equal_runs_differ_in_their_times_only(two_runs):
    (one, _), (two, _) = two_runs
    assert rows(one / "history.csv") == rows(two / "history.csv")
    weights = [(out / "weights.safetensors").read_bytes() for out in (one, two)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "x"], "--resume is not there yet"),
        (["--epochs", "0"], "expected an integer of at least 1, got '0'"),
        (["--limit", "many"], "expected an integer of at least 1, got 'many'"),
        (["--seed", "-1"], "--seed: expected an integer of at least 0, got -1"),
        (["--case", "z"], "invalid choice: 'z'"),
    ],
)
def test_what_cannot_be_had_is_told(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cifar_elu11.py", *arguments])
    with pytest.raises(SystemExit) as caught:
        JOB["parse"]()
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_folder_is_told(tmp_path):
    done = run("--data", "nowhere", cwd=tmp_path)
    assert done.returncode == 1
    assert "--data nowhere:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_in_the_place_of_out_is_told(tmp_path):
    (tmp_path / "taken").write_text("")
    done = run("--limit", "100", "--epochs", "1", "--out", "taken", cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot go on" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_quick_recipe_learns_made_pictures_fast(tmp_path):
    done = run("--limit", "2000", "--epochs", "3", "--out", "quick", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "quick" / "summary.json").read_text())
    assert summary["steps"] == 60
    assert summary["test_accuracy"] > 0.5


@pytest.mark.slow
def test_the_quick_recipe_learns_real_pictures_fast(cifar10, tmp_path):
    options = ("--data", str(cifar10), "--limit", "2000", "--epochs", "2")
    done = run(*options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "runs" / "elu11" / "summary.json").read_text())
    assert summary["steps"] == 40
    assert summary["test_accuracy"] > 0.15


def test_history_that_cannot_be_written_does_not_end_a_run(tmp_path, monkeypatch, capsys):
    options = argparse.Namespace(out=tmp_path, case="quick")
    files = JOB["Files"](options)
    (tmp_path / "history.csv").mkdir()  # as a table that another program holds
    net = eln.Sequential([eln.layers.Linear(2, 2)], seed=0)
    trainer = eln.Trainer(
        net, eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1), callbacks=[files]
    )
    trainer.fit((np.ones((4, 2), np.float32), np.zeros(4, int)), epochs=1)
    assert "could not write history or curves this time" in capsys.readouterr().out
    assert (tmp_path / "weights.safetensors").exists()
