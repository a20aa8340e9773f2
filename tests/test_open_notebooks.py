"""The notebooks as .ipynb: what JupyterLab, VS Code and Colab get, which know no MyST.

They run whole in an environment of the extra [notebooks] (`pytest -m slow`), and when the
documentation is built; the quick form runs the cells that import.
"""

from __future__ import annotations

import ast
import configparser
import importlib
import os
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
make_notebooks = importlib.import_module("make_notebooks")
sys.path.pop(0)

SOURCES = pytest.mark.parametrize("source", make_notebooks.SOURCES, ids=lambda source: source.stem)
IMPORTS = (ast.Import, ast.ImportFrom)
MADE_BY = {"sklearn": "scikit-learn", "IPython": "jupyterlab"}


def run(cells, folder):
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    book = nbformat.v4.new_notebook(cells=cells)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    client.NotebookClient(book, timeout=900, kernel_name="python3").execute(cwd=folder)
    return book


@SOURCES
def test_they_need_no_directive(source):
    book = make_notebooks.notebook(source)
    nbformat.validate(book)
    texts = [cell.source for cell in book.cells if cell.cell_type == "markdown"]
    assert not [text for text in texts if ":::" in text or "```{" in text or ":class:" in text]
    exercises = source.read_text("utf-8").count(":::{admonition} Exercise")
    assert sum(text.startswith("### Exercise") for text in texts) == exercises
    folded = [cell for cell in book.cells if cell.source.startswith("# @title Solution")]
    assert len(folded) == exercises
    assert all(cell.metadata["jupyter"]["source_hidden"] for cell in folded)
    assert all(cell.metadata["cellView"] == "form" for cell in folded)
    assert sum(text == make_notebooks.FOLDED for text in texts) == exercises


@SOURCES
def test_the_first_cell_of_code_installs_what_is_missing(source, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/elunet")
    book = make_notebooks.notebook(source, make_notebooks.repository())
    first = next(cell for cell in book.cells if cell.cell_type == "code")
    assert "elunet @ git+https://github.com/someone/elunet" in first.source


@SOURCES
def test_the_extra_has_what_they_import(source):
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    wanted = config["options.extras_require"]["notebooks"] + config["options"]["install_requires"]
    for node in imports(source):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in (full.split(".")[0] for full in names):
            known = name in sys.stdlib_module_names or name == "elunet"
            assert known or MADE_BY.get(name, name) in wanted


def test_links_lead_to_notebooks_and_pages():
    text = "[a](01_network_by_hand.md) [b](../testing.md#how) [c](https://example.org/x.md)"
    there = "[a](01_network_by_hand.ipynb) [b](https://site/testing.html#how) "
    assert make_notebooks.plain(text, "https://site/") == there + "[c](https://example.org/x.md)"
    assert "[b](../testing.md#how)" in make_notebooks.plain(text)


def test_a_file_that_exists_is_kept(tmp_path):
    first, *_ = make_notebooks.write(tmp_path)
    first.write_text("mine")
    make_notebooks.write(tmp_path, keep=True)
    assert first.read_text() == "mine"
    make_notebooks.write(tmp_path)
    assert first.read_text() != "mine"


def imports(source):
    """Return the import statements of a notebook."""
    cells = make_notebooks.notebook(source).cells
    trees = [ast.parse(cell.source) for cell in cells if cell.cell_type == "code"]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, IMPORTS)]


def test_their_imports_run(tmp_path):
    lines = {ast.unparse(node) for source in make_notebooks.SOURCES for node in imports(source)}
    assert len(lines) > 10
    run([nbformat.v4.new_code_cell("\n".join(sorted(lines)))], tmp_path)


@pytest.mark.slow
@SOURCES
def test_they_run(source, tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # a front end's kernel shows figures
    book = run(make_notebooks.notebook(source).cells, tmp_path)
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    images = sum("image/png" in output.get("data", {}) for output in outputs)
    figures = source.read_text("utf-8").count("image: {alt:")
    assert images == figures
    assert not [output for output in outputs if output.get("name") == "stderr"]
