"""The score's reports: the table, the JSON for an autograder, several scores side by side."""

from __future__ import annotations

import json

import pytest

from elunet.teaching import compare_scores, grade, mutants
from elunet.testing import LayerContract, check_layer


def elus(checker, **options):
    return grade(checker, zoo=mutants.layers(of="ELU"), **options)


def test_json_as_gradescope_reads_it():
    score = elus(check_layer)
    found = json.loads(score.to_json())
    assert found["score"] == 2
    assert found["output"] == score.summary()
    assert found["tests"][0] == {
        "name": "correct: ELU()",
        "score": 0,
        "max_score": 0,
        "status": "passed",
        "output": "accepted\nELU() is correct.",
    }
    caught, missed = found["tests"][2], found["tests"][4]
    assert (caught["score"], caught["max_score"], caught["status"]) == (1, 1, "passed")
    assert (missed["score"], missed["max_score"], missed["status"]) == (0, 1, "failed")
    assert missed["output"].startswith("missed\nBoth branches are computed for all x")
    assert all(isinstance(test["output"], str) for test in found["tests"])
    hundred = json.loads(score.to_json(points=100))
    assert hundred["score"] == pytest.approx(200 / 3)
    assert sum(test["max_score"] for test in hundred["tests"]) == pytest.approx(100)
    assert sum(test["score"] for test in hundred["tests"]) == pytest.approx(200 / 3)


def test_the_table():
    lines = str(elus(check_layer)).splitlines()
    assert lines[0] == ("check_layer: 2 of 3 mutants caught, 0 of 2 correct ones rejected")
    assert lines[1].split() == ["of", "outcome", "the", "checker", "said"]
    assert lines[4].split()[:3] == ["DoubleSlope", "ELU", "caught"]
    assert lines[6].split() == ["ExponentialEverywhere", "ELU", "missed"]
    assert max(map(len, lines)) < 110


def test_comparing_scores():
    table = compare_scores({"a": elus(check_layer), "b": elus(lambda layer, x: None)})
    assert table.splitlines() == [
        "| mutant | of | a | b |",
        "| --- | --- | --- | --- |",
        "| DoubleSlope | ELU | **yes** |  |",
        "| ForgottenAlpha | ELU | **yes** |  |",
        "| ExponentialEverywhere | ELU |  |  |",
        "",
        "- caught by a alone: DoubleSlope, ForgottenAlpha",
        "- caught by nothing: ExponentialEverywhere",
    ]
    both = compare_scores({"a": elus(check_layer), "b": elus(LayerContract)})
    assert "| ForgottenAlpha | ELU | yes | gradients, gradients in evaluation, " in both
    assert "| ExponentialEverywhere | ELU |  | **large numbers** |" in both
    assert both.endswith("\n\n- caught by b alone: ExponentialEverywhere")
    other = grade(check_layer, zoo=mutants.layers(of="Add"))
    for scores_of in ({}, {"a": elus(check_layer), "b": other}):
        with pytest.raises(ValueError, match="expected scores of the same mutants"):
            compare_scores(scores_of)
