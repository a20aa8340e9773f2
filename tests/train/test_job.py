"""A job's folder: what is in it, whether it is the same run, and that it resumes exactly."""

from __future__ import annotations

import json
import os

import pytest
from small_runs import Stop, assert_equal_runs, blobs, build, rows

import elunet as eln
from elunet.storage.locks import held
from elunet.storage.weights import network_arrays

X, Y = blobs()
TEST = X[:20], Y[:20]
SETTINGS = {"case": "d", "seed": 3}


def train(folder, resume=None, callbacks=(), epochs=2, **options):
    lines = []
    job = eln.Job(folder, lines.append)
    if resume is not None:
        job.resume(resume)
    trainer = build(settings=SETTINGS, callbacks=callbacks)
    summary = job.train(trainer, (X, Y), TEST, epochs, **options)
    return job, trainer, summary, lines


def test_what_a_run_leaves(tmp_path):
    drawn = []
    _, trainer, summary, lines = train(
        tmp_path / "a" / "run",
        draw=lambda history, file: drawn.append((len(history), file.name)),
        more={"case": "d"},
    )
    folder = tmp_path / "a" / "run"
    assert lines == []
    assert drawn == [(1, "curves.png"), (2, "curves.png")]
    assert rows(eln.History.from_csv(folder / "history.csv")) == rows(trainer.history)
    net = build().net
    eln.load(net, folder / "weights.safetensors")
    assert str(network_arrays(net)) == str(network_arrays(trainer.net))
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert list(summary)[:4] == ["case", "epochs", "steps", "train_images"]
    assert (summary["epochs"], summary["steps"], summary["train_images"]) == (2, 10, 90)
    assert summary["test_accuracy"] == trainer.history[-1].validation_accuracy
    assert (folder / "checkpoints" / "latest.safetensors").exists()
    assert [file.name for file in eln.Job(folder).files] == [  # nothing drew curves.png
        "history.csv",
        "summary.json",
        "weights.safetensors",
    ]


def test_an_interrupted_run_goes_on(tmp_path):
    with pytest.raises(eln.Interrupted) as caught:
        train(tmp_path, callbacks=[Stop(7)])
    assert caught.value.name == "SIGINT"
    job, trainer, _, lines = train(tmp_path, resume=tmp_path)
    assert lines == ["continuing after step 7, with 1 epochs complete"]
    assert not job.is_finished(2)  # when it was found
    alone = build(settings=SETTINGS)
    alone.fit((X, Y), TEST, epochs=2)
    assert_equal_runs(trainer, alone)


def test_a_finished_run_is_known(tmp_path):
    train(tmp_path)
    job = eln.Job(tmp_path)
    assert not job.is_finished(2)  # nobody has looked
    assert job.resume(tmp_path / "checkpoints" / "latest.safetensors") is job.saved
    assert job.is_finished(2)
    assert not job.is_finished(3)
    (tmp_path / "summary.json").unlink()
    assert not job.is_finished(2)
    train(tmp_path, resume=tmp_path)  # writes what is missing
    assert job.is_finished(2)


def test_another_run_is_told_apart(tmp_path):
    job = eln.Job(tmp_path)
    assert job.differences(SETTINGS) == {}
    train(tmp_path)
    job.resume(tmp_path)
    assert job.differences(SETTINGS) == {}
    other = {"case": "e", "seed": 4}
    assert job.differences(other, allow=["seed"]) == {"case": ("d", "e")}
    trainer = build(settings=SETTINGS, batch_size=10)
    with pytest.raises(ValueError, match="batch_size: expected 20, got 10"):
        job.train(trainer, (X, Y), TEST, 2)


def test_a_run_goes_on_in_another_folder(tmp_path):
    train(tmp_path / "one")
    train(tmp_path / "two", resume=tmp_path / "one")
    assert (tmp_path / "two" / "weights.safetensors").exists()
    assert (tmp_path / "two" / "summary.json").exists()


def test_a_run_without_a_checkpoint_begins_anew(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert eln.Job.is_in(tmp_path)
    lines = []
    assert eln.Job(tmp_path, lines.append).resume(tmp_path) is None
    assert lines == [f"{tmp_path} has no checkpoint yet; starting from the beginning"]
    with pytest.raises(OSError, match="expected a run's checkpoint, got no file"):
        eln.Job(tmp_path).resume(tmp_path / "none")


def test_a_run_is_not_replaced_unless_that_is_said(tmp_path):
    train(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    with pytest.raises(FileExistsError, match="without a run, got one in .*: resume it, or over"):
        train(tmp_path, epochs=1)
    with pytest.raises(FileExistsError):
        eln.Job(tmp_path).prepare()
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}


def test_a_run_that_is_replaced_is_moved_aside(tmp_path):
    train(tmp_path)
    kept = {name: (tmp_path / name).read_bytes() for name in ("history.csv", "summary.json")}
    kept["latest"] = (tmp_path / "checkpoints" / "latest.safetensors").read_bytes()
    for number in (1, 2):
        lines = []
        job = eln.Job(tmp_path, lines.append)
        job.prepare(overwrite=True)
        aside = tmp_path / f"earlier-{number}"
        assert not aside.exists()
        job.train(build(settings=SETTINGS), (X, Y), TEST, 1)
        assert lines == [f"the old run in {tmp_path} was moved to {aside}"]
        assert len(eln.History.from_csv(tmp_path / "history.csv")) == 1
    first = tmp_path / "earlier-1"
    assert (first / "history.csv").read_bytes() == kept["history.csv"]
    assert (first / "summary.json").read_bytes() == kept["summary.json"]
    assert (first / "checkpoints" / "latest.safetensors").read_bytes() == kept["latest"]


def test_a_run_from_elsewhere_does_not_replace_another(tmp_path):
    train(tmp_path / "one")
    train(tmp_path / "two")
    before = (tmp_path / "two" / "history.csv").read_bytes()
    with pytest.raises(FileExistsError, match="without a run, got one in .*two: resume"):
        train(tmp_path / "two", resume=tmp_path / "one")
    assert (tmp_path / "two" / "history.csv").read_bytes() == before


def test_two_jobs_in_one_folder(tmp_path):
    with held(tmp_path):
        with pytest.raises(BlockingIOError, match=rf"got process {os.getpid()} on .* using it"):
            train(tmp_path)
        assert not (tmp_path / "history.csv").exists()
    train(tmp_path)


def test_the_folder_that_a_path_means(tmp_path):
    train(tmp_path / "one")
    inside = tmp_path / "one" / "checkpoints"
    for place in (tmp_path / "one", inside, inside / "latest.safetensors"):
        assert eln.Job.folder_of(place) == tmp_path / "one"
    assert eln.Job.folder_of(tmp_path) is None
    assert eln.Job.folder_of(tmp_path / "one" / "weights.safetensors") is None


def test_other_versions_are_noted(tmp_path):
    train(tmp_path)
    lines = []
    job = eln.Job(tmp_path, lines.append)
    job.resume(tmp_path).versions["numpy"] = "1.0"
    job.train(build(settings=SETTINGS), (X, Y), TEST, 2)
    assert lines[0].startswith("note: the run began with numpy 1.0, here ")


def test_history_that_cannot_be_written_does_not_end_a_run(tmp_path, capsys):
    (tmp_path / "history.csv").mkdir()  # as if another program held it
    train(tmp_path)
    assert "could not write history or curves this time" in capsys.readouterr().out
    assert (tmp_path / "weights.safetensors").exists()
