"""What the documentation shows is run: each page's Python blocks, in order, in one namespace.

A text block that follows a Python block is what that one prints, to about three digits; one marked
"text about", as after a training run, to about one: rounding differs between machines, and grows.
"""

from __future__ import annotations

import contextlib
import io
import re
import runpy
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOLERANCES = {"text": 2e-3, "text about": 0.1}
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?")


def blocks(page: Path) -> list[tuple[int, str, str | None, float]]:
    """Return each Python block's line number and code, what it should print, and how closely."""
    text = page.read_text("utf-8")
    fenced = [(text[: f.start(2)].count("\n"), f[1], f[2]) for f in FENCED.finditer(text)]
    return [
        (line, code, after if kind in TOLERANCES else None, TOLERANCES.get(kind, 0.0))
        for (line, language, code), (_, kind, after) in pairwise([*fenced, (0, "", "")])
        if language == "python"
    ]


def words_and_numbers(text: str) -> tuple[str, list[float]]:
    """Return a text with single spaces and # for each number, and the numbers."""
    text = re.sub(r"-{3,}", "---", " ".join(text.split()))
    numbers = [float(found.replace(",", "")) for found in NUMBER.findall(text)]
    return NUMBER.sub("#", text), numbers


def agree(printed: str, shown: str, tolerance: float = 2e-3) -> bool:
    """Whether two texts are the same but for spaces and their numbers' last digits."""
    (words, numbers), (other_words, other_numbers) = map(words_and_numbers, (printed, shown))
    return words == other_words and numbers == pytest.approx(other_numbers, rel=tolerance, abs=1e-6)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for what a page writes
    namespace = {"__name__": page.stem}
    for line, code, shown, tolerance in blocks(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # Empty lines before the code, so that a traceback shows the page's own line numbers.
            exec(compile("\n" * line + code, str(page), "exec"), namespace)
        if shown is not None and not agree(printed.getvalue(), shown, tolerance):
            pytest.fail(
                f"{page.name}: the block at line {line} prints\n{printed.getvalue()}\nand the page"
                f" shows\n{shown}"
            )
    plt.close("all")


def test_there_are_blocks():
    found = [shown for page in PAGES for _, _, shown, _ in blocks(page)]
    assert len(found) > 20
    assert len(found) - found.count(None) > 5


@pytest.mark.parametrize(
    ("printed", "shown", "same"),
    [
        ("a  1.0001\n", "a 1\n", True),
        ("a 1.01", "a 1", False),
        ("a 1,641,938", "a 1641938", True),
        ("error 3.1e-10", "error 4.7e-11", True),
        ("x[0, 1]", "x[0, 2]", False),
        ("a\n-----\nb", "a\n---\nb", True),
        ("step 1 is right", "step 1 is wrong", False),
        ("a 1", "a", False),
    ],
)
def test_what_agrees(printed, shown, same):
    assert agree(printed, shown) == same


def test_the_example_layer_is_the_documented_one():
    example = (ROOT / "examples" / "my_layer.py").read_text("utf-8")
    shown = [code for _, code, *_ in blocks(ROOT / "docs" / "writing_a_layer.md")]
    layer = next(code for code in shown if code.startswith("class Swish"))
    assert layer.strip() in example


def test_my_layer_example_runs(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "my_layer.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "Swish(3): ok" in printed
    assert "dx is wrong at 300 of 300" in printed
    *_, accuracy = re.findall(r"test accuracy (\S+)", printed)
    assert float(accuracy) > 0.5


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+\.md)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
