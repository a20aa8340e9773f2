"""The confusion matrix shows the right counts."""

from __future__ import annotations

import numpy as np
import pytest

import elunet as eln


def cells(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_counts(tmp_path):
    figure = eln.plots.confusion(
        [0, 1, 1, 2, 2, 2], [0, 0, 1, 2, 2, 1], ["a", "b", "c"], file=tmp_path / "c.png"
    )
    axes = figure.axes[0]
    assert cells(figure) == ["1", "1", "0", "0", "1", "1", "0", "0", "2"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted", "True")
    assert figure.get_suptitle() == "66.7 % of 6 right"
    shares = [[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1]]
    np.testing.assert_allclose(axes.images[0].get_array(), shares)
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_percent_of_the_row():
    figure = eln.plots.confusion([0, 1, 1, 1], [0, 0, 0, 1], ["a", "b", "c"], percent=True)
    assert cells(figure) == ["33", "67", "0", "0", "100", "0", "-", "-", "-"]


def test_scores_and_one_hot_targets():
    scores = np.array([[3.0, 1.0], [0.0, 1.0]], np.float32)
    figure = eln.plots.confusion(scores, np.eye(2, dtype=int), title="mine")
    assert cells(figure) == ["1", "0", "0", "1"]
    assert figure.get_suptitle() == "mine"


def test_scores_of_nan_stand_apart():
    scores = np.array([[3.0, 1.0], [np.nan, 1.0], [0.0, np.inf]])
    figure = eln.plots.confusion(scores, [0, 0, 1])
    assert cells(figure) == ["1", "0", "1", "0", "1", "0"]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["0", "1", "NaN"]
    assert figure.get_suptitle() == "66.7 % of 3 right"


def test_classes_that_no_label_shows_come_from_the_scores():
    assert len(cells(eln.plots.confusion(np.eye(4)[:2], [0, 1]))) == 16


@pytest.mark.parametrize("classes", [21, 60])
def test_many_classes_have_no_numbers(classes):
    figure = eln.plots.confusion(np.arange(classes), np.arange(classes))
    assert not cells(figure)
    assert figure.axes[0].images[0].get_array().shape == (classes, classes)


@pytest.mark.parametrize(
    ("prediction", "target", "classes", "kind", "message"),
    [
        ([0, 1], [0], None, ValueError, "of the same length, at least 1, got 2 and 1"),
        (np.zeros(0, int), np.zeros(0, int), None, ValueError, "at least 1, got 0 and 0"),
        ([0.0, 1.0], [0, 1], None, TypeError, "prediction as integers, got float64"),
        ([0, 1], [0, -1], None, ValueError, "target of at least 0, got -1 at index 1"),
        ([0, 2], [0, 1], ["a", "b"], ValueError, "prediction from 0 to 1, got 2 at index 1"),
        (np.zeros((2, 2, 2)), [0, 1], None, ValueError, r"of shape \(N,\) or \(N, C\), got \(2"),
        ([True, False], [0, 1], None, TypeError, "prediction as integers, got bool"),
        ([0, 1], np.array([[0.3, 0.7], [2.0, 1.0]]), None, ValueError, "prediction comes first"),
    ],
)
def test_wrong_labels_are_refused(prediction, target, classes, kind, message):
    with pytest.raises(kind, match=f"confusion: .*{message}"):
        eln.plots.confusion(prediction, target, classes)
