"""The score of a checker: which mutants it caught, and which correct objects it rejected.

A mutant counts only if the checker accepts the correct layer that the mutant was made from. So a
checker that rejects everything gets no points, like one that accepts everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from elunet.teaching.mutants._mutant import Mutant
from elunet.testing._report import aligned

WIDTH = 60


@dataclass(frozen=True)
class Result:
    """The verdict of a checker on one subject: a mutant, or a correct layer, loss or optimizer.

    Attributes
    ----------
    name : str
        The mutant's name, or how the correct one is made.
    of : str
        The correct class's name.
    mutant : Mutant or None
        None for a correct one.
    outcome : str
        For a mutant: "caught", "missed", or "not counted" (caught, but the correct one was rejected
        as well). For a correct one: "accepted" or "rejected". For either: "hung", or "not run"
        after too many have hung.
    message : str
        What the checker said, if anything.
    tests : tuple of str
        Names of the tests that failed, if the checker is a class or a file of tests.

    Examples
    --------
    >>> from elunet.teaching import grade, mutants
    >>> from elunet.testing import check_layer
    >>> grade(check_layer, zoo=mutants.layers(of="ELU")).mutants[2].outcome
    'missed'
    """

    name: str
    of: str
    mutant: Mutant | None
    outcome: str
    message: str = ""
    tests: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        """1 for a mutant that is caught, else 0."""
        return int(self.outcome == "caught")

    def explain(self) -> str:
        """Describe the verdict and, for a mutant that was missed, what is wrong with it."""
        lines = [self.message] if self.message else []
        if self.mutant is None:
            if self.outcome != "accepted":
                lines.insert(0, f"{self.name} is correct, but was rejected.")
            return "\n".join(lines) or f"{self.name} is correct."
        if self.outcome == "not counted":
            lines.append(f"Caught, but the correct {self.of} is rejected as well.")
        if self.outcome in ("missed", "hung", "not run"):
            lines += [
                self.mutant.why,
                f"In training: {self.mutant.in_training}",
                f"How to catch it: {self.mutant.hint}",
            ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Score:
    """The results of one checker; printing it shows them as a table.

    Attributes
    ----------
    checker : str
    results : tuple of Result

    Examples
    --------
    >>> from elunet.teaching import grade, mutants
    >>> from elunet.testing import check_layer
    >>> score = grade(check_layer, zoo=mutants.layers(of="ELU"))
    >>> score.points, score.max_points, score.false_alarms
    (2, 3, [])
    """

    checker: str
    results: tuple[Result, ...]

    @property
    def mutants(self) -> list[Result]:
        """The results for mutants, without those for correct ones."""
        return [result for result in self.results if result.mutant is not None]

    @property
    def caught(self) -> list[str]:
        """Names of the mutants that were caught and count."""
        return [result.name for result in self.mutants if result.points]

    @property
    def missed(self) -> list[str]:
        """Names of the mutants that were not caught or do not count."""
        return [result.name for result in self.mutants if not result.points]

    @property
    def false_alarms(self) -> list[str]:
        """Names of the correct objects that were rejected."""
        return [r.name for r in self.results if r.mutant is None and r.outcome != "accepted"]

    @property
    def points(self) -> int:
        """How many mutants were caught and count."""
        return sum(result.points for result in self.results)

    @property
    def max_points(self) -> int:
        """How many mutants there are."""
        return len(self.mutants)

    def of_tests(self, wanted: Callable[[str], bool]) -> Score:
        """Return the score of some of the tests only: those whose names are wanted.

        For a checker that is a class or a file of tests.
        """
        results = []
        for result in self.results:
            tests = tuple(filter(wanted, result.tests))
            outcomes = ("accepted", "rejected") if result.mutant is None else ("missed", "caught")
            outcome = outcomes[bool(tests)]
            results.append(replace(result, tests=tests, outcome=outcome, message=""))
        return Score(self.checker, tuple(results))

    def to_json(self, points: float | None = None) -> str:
        """Return the results in the format of Gradescope's results.json.

        One test for each mutant and each correct one, with "name", "score", "max_score", "status"
        and "output". A mutant's max_score is its share of the points, a correct one's is 0.

        Parameters
        ----------
        points : float, optional
            The score for catching all mutants, by default 1 for each.

        References
        ----------
        https://gradescope-autograders.readthedocs.io/en/latest/specs/
        """
        share = 1.0 if points is None else points / max(self.max_points, 1)
        tests = [
            {
                "name": f"{result.name} ({result.of})"
                if result.mutant
                else f"correct: {result.name}",
                "score": round(share * result.points, 6),
                "max_score": round(share, 6) if result.mutant else 0.0,
                "status": "passed" if result.outcome in ("caught", "accepted") else "failed",
                "output": f"{result.outcome}\n{result.explain()}".strip(),
            }
            for result in self.results
        ]
        return json.dumps(
            {"score": round(share * self.points, 6), "output": self.summary(), "tests": tests},
            indent=2,
        )

    def summary(self) -> str:
        """Say the score in one line."""
        alarms = len(self.false_alarms)
        correct = len(self.results) - len(self.mutants)
        return (
            f"{self.checker}: {self.points} of {self.max_points} mutants caught, "
            f"{alarms} of {correct} correct ones rejected"
        )

    def __str__(self) -> str:
        lines = [("", "of", "outcome", "the checker said")]
        for result in self.results:
            of = result.of if result.mutant else "correct"
            lines.append((result.name, of, result.outcome, _short(result.message)))
        return f"{self.summary()}\n{aligned(lines)}"


def compare_scores(scores: Mapping[str, Score]) -> str:
    """Return a Markdown table of which checker catches which mutant.

    A cell names the tests that caught the mutant, or says "yes". It is bold if no other checker
    caught it; a list below the table names these mutants.

    Parameters
    ----------
    scores : mapping of str to Score
        The scores by the title of their column. All are for the same mutants.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the scores are not of the same mutants.

    Examples
    --------
    >>> from elunet.teaching import compare_scores, grade, mutants
    >>> from elunet.testing import check_layer
    >>> print(compare_scores({"check_layer": grade(check_layer, zoo=mutants.layers(of="Add"))}))
    | mutant | of | check_layer |
    | --- | --- | --- |
    | SharedGradient | Add | **yes** |
    | AddsInPlace | Add | **yes** |
    <BLANKLINE>
    - caught by check_layer alone: SharedGradient, AddsInPlace
    """
    names = [[result.name for result in score.mutants] for score in scores.values()]
    if not names or any(other != names[0] for other in names):
        raise ValueError("compare_scores: expected scores of the same mutants, in the same order")
    lines = [["mutant", "of", *scores], ["---"] * (len(scores) + 2)]
    only: dict[str, list[str]] = {**{label: [] for label in scores}, "nothing": []}
    for results in zip(*(score.mutants for score in scores.values()), strict=True):
        by = [label for label, result in zip(scores, results, strict=True) if result.points]
        cells = [_caught_by(result) for result in results]
        if len(by) == 1:
            cells = [f"**{cell}**" if cell else "" for cell in cells]
        if len(by) < 2:
            only[by[0] if by else "nothing"].append(results[0].name)
        lines.append([results[0].name, results[0].of, *cells])
    table = [f"| {' | '.join(line)} |" for line in lines]
    texts = {label: f"{label} alone" for label in scores} | {"nothing": "nothing"}
    alone = [f"- caught by {texts[by]}: {', '.join(n)}" for by, n in only.items() if n]
    return "\n".join([*table, "", *alone]).strip()


def _caught_by(result: Result) -> str:
    """Name the tests that caught a mutant."""
    names = (test.removeprefix("test_").replace("_", " ") for test in result.tests)
    return (", ".join(names) or "yes") if result.points else ""


def _short(message: str) -> str:
    """Return the first line, cut where it gets long."""
    line = message.partition("\n")[0]
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."
