"""A grade as graders read it: every field is one that their documentation names, of its type."""

from __future__ import annotations

import json

import pytest

from elunet.teaching import Grade, Mark

NUMBER = (int, float)
VISIBILITY = {"hidden", "after_due_date", "after_published", "visible"}
FORMAT = {"text", "html", "simple_format", "md", "ansi"}

# https://gradescope-autograders.readthedocs.io/en/latest/specs/, "Output format", "Controlling Test
# Case Visibility", "Test case status", "Output String Formatting". All fields are optional, but the
# score is needed at the top or in each test.
GRADESCOPE = {
    "score": NUMBER,
    "execution_time": NUMBER,
    "output": str,
    "output_format": FORMAT,
    "test_output_format": FORMAT,
    "test_name_format": FORMAT,
    "visibility": VISIBILITY,
    "stdout_visibility": VISIBILITY,
    "extra_data": dict,
    "tests": list,
    "leaderboard": list,
}
GRADESCOPE_TEST = {
    "score": NUMBER,
    "max_score": NUMBER,
    "status": {"passed", "failed"},
    "name": str,
    "name_format": FORMAT,
    "number": str,
    "output": str,
    "output_format": FORMAT,
    "tags": list,
    "visibility": VISIBILITY,
    "extra_data": dict,
}
# https://prairielearn.readthedocs.io/en/latest/externalGrading/, "Grading results". The score is
# from 0 to 1 and needed unless gradable is false; then format_errors may say why. At most 1 MB.
PRAIRIELEARN = {
    "gradable": bool,
    "score": NUMBER,
    "message": str,
    "output": str,
    "images": list,
    "tests": list,
    "format_errors": (str, list),
}
PRAIRIELEARN_TEST = {
    "name": str,
    "description": str,
    "points": NUMBER,
    "max_points": NUMBER,
    "message": str,
    "output": str,
    "images": list,
}


def expect_fields(found, fields):
    """Fail unless each field is known, and of its type or among its values."""
    for name, value in found.items():
        assert name in fields, f"no field is called {name}"
        allowed = fields[name]
        if isinstance(allowed, set):
            assert value in allowed, f"{name}: {value!r}"
        else:
            assert isinstance(value, allowed), f"{name}: {value!r}"
            assert allowed is bool or not isinstance(value, bool)


MARKS = (
    Mark("test_a", 2.5, 2.5, True, "values"),
    Mark("test_b", 0.0, 5.0, False, "gradients", "dx is wrong\n<b>at 3</b> of 4"),
    Mark("test_c", 0.625, 2.5, True, "form"),
    Mark("accepts the correct ELU()", 0.0, 0.0, True, "correct layers"),
)
GRADES = [
    Grade("01_softplus", MARKS, 10.0, printed="hello", seconds=3.7),
    Grade("01_softplus", MARKS, 10.0, notes=("it was stopped",), printed="\x1b[31m\u2713"),
    Grade("01_softplus", (), 100.0, notes=("your code takes too long",)),
    Grade("01_softplus", (), 10.0, notes=("expected softplus.py",), can_be_graded=False),
]
EACH = pytest.mark.parametrize("grade", GRADES)


@EACH
def test_gradescope(grade):
    found = json.loads(grade.to("gradescope"))
    expect_fields(found, GRADESCOPE)
    assert found["score"] == grade.points
    for test in found["tests"]:
        expect_fields(test, GRADESCOPE_TEST)
        assert 0 <= test["score"] <= test["max_score"]
    assert sum(test["score"] for test in found["tests"]) == pytest.approx(grade.points, abs=0.01)
    assert found["output_format"] == "text"  # not the default, which renders HTML
    for note in grade.notes:
        assert note in found["output"]


@EACH
def test_prairielearn(grade):
    found = json.loads(grade.to("prairielearn"))
    expect_fields(found, PRAIRIELEARN)
    assert found["gradable"] == grade.can_be_graded
    assert len(grade.to("prairielearn").encode()) < 1_000_000
    if not grade.can_be_graded:
        assert found["format_errors"] == ["expected softplus.py"]
        assert "score" not in found
        return
    assert 0.0 <= found["score"] <= 1.0
    assert found["score"] == pytest.approx(grade.points / grade.max_points, abs=1e-3)
    for test in found["tests"]:
        expect_fields(test, PRAIRIELEARN_TEST)
        assert 0 <= test["points"] <= test["max_points"]


def test_a_field_that_nobody_documents_is_found():
    for wrong in ({"points": 3}, {"score": "3"}, {"score": True}, {"output_format": "pdf"}):
        with pytest.raises(AssertionError):
            expect_fields(wrong, GRADESCOPE)


def test_the_largest_grade_is_below_the_limit():
    marks = tuple(Mark(f"test_{n}", 0.0, 0.1, False, "form", "x" * 10_000) for n in range(100))
    assert len(Grade("e", marks, 10.0, printed="y" * 1000).to("prairielearn")) < 1_000_000


def test_json_and_text():
    found = json.loads(GRADES[0].to("json"))
    assert (found["points"], found["max_points"]) == (3.12, 10.0)
    assert found["tests"][1]["message"].startswith("dx is wrong")
    text = GRADES[0].to("text")
    assert text.splitlines()[0] == "01_softplus: 3.12 of 10 points"
    assert "The first that failed is test_b:\ndx is wrong\n" in text
    with pytest.raises(ValueError, match="expected a form among gradescope, .*, got 'pdf'"):
        GRADES[0].to("pdf")
