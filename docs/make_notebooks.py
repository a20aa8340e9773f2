"""Write the notebooks as .ipynb files: `python docs/make_notebooks.py`, then `jupyter lab docs`.

Their source is Markdown (MyST), which the site shows. JupyterLab, VS Code and Colab know none of
its directives, so an exercise becomes a heading, and a solution a folded cell below a line that
says so. A first cell installs elunet where it is missing. Without `--out`, each file is written
next to its source, and one that exists already is kept, since it may hold somebody's work.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat

DOCS = Path(__file__).parent
SOURCES = [DOCS / "tutorial.md", *sorted((DOCS / "notebooks").glob("[0-9]*.md"))]
EXERCISE = re.compile(r"^:::\{admonition\} (.*)\n:class: exercise\n\n(.*?)^:::$", re.M | re.S)
LINK = re.compile(r"\[([^\]]+)\]\((?!\w+:)([\w./]+)\.md(#[\w-]*)?\)")
FOLDED = "**Solution:** in the next cell, which is folded. Try it first."


def repository() -> str:
    """Return the address of the repository on GitHub, "" while setup.cfg names none.

    A fork's own build names it in the environment, as GitHub's does (GITHUB_REPOSITORY).
    """
    config = configparser.ConfigParser()
    config.read(DOCS.parent / "setup.cfg")
    own = os.environ.get("GITHUB_REPOSITORY")
    return f"https://github.com/{own}" if own else config.get("metadata", "url", fallback="")


def install_cell(address: str) -> str:
    """Return the code of the cell that installs elunet where it is missing."""
    if address:
        action = f'%pip install -q hypothesis scikit-learn "elunet @ git+{address}"'
    else:
        action = 'raise SystemExit("install elunet first: pip install FOLDER_OF_ELUNET[notebooks]")'
    does = "Installs elunet" if address else "Says what to do"
    return (
        f"# {does} where elunet is missing, as on Colab.\n"
        "import importlib.util\n\n"
        f'if importlib.util.find_spec("elunet") is None:\n    {action}'
    )


def plain(text: str, site: str = "") -> str:
    """Return Markdown without MyST: exercises as headings, links to where they lead.

    Parameters
    ----------
    text : str
    site : str
        Address of the built site; with "", links to pages stay as they are in a checkout.
    """

    def target(link: re.Match[str]) -> str:
        words, page, place = link[1], link[2], link[3] or ""
        if re.match(r"(notebooks/)?\d\d_", page):
            return f"[{words}]({page}.ipynb)"
        if site:
            return f"[{words}]({site.rstrip('/')}/{page.removeprefix('../')}.html{place})"
        return f"[{words}]({page}.md{place})"

    return LINK.sub(target, EXERCISE.sub(r"### \1\n\n\2", text)).strip()


def notebook(
    source: Path, address: str = "", site: str = "", install: str = ""
) -> nbformat.NotebookNode:
    """Return a page as a notebook that looks right where MyST is unknown."""
    read = jupytext.read(source, fmt="md:myst")
    cells = []
    for cell in read.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata.pop("mystnb", None)
        if cell.cell_type == "markdown":
            parts = re.split(r"\n(?=:::\{admonition\})|(?<=\n:::)\n", cell.source)
            texts = [plain(part.strip(), site) for part in parts if part.strip()]
            cells += map(nbformat.v4.new_markdown_cell, texts)
            continue
        if "hide-cell" in tags:  # a solution; cellView and the title are Colab's way to fold
            cells.append(nbformat.v4.new_markdown_cell(FOLDED))
            cell.metadata["cellView"] = "form"
            cell.source = f"# @title Solution\n{cell.source}"
        elif "hide-input" in tags:  # code that only draws
            cell.metadata["jupyter"] = {"source_hidden": True}
        cells.append(cell)
    at = next(place for place, cell in enumerate(cells) if cell.cell_type == "code")
    cells.insert(at, nbformat.v4.new_code_cell(install or install_cell(address)))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    for place, cell in enumerate(made.cells):
        cell.id = f"cell-{place}"  # the same in every build
    return made


def write(out: Path, address: str = "", site: str = "", keep: bool = False) -> list[Path]:
    """Write all notebooks below a folder; with `keep`, leave those that are there."""
    files = []
    for source in SOURCES:
        file = out / source.relative_to(DOCS).with_suffix(".ipynb")
        if not (keep and file.exists()):
            file.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook(source, address, site), file)
        files.append(file)
    return files


def main(arguments: Sequence[str] | None = None) -> None:
    """Write them and say where they are."""
    parser = argparse.ArgumentParser(description="Write the notebooks as .ipynb files.")
    parser.add_argument("--out", type=Path, help="folder; by default next to their sources")
    options = parser.parse_args(arguments)
    files = write(options.out or DOCS, repository(), keep=options.out is None)
    print(f"{len(files)} notebooks in {options.out or DOCS}: open them with jupyter lab")


if __name__ == "__main__":
    main()
