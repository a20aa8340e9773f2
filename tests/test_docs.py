"""What the documentation shows is run: each page's Python blocks, in order, in one namespace."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[int, str]]:
    """Return each Python block with the number of its first line."""
    text = page.read_text("utf-8")
    return [(text[: found.start(1)].count("\n"), found[1]) for found in BLOCK.finditer(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for what a page writes
    namespace = {"__name__": page.stem}
    for line, code in blocks(page):
        # Empty lines before the code, so that a traceback shows the page's own line numbers.
        exec(compile("\n" * line + code, str(page), "exec"), namespace)
    plt.close("all")


def test_there_are_blocks():
    assert sum(len(blocks(page)) for page in PAGES) > 20


def test_the_example_layer_is_the_documented_one():
    example = (ROOT / "examples" / "my_layer.py").read_text("utf-8")
    shown = [code for _, code in blocks(ROOT / "docs" / "writing_a_layer.md")]
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
