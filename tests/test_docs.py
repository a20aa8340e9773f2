"""What the documentation shows is run: each page's Python blocks, in order, in one namespace.

A text block that follows a Python block is what that one prints, to about three digits; one marked
"text about", as after a training run, to about one: rounding differs between machines, and grows.
Notebooks, pages of `{code-cell}`, are run by the documentation's build. Code that neither of the
two would run has no place on a page, and a test looks for it.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import runpy
import textwrap
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = [
    page
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if page.read_text("utf-8").startswith("---\n") and "_build" not in page.parts
]
TASKS = (ROOT / "elunet" / "teaching" / "exercises").glob("*/task.md")  # included in pages
EVERY_PAGE = sorted({*PAGES, *NOTEBOOKS, *(ROOT / "docs").rglob("*.md"), *TASKS})
BY_ANOTHER_TEST = {"exchange.md": "test_exchange.py"}  # these pages' blocks marked py
NO_CODE = re.compile(
    r"(text|text about|sh|toml|csv|json"
    r"|\{(toctree|eval-rst|raw|image|figure|admonition|container|note|include)\}.*)"
)
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
    """Whether two texts are the same but for spaces and their numbers' last digits.

    Numbers below 1e-5 are rounding errors, which differ between machines.
    """
    (words, numbers), (other_words, other_numbers) = map(words_and_numbers, (printed, shown))
    mine, others = (
        [0.0 if abs(number) < 1e-5 else number for number in found]
        for found in (numbers, other_numbers)
    )
    return words == other_words and mine == pytest.approx(others, rel=tolerance)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for what a page writes
    namespace = {"__name__": page.stem}
    for line, code, shown, tolerance in blocks(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # Empty lines before the code, so that a traceback shows the page's own line numbers.
            exec(compile("\n" * line + code, str(page), "exec"), namespace)
        assert shown or not printed.getvalue(), (
            f"line {line}: show what it prints:\n{printed.getvalue()}"
        )
        if shown is not None and not agree(printed.getvalue(), shown, tolerance):
            pytest.fail(
                f"{page.name}: the block at line {line} prints\n{printed.getvalue()}\nand the page"
                f" shows\n{shown}"
            )
    plt.close("all")


def fences(text: str) -> list[tuple[int, str]]:
    """Return the line and the language of every fence, of any indentation and kind."""
    found, closing = [], ""
    for number, line in enumerate(text.split("\n"), start=1):
        mark = re.match(r"[\s>*+-]*(?:\d+[.)]\s+)?(`{3,}|~{3,}|:{3,})\s*(.*)", line)
        if closing and re.fullmatch(rf"\s*{closing[0]}{{{len(closing)},}}\s*", line):
            closing = ""
        elif mark and not closing:
            found.append((number, mark[2].strip()))
            # A colon fence holds more Markdown; in the others everything is as it is.
            closing = "" if mark[1][0] == ":" or mark[2].startswith("{admonition") else mark[1]
    return [(number, language) for number, language in found if language]


def indented_code(text: str) -> list[str]:
    """Return what is code because it is indented by four, if it is Python."""
    text = re.sub(r"^(```|~~~).*?^\1[`~]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    found = []
    for block in re.findall(r"(?:^|\n\n)((?: {4}.*(?:\n|$))+)", text):
        with contextlib.suppress(SyntaxError):
            ast.parse(textwrap.dedent(block))
            found.append(block)
    return found


def unrun(text: str, name: str, count: int, notebook: bool) -> list[str]:
    """Return the code on a page that neither a test nor the build runs."""
    wrong = []
    for line, language in fences(text):
        python = language == "python" and not notebook
        elsewhere = language == "py" and name in BY_ANOTHER_TEST
        cell = language == "{code-cell} ipython3" and notebook
        if not (python or elsewhere or cell or NO_CODE.fullmatch(language)):
            wrong.append(f"line {line}: {language}")
        count -= python
    if count:
        wrong.append("a python block that does not begin at the start of its line")
    return wrong + [f"indented: {code}" for code in indented_code(text)]


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.stem)
def test_every_block_of_code_is_run(page):
    count = len(blocks(page)) if page in PAGES and page not in NOTEBOOKS else 0
    wrong = unrun(page.read_text("utf-8"), page.name, count, page in NOTEBOOKS)
    assert not wrong, "run by neither a test nor the build"


@pytest.mark.parametrize(
    ("text", "count", "notebook"),
    [
        ("```py\nx = 1\n```", 0, False),
        ("```{code-block} python\nx = 1\n```", 0, False),
        ("```{code-cell} ipython3\nx = 1\n```", 0, False),
        ("~~~python3\nx = 1\n~~~", 0, False),
        ("- a list\n\n  ```python\n  x = 1\n  ```", 0, False),
        (":::{admonition} A\n```pycon\n>>> 1\n```\n:::", 0, False),
        ("Text:\n\n    x = f(1)\n", 0, False),
        ("```python\nx = 1\n```", 0, True),
    ],
)
def test_code_that_nothing_runs_is_found(text, count, notebook):
    assert unrun(text, "page.md", count, notebook)


def test_what_is_no_code_is_left_alone():
    text = "```sh\nls\n```\n\n    python run.py --fast\n\n:::{admonition} A\nB\n:::\n"
    assert not unrun(text + "```python\nx = 1\n```\n", "page.md", 1, False)


def test_other_tests_run_what_is_left_to_them():
    for page, test in BY_ANOTHER_TEST.items():
        assert page in (ROOT / "tests" / test).read_text("utf-8")


def test_the_build_runs_the_notebooks():
    settings = (ROOT / "docs" / "conf.py").read_text("utf-8")
    assert 'nb_execution_mode = "force"' in settings
    assert "nb_execution_raise_on_error = True" in settings
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert re.search(r"-m sphinx .*-W .*docs", ci)
    assert "nb_execution" not in ci


SOLUTION = """---
jupyter: {source_hidden: true, outputs_hidden: true}
mystnb:"""


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda page: page.stem)
def test_notebooks_keep_their_conventions(notebook):
    text = notebook.read_text("utf-8")
    assert text.startswith(NOTEBOOKS[0].read_text("utf-8").split("\n# ")[0]), "another header"
    contents = (ROOT / "docs" / "index.md").read_text("utf-8")
    name = notebook.relative_to(ROOT / "docs").with_suffix("").as_posix()
    assert f"\n{name}\n" in contents, "not in the table of contents"
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
    if notebook.parent.name != "notebooks":
        return
    assert re.findall(r"^## (.*)", prose, re.MULTILINE)[-1] == "What to read next"
    exercises = text.split(":::{admonition} Exercise")[1:]
    assert len(exercises) >= 2
    for number, exercise in enumerate(exercises, start=1):
        assert exercise.startswith(f" {number}: ")
        _, _, solution = exercise.split("```{code-cell} ipython3\n")  # the reader's cell, and this
        assert solution.startswith(SOLUTION)
        assert "code_prompt_show: Solution" in solution
        assert "tags: [hide-cell]" in solution


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


def test_drawings_are_what_their_program_draws():
    program = runpy.run_path(str(ROOT / "docs" / "make_drawings.py"))
    there = {file.stem: file.read_text("utf-8") for file in program["FOLDER"].glob("*.html")}
    assert there == {name: program["page_part"](name) for name in program["DRAWINGS"]}
    pages = "".join(page.read_text("utf-8") for page in EVERY_PAGE)
    assert all(f":file: drawings/{name}.html" in pages for name in there)


def test_links_between_pages_lead_somewhere():
    for page in EVERY_PAGE:
        for target in re.findall(r"\]\(([^)#\s]+\.md)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
