"""House words stay out: habits of this project's that a reader has to translate.

Each was among the most used in documentation, docstrings and messages, and has a plain word in its
place. Add one here when it comes back in another form.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "docs").glob("*.py")),
    *sorted((ROOT / "elunet").rglob("*.py")),
    *sorted((ROOT / "examples").glob("*.py")),
]
KINDS = "layer|loss|rule|router|optimizer|callback|network|schedule"
PLAIN = {
    r"(?<!there )\b(?:is|are) no (?:number|integer|array|layer|router|dictionary|string)\b": (
        "is not a number"
    ),
    r"\b[Ss]lips?\b": "bug",
    r"\b(?:[Ss]ends?|sent|sending) down\b|\bway down\b": "back, towards the input",
    r"\b[Aa]new\b": "again",
    r"\b(?:goes|go) on\b": "continues",
    r"\bto the (?:last )?bit\b": "bit for bit",
    r"\b[Pp]ictures?\b(?! =|\w)": "image",
    rf"\b(?:{KINDS}) of (?:one's|your|the user's|a user's) own\b": "a custom layer",
    r"\b[Ww]ork put off\b|\bput off\b": "deferred",
    r"\b[Mm]ended\b": "fixed",
    r"\b[Ss]hall\b": "should",
    r"\bseed` is none\b|\bis none of\b": "is not a valid seed; is not one of",
    r"\btests? holds? that\b": "tested",
    r"\b(?:cannot|can) be told\b": "cannot be distinguished, or checked",
    r"\bthe (?:layer|unit) (?:above|below)\b": "next, previous",
    r"\bunder way\b": "running, or the current one",
    r"\bworked out\b": "computed",
    r"\btake[ns]? up\b": "restored",
    r"\bbut for\b": "except",
    r"\b[Ee]verybody\b|\b[Ww]hoever\b|\bone's own\b": "each process, a user, a custom",
    r"\bas you said\b": "declared",
    r"\bmade (?:shapes|images)\b": "synthetic",
    r"\blets? go(?: of)?\b": "releases",
    r"\b(?:goes|go|comes|came) down (?:from|to|through|in)\b": "is sent back",
    r"\bat work in\b": "using",
    r"\bas by default\b": "the default",
    r"\bfor ever\b": "forever",
}


@pytest.mark.parametrize("word", PLAIN, ids=PLAIN.values())
def test_house_words_are_gone(word):
    found = []
    for file in FILES:
        if "_build" in file.parts:
            continue
        text = file.read_text("utf-8")
        for match in re.finditer(word, text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{file.relative_to(ROOT)}:{line}: {match[0]}")
    assert not found, f"say {PLAIN[word]!r}"


@pytest.mark.parametrize(
    "text",
    [
        "If `x` is no number.",
        "a slip",
        "sends down",
        "drawn anew",
        "it goes on",
        "a rule of your own",
        "the step under way",
        "a network of made shapes",
        "the folder lets go of its lock",
    ],
)
def test_they_are_found(text):
    assert any(re.search(word, text) for word in PLAIN)


def test_plain_words_are_let_through():
    text = "If there is no number, a thread of its own is put; it is not a layer. A custom rule."
    assert not [word for word in PLAIN if re.search(word, text)]
