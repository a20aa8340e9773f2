"""The tables of docs/mistakes.md: what the checks say now.

To write them again:

    PYTHONPATH=tests python -c "from testing.mistakes.page import write; write()"
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from testing.mistakes import CORRECT, KINDS, MISTAKES, Correct, Mistake

from elunet.testing import GradientCheckError

PAGE = Path(__file__).parents[3] / "docs" / "mistakes.md"
PART = "<!-- mistakes: {} -->"
END = "<!-- end -->"


@cache
def caught(mistake: Mistake) -> GradientCheckError:
    """Return the error that a mistake raises."""
    with pytest.raises(GradientCheckError) as found:
        mistake.check(True)
    return found.value


def is_explained(mistake: Mistake) -> bool:
    """Whether the check names a cause."""
    return mistake.cause is not None


def linked(program: Mistake | Correct) -> str:
    """Return the name with a link to each thread."""
    links = []
    for address in program.address.split() if "/" in program.address else ():
        links.append(address if "://" in address else f"https://github.com/{address}")
    if not links:
        return f"{program.name} ({program.address})"
    more = "".join(f", [again]({link})" for link in links[1:])
    return f"[{program.name}]({links[0]}){more}"


def plain(text: str) -> str:
    """Return a text in which nothing is markup but code between backticks."""
    return re.sub(r"(`[^`]*`)|([\\*_\[\]|<>$])", lambda m: m[1] or f"\\{m[2]}", text)


def table(mistakes: list[Mistake]) -> str:
    """Return the table of some mistakes: what is wrong, what the check says, and why."""
    lines = ["| mistake | what is wrong | the check says | likely cause |", "| --- " * 4 + "|"]
    for mistake in mistakes:
        error = caught(mistake)
        said = str(error).partition("\n")[0].replace("|", "\\|")
        cause = plain(error.cause) if is_explained(mistake) else ""
        lines.append(f"| {linked(mistake)} | {plain(mistake.fault)} | `{said}` | {cause} |")
    return "\n".join(lines)


def correct() -> str:
    """Return the table of the programs that only look wrong."""
    lines = ["| program | what it is |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {linked(one)} | {plain(one.what)} |" for one in CORRECT)])


def tables() -> dict[str, str]:
    """Return what is made for the page, by its names there."""
    made = {kind: table(mistakes) for kind, mistakes in KINDS.items()}
    return made | {"counts": counts(), "correct": correct()}


def counts() -> str:
    """Return the page's sentence on how many are caught and explained."""
    explained = sum(map(is_explained, MISTAKES))
    return (
        f"Here are {len(MISTAKES)} of them. All are caught. For {explained} the message names a "
        f"likely cause; for the other {len(MISTAKES) - explained} it says only where the gradient "
        "is wrong."
    )


def filled(text: str) -> str:
    """Return the page with today's tables."""
    for name, content in tables().items():
        before, mark, rest = text.partition(PART.format(name))
        _, end, after = rest.partition(END)
        text = f"{before}{mark}\n{content}\n{end}{after}"
    return text


def write() -> None:
    """Write today's tables into the page."""
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
