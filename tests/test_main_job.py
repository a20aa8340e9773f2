"""The main job as its user runs it: files, numbers, messages."""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import elunet as eln
from elunet.commands import train

SCRIPT = Path(__file__).parent.parent / "examples" / "cifar_elu11.py"
COMMAND = ("python", "examples/cifar_elu11.py")


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
    times = ("seconds", "images_per_s")
    with open(file, newline="") as stream:
        return [
            {key: cell for key, cell in row.items() if key not in times}
            for row in csv.DictReader(stream)
        ]


OPTIONS = ("--limit", "200", "--epochs", "2")


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory) -> list[tuple[Path, subprocess.CompletedProcess[str]]]:
    """A run that was left alone, and an equal one that was cut and resumed."""
    folder = tmp_path_factory.mktemp("job")
    whole = folder / "one", run(*OPTIONS, "--out", "one", cwd=folder)
    cut(*OPTIONS, "--out", "two", cwd=folder)
    return [whole, (folder / "two", run("--resume", "two", cwd=folder))]


def cut(*arguments: str, cwd: Path) -> None:
    """Start the job and end it after its first epoch."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("epoch   1"):
            process.terminate()
            break
    _, errors = process.communicate(timeout=500)
    if sys.platform != "win32":  # there, this is no signal but the end
        assert process.returncode == 143, errors
        assert "SIGTERM: stopped after step " in errors
        assert "  python examples/cifar_elu11.py --resume two --out two\n" in errors
    assert not (cwd / "two" / "summary.json").exists()


def test_it_writes_all_files_and_says_so(two_runs):
    out, done = two_runs[0]
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    summary = json.loads((out / "summary.json").read_text())
    history = eln.History.from_csv(out / "history.csv")
    assert summary["test_accuracy"] == history[-1].validation_accuracy
    assert not any(isinstance(value, dict | list) for value in summary.values())
    assert (summary["epochs"], summary["steps"], summary["train_images"]) == (2, 4, 200)
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    eln.load(eln.models.elu11(), out / "weights.safetensors")
    assert f"test accuracy {100 * summary['test_accuracy']:.2f} %" in done.stdout
    assert "about" in done.stdout.split("epoch ")[0]
    assert str(Path("one") / "curves.png") in done.stdout


def test_a_resumed_run_differs_from_an_equal_one_in_its_times_only(two_runs):
    (one, _), (two, done) = two_runs
    assert done.returncode == 0, done.stderr
    assert "continuing after step" in done.stdout
    assert rows(one / "history.csv") == rows(two / "history.csv")
    weights = [(out / "weights.safetensors").read_bytes() for out in (one, two)]
    assert weights[0] == weights[1]


def content(folder: Path) -> dict[str, bytes]:
    """Return all files by name."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_a_finished_run_is_left_as_it_is(two_runs):
    out, _ = two_runs[0]
    before = content(out)
    done = run("--resume", "one", "--out", "one", *OPTIONS, cwd=out.parent)
    assert done.returncode == 0, done.stderr
    assert "this run is finished: 2 epochs; nothing to do" in done.stdout
    assert "test accuracy" in done.stdout
    assert content(out) == before


def call(*arguments) -> argparse.Namespace:
    """Run the first half of the job in this process: what comes before training."""
    return train.run(train.parse(arguments, COMMAND))


def test_a_resume_with_other_options_lists_the_differences(two_runs):
    out, _ = two_runs[0]
    before = content(out)
    options = ("--case", "d", "--limit", "100", "--seed", "3", "--epochs", "4")
    with pytest.raises(SystemExit) as caught:
        call("--resume", str(out), *options)
    message = str(caught.value)
    assert f"--resume {out}: expected the options of that run, got differences:" in message
    assert "--case: expected quick, got d" in message
    assert "--limit: expected 200, got 100" in message
    assert "--seed: expected 0, got 3" in message
    assert "--epochs: expected 2, got 4" in message
    assert "--data synthetic (SHA-256 of its images): expected " in message
    assert content(out) == before


def test_what_cannot_be_resumed(tmp_path):
    for arguments, message in (
        (["--resume", str(tmp_path / "none")], "expected a run's checkpoint, got no file"),
        (["--resume", str(tmp_path)], "expected a run's checkpoint, got no file"),
        (["--resume", str(SCRIPT)], "as a safetensors file, got another kind of file"),
    ):
        with pytest.raises(SystemExit) as caught:
            call(*arguments)
        assert str(caught.value).startswith(f"--resume {arguments[1]}: expected")
        assert message in str(caught.value)
    net = eln.Sequential([eln.layers.Linear(2, 2)], seed=0)
    trainer = eln.Trainer(net, eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1))
    trainer.save(tmp_path / "other")
    with pytest.raises(
        SystemExit, match="to be a checkpoint of this job, got a checkpoint of another run"
    ):
        call("--resume", str(tmp_path / "other"))


def test_a_run_that_was_cut_before_its_first_checkpoint_begins_anew(tmp_path, capsys):
    (tmp_path / "checkpoints").mkdir()
    options = argparse.Namespace(resume=str(tmp_path), out=None, group=None)
    assert train.find_job(options).saved is None
    assert options.out == tmp_path
    assert "no checkpoint yet; starting from the beginning" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "0"], "--minutes: expected a number above 0, got 0"),
        (["--epochs", "0"], "expected an integer of at least 1 and at most 100,000, got '0'"),
        (
            ["--limit", "many"],
            "expected an integer of at least 1 and at most 1,000,000,000, got 'many'",
        ),
        (["--seed", "-1"], "--seed: expected an integer of at least 0 and at most 9,"),
        (["--case", "z"], "invalid choice: 'z'"),
    ],
)
def test_what_cannot_be_had_is_told(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        train.parse(arguments, COMMAND)
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
    assert "cannot continue" in done.stderr
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


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--resume", ""], "argument --resume: expected a folder or a file, got nothing"),
        (["--minutes", "inf"], "argument --minutes: expected a number above 0, got inf"),
        (["--minutes", "nan"], "argument --minutes: expected a number above 0, got nan"),
    ],
)
def test_options_are_checked_before_anything_is_touched(arguments, text, tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    done = run(*arguments, "--out", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert text in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


def test_another_run_is_not_replaced_unless_that_is_said(tmp_path):
    (tmp_path / "history.csv").write_text("epoch\n1\n")
    done = run("--limit", "100", "--epochs", "1", "--out", ".", cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot continue: expected a folder without a run, got one in ." in done.stderr
    assert (tmp_path / "history.csv").read_text() == "epoch\n1\n"
    done = run("--limit", "100", "--epochs", "1", "--out", ".", "--overwrite", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "earlier-1" / "history.csv").read_text() == "epoch\n1\n"
    assert len(rows(tmp_path / "history.csv")) == 1
