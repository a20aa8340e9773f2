"""The command ``elunet``, as it is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import elunet as eln
from elunet import commands
from elunet.commands import check, compare, export, grade, info, zoo
from elunet.teaching import exercises

ROOT = Path(__file__).parent.parent


def elunet(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "elunet", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_help_lists_the_commands(capsys):
    for arguments in ([], ["--help"], ["help"]):
        assert commands.main(arguments) == 0
        text = capsys.readouterr().out
        assert text.startswith("usage: elunet COMMAND")
        for name in commands.COMMANDS:
            assert f"  {name} " in text
    assert commands.main(["--version"]) == 0
    assert capsys.readouterr().out == f"elunet {eln.__version__}\n"
    assert commands.main(["tain"]) == 2
    assert "expected one of the commands train, compare, check" in capsys.readouterr().err


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_each_command_has_help_that_shows_how_it_is_called(name, capsys):
    with pytest.raises(SystemExit) as ended:
        commands.main([name, "--help"], ("python", "-m", "elunet"))
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: python -m elunet {name}" in text
    assert name == "info" or f"    python -m elunet {name}" in text


def test_train_goes_on_and_is_exported(tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    done = elunet("train", "--limit", 100, "--epochs", 1, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["command"].startswith("python -m elunet train --limit 100")
    again = elunet("train", "--resume", "run", cwd=tmp_path)
    assert "this run is finished: 1 epochs" in again.stdout
    done = elunet("export", "run", "net.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "net.onnx: case quick after step 1" in done.stdout
    net = eln.recipes.RECIPES["quick"].network(0)
    eln.load(net, tmp_path / "run" / "weights.safetensors")
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    session = runtime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"input": x})
    np.testing.assert_allclose(got, net(x), rtol=1e-3, atol=1e-4)


def test_what_cannot_be_exported(tmp_path, capsys):
    assert export.main([str(tmp_path), "net.onnx"]) == 2
    assert "elunet export: expected a folder of elunet train, got" in capsys.readouterr().err
    net = eln.Sequential([eln.layers.Linear(2, 2)], seed=0)
    x, y = np.eye(2, dtype=np.float32), np.arange(2)
    trainer = eln.Trainer(net, eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.1))
    eln.Job(tmp_path / "other", log=lambda text: None).train(trainer, (x, y), (x, y), 1)
    assert export.main([str(tmp_path / "other"), "net.onnx"]) == 2
    assert "expected a run of elunet train in" in capsys.readouterr().err


def test_compare(tmp_path, capsys):
    arguments = ["--limit", "100", "--epochs", "1", "--seeds", "1", "--null", "2"]
    arguments += ["--net", "mlp", "--rules", "backprop,fa", "--rates", "0.01,0.03"]
    assert compare.main([*arguments, "--out", str(tmp_path / "rules")]) == 0
    assert "| fa " in (tmp_path / "rules" / "table.md").read_text()
    more = ["--scales", "0.3,1", "--sweep-seeds", "2", "--optimizer", "adam", "--decay", "0.01"]
    more += ["--validation", "30", "--rules", "backprop,kp", "--net", "mlp-tanh"]
    assert compare.main([*arguments, *more, "--out", str(tmp_path / "more")]) == 0
    found = eln.Comparison.read(tmp_path / "more")
    variants = {(trial.rule, trial.variant) for trial in found.trials if trial.stage == "sweep"}
    assert {v for rule, v in variants if rule == "kp"} == {"scale 0.3", ""}
    assert len(found.of("kp", "sweep")) == 2 * 2 * 2
    with pytest.raises(SystemExit):
        compare.main(["--rules", "backprop,none"])
    assert "expected --rules among backprop" in capsys.readouterr().err


def test_compare_in_a_folder_without_histories(tmp_path, capsys):
    """A copy of a folder of docs/data has trials and no histories: the command failed at its end.

    So it did if all final runs diverged in their first epoch.
    """
    arguments = ["--limit", "50", "--epochs", "1", "--seeds", "1", "--null", "0"]
    arguments += ["--net", "mlp", "--rules", "backprop,fa", "--rates", "0.01"]
    arguments += ["--out", str(tmp_path)]
    assert compare.main(arguments) == 0
    assert "curves" not in capsys.readouterr().out
    reason = f"because {tmp_path} has no histories of"
    for file in tmp_path.glob("history-[fs]*"):  # fa's and shallow's
        file.unlink()
    (tmp_path / "curves.png").unlink()
    assert compare.main(arguments) == 0
    text = f"curves.png is without fa, shallow, {reason} their final runs\n"
    assert text in capsys.readouterr().out
    assert (tmp_path / "curves.png").exists()
    for pattern in ("history-*", "angles-*", "curves.png", "table.md"):
        for file in tmp_path.glob(pattern):
            file.unlink()
    assert compare.main(arguments) == 0
    assert f"no curves are drawn, {reason} the final runs\n" in capsys.readouterr().out
    assert (tmp_path / "table.md").exists()
    assert not [*tmp_path.glob("angles-*"), *tmp_path.glob("curves.png")]


@pytest.mark.parametrize("net", ["cnn-norm", "mlp-tanh"])
def test_compare_on_digits(net, tmp_path, capsys):
    datasets = pytest.importorskip("sklearn.datasets")
    arguments = ["--data", "digits", "--limit", "300", "--epochs", "4", "--seeds", "1"]
    arguments += ["--net", net, "--rules", "backprop", "--rates", "0.01", "--out", str(tmp_path)]
    assert compare.main(arguments) == 0
    assert "300 training images, 60 validation images, 450 test" in capsys.readouterr().out
    (final,) = eln.Comparison.read(tmp_path).of("backprop")
    assert final.test_accuracy > 0.5
    (_, labels), _, (_, last) = compare.splits("digits")
    np.testing.assert_array_equal(labels, datasets.load_digits().target[:1100])
    np.testing.assert_array_equal(last, datasets.load_digits().target[-450:])
    assert compare.main([*arguments, "--limit", "1200"]) == 2
    assert "of at most 1347 images in total, got 1200 and 240" in capsys.readouterr().err


def test_compare_on_digits_takes_scikit_learn(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert compare.main(["--data", "digits", "--out", str(tmp_path)]) == 2
    assert "pip install 'elunet[sklearn]'" in capsys.readouterr().err


LAYERS = """
import numpy as np
from helper import SLOPE

class Right:
    def forward(self, x):
        self.x = x
        return SLOPE * x**2
    def backward(self, dy):
        return 2 * SLOPE * self.x * dy

class Wrong(Right):
    def backward(self, dy):
        return SLOPE * self.x * dy

class Dense:
    def __init__(self, n, m, scale=1.0):
        self.W = scale * np.random.default_rng(0).normal(size=(n, m))
    def forward(self, x):
        self.x = x
        return x @ self.W
    def backward(self, dy):
        self.dW = self.x.T @ dy
        return dy @ self.W.T

class Images(Right):
    def forward(self, x):
        n, h, w, c = x.shape
        return super().forward(x)
"""


@pytest.fixture(name="file")
def _file(tmp_path):
    (tmp_path / "helper.py").write_text("SLOPE = 3.0\n")
    (tmp_path / "mine.py").write_text(LAYERS)
    yield tmp_path / "mine.py"
    sys.modules.pop("helper", None)


@pytest.mark.parametrize(
    "arguments",
    [["Right"], ["Dense(4, 2)"], ["Dense(5, 2, scale=2.0)", "--input", "3,5"], ["Images"]],
)
def test_check_of_right_layers(file, arguments, capsys):
    assert check.main([f"{file}:{arguments[0]}", *arguments[1:]]) == 0
    assert "ok" in capsys.readouterr().out


def test_check_of_a_wrong_layer(file, capsys):
    assert check.main([f"{file}:Wrong"]) == 1
    assert "Wrong: dx is wrong" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ("Missing", "expected 'Missing' to make a layer in"),
        ("Dense", "expected 'Dense' to make a layer in"),
        ("Dense(3,", "expected 'Dense(3,' to make a layer in"),
        ("Dense(7, 2)", "expected a layer that takes x of shape (3, 4): "),
    ],
)
def test_what_cannot_be_checked(file, layer, text, capsys):
    assert check.main([f"{file}:{layer}"]) == 2
    assert text in capsys.readouterr().err


def test_check_of_no_file(tmp_path, capsys):
    assert check.main(["layer"]) == 2
    assert "expected FILE.py:Layer or" in capsys.readouterr().err
    assert check.main([f"{tmp_path}/none.py:Layer"]) == 2
    with pytest.raises(SystemExit):
        check.main(["a.py:B", "--input", "3,x"])
    assert "expected integers with commas, got '3,x'" in capsys.readouterr().err


def test_zoo(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("from elunet.testing import check_layer as check\n")
    arguments = [f"{file}:check", "--of", "ELU", "--json", str(tmp_path / "points.json")]
    assert zoo.main(arguments) == 0
    assert "DoubleSlope" in capsys.readouterr().out
    assert json.loads((tmp_path / "points.json").read_text())
    for checker, text in (
        (f"{file}:other", "expected 'other' in"),
        (f"{tmp_path}/none.py:check", "none.py"),
        (f"{file}:check", "expected of among"),
    ):
        assert zoo.main([checker, "--of", "Nothing" if "among" in text else "ELU"]) == 2
        assert text in capsys.readouterr().err


def test_grade(tmp_path, capsys):
    file = exercises()[0].folder / "solution.py"
    out = tmp_path / "results.json"
    assert grade.main(["softplus", str(file), "--format", "gradescope", "--out", str(out)]) == 0
    assert "10 of 10 points" in capsys.readouterr().out
    assert json.loads(out.read_text())["score"] == 10
    assert grade.main(["hardplus", str(file)]) == 2
    assert "expected an exercise among softplus, concat," in capsys.readouterr().err
    assert grade.main(["softplus", str(tmp_path / "none.py")]) == 0
    assert "0 of 10 points\nexpected softplus.py" in capsys.readouterr().out
    assert grade.main(["softplus", str(file), "--memory", "3"]) == 2
    assert "expected memory in [256, inf)" in capsys.readouterr().err


def test_info(capsys):
    assert info.main([]) == 0
    text = capsys.readouterr().out
    for word in (eln.__version__, np.__version__, "kernels", "threads", "ELUNET_CIFAR10"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--limit", "4"], "expected an integer of at least 5"),
        (["--limit", "-5"], "expected an integer of at least 5"),
        (["--epochs", "0"], "expected an integer of at least 1"),
        (["--seeds", "two"], "expected an integer of at least 1"),
        (["--threads", "99999"], "at most 1,024"),
        (["--threads", "-1"], "expected an integer of at least 1"),
        (["--null", "-3"], "expected an integer of at least 0"),
        (["--rates", "0.1,0"], "expected a number above 0, got '0'"),
        (["--rates", "nan"], "expected a number above 0, got 'nan'"),
        (["--rates", "abc"], "expected a number above 0, got 'abc'"),
        (["--out", ""], "expected a folder or a file, got nothing"),
        (["--data", " "], "expected a folder or a file, got nothing"),
    ],
)
def test_compare_with_options_beyond_sense(arguments, text, capsys, tmp_path, monkeypatch):
    """99,999 threads took all memory, and --out "" was the folder one stood in."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        compare.main(arguments)
    assert ended.value.code == 2
    assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_compare_that_cannot_go_on(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    few = ["--limit", "50", "--epochs", "1", "--seeds", "1", "--rules", "backprop"]
    few += ["--rates", "0.01", "--net", "mlp"]
    assert compare.main([*few, "--data", str(tmp_path / "none")]) == 2
    assert "elunet compare: load_cifar10: expected" in capsys.readouterr().err
    assert compare.main([*few, "--out", str(tmp_path / "file")]) == 2
    assert "elunet compare: " in capsys.readouterr().err

    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "run", interrupted)
    assert compare.main(few) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_export_replaces_no_file_of_the_run(tmp_path, capsys):
    """``export run run/weights.safetensors`` replaced the weights."""
    with pytest.raises(SystemExit) as ended:
        export.main([str(tmp_path), str(tmp_path / "weights.safetensors")])
    assert ended.value.code == 2
    assert "expected a name that ends in .onnx" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "layer", "text"),
    [
        ("raise SystemExit(0)", "A", "got a call of sys.exit(0)"),
        ("import nosuchmodule", "A", "No module named 'nosuchmodule'"),
        ("def (", "A", "SyntaxError"),
        ("class A:\n    def __init__(self): raise RuntimeError('boo')", "A", "RuntimeError: boo"),
        ("class A:\n    def forward(self, x): exit(0)\n    backward = forward", "A", "sys.exit(0)"),
        ("class A: pass", "1/0", "ZeroDivisionError"),
        ("class A: pass", "A().b", "AttributeError"),
    ],
)
def test_what_could_not_be_checked_is_neither_right_nor_wrong(
    content, layer, text, tmp_path, capsys
):
    """A file with sys.exit(0) passed; one that fails counted as wrong gradients."""
    file = tmp_path / "my_layer.py"
    file.write_text(content)
    assert check.main([f"{file}:{layer}"]) == 2
    assert text in capsys.readouterr().err


def test_a_file_to_grade_that_ends_the_process(tmp_path, capsys):
    file = tmp_path / "my_check.py"
    file.write_text("raise SystemExit(0)")
    assert zoo.main([f"{file}:check"]) == 2
    assert "got a call of sys.exit(0)" in capsys.readouterr().err
