"""`grade`: run a checker on each mutant and each correct object, alone and within a time limit.

A checker is a function, a class of tests or a file of tests. Whatever it does with one subject
(raise, hang, call exit, print warnings) must not affect its verdict on the next.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from elunet._checks import choice, number
from elunet.teaching import mutants
from elunet.teaching.grade._score import Result, Score, compare_scores
from elunet.teaching.grade._subjects import (
    HUNG,
    MOST_HANGS,
    NOT_RUN,
    Subject,
    Verdict,
    rejection,
    run_alone,
)
from elunet.teaching.grade._test_classes import judge_by_class
from elunet.teaching.grade._time_limit import TimeIsUp
from elunet.teaching.mutants import Mutant

__all__ = ["Result", "Score", "compare_scores", "grade"]

KINDS = {"layer": mutants.layers, "loss": mutants.losses, "optimizer": mutants.optimizers}


def grade(
    checker: Any,
    kind: str = "layer",
    zoo: Iterable[Mutant] | None = None,
    *,
    seconds: float = 30.0,
) -> Score:
    """Run a checker on the zoo and count what it catches.

    Parameters
    ----------
    checker : callable, class or path
        A function ``checker(layer, x)`` (or ``checker(loss, prediction, target)``, or
        ``checker(optimizer, updates)``). It reports a bug by raising an error, by returning
        something false (but not None), or by returning an object whose attribute `ok` is false. If
        it has a parameter `formula`, it gets the formula of the forward pass by that name.

        A class of tests, such as a subclass of `LayerContract`: each ``test_...`` method is run,
        with ``make_layer`` and ``make_input`` (``make_loss``, ``make_prediction`` and
        ``make_target``; ``make_optimizer`` and ``make_updates``) replaced by those of the subject.
        `LayerContract` and `LossContract` themselves get the formula as well.

        The path of a file of tests, run by pytest: tests that take `layer`, `x` or `make_layer`
        (or `loss`, `prediction`, `target`, `make_loss`; `optimizer`, `updates`, `make_optimizer`)
        as an argument get them.
    kind : str
        "layer", "loss" or "optimizer": which part of the zoo.
    zoo : iterable of Mutant, optional
        Which mutants, instead of all of a kind: ``mutants.layers(of="ELU")``.
    seconds : float
        How long the checker may take for one subject.

    Returns
    -------
    Score
        For each mutant, the correct layer made with the same arguments is checked as well. If it
        is rejected, the mutant does not count as caught.

    Raises
    ------
    TypeError
        If `checker` is not a function, class or path, or `seconds` is not a number.
    ValueError
        If `kind` or `seconds` is out of range, the zoo is empty or of several kinds, or a file has
        no test that takes one of those arguments.

    Notes
    -----
    Each layer and each x is made new. NumPy's global generator starts from the same state each
    time, and floating-point warnings are off. Any error that a checker raises counts as a
    rejection. A checker that hangs is stopped if Python can stop it; after the third one the rest
    is not run. A checker that ends the process ends this one too: run autograders in a process of
    their own.

    Examples
    --------
    >>> from elunet.teaching import grade, mutants
    >>> from elunet.testing import check_layer
    >>> score = grade(check_layer, zoo=mutants.layers(of="ELU"))
    >>> score.caught, score.missed, score.false_alarms
    (['DoubleSlope', 'ForgottenAlpha'], ['ExponentialEverywhere'], [])
    """
    number("grade", "seconds", seconds, "(0, inf)")
    subjects = _subjects(kind, zoo)
    name = getattr(checker, "__name__", str(checker))
    if isinstance(checker, str | os.PathLike):
        from elunet.teaching.grade._test_files import judge_by_file  # which needs pytest

        path = Path(checker)
        name = path.name
        verdicts = judge_by_file(path, subjects, seconds)
    elif isinstance(checker, type):
        verdicts = _judge(lambda subject: judge_by_class(checker, subject), subjects, seconds)
    elif callable(checker):
        verdicts = _judge(lambda subject: _call(checker, subject), subjects, seconds)
    else:
        raise TypeError(f"grade: expected a function, a class of tests or a path, got {checker!r}")
    return Score(name, tuple(_results(subjects, verdicts)))


def _subjects(kind: str, zoo: Iterable[Mutant] | None) -> list[Subject]:
    """Return the correct ones, each once, and then the mutants."""
    choice("grade", "kind", kind, tuple(KINDS))
    chosen = KINDS[kind]() if zoo is None else list(zoo)
    kinds = {mutant.kind for mutant in chosen}
    if len(kinds) != 1:
        raise ValueError(
            f"grade: expected mutants of one kind, got {len(chosen)} of"
            f" {sorted(kinds) or 'no kind'}"
        )
    correct: dict[str, Subject] = {}
    for mutant in chosen:
        subject = Subject(mutant, correct=True)
        correct.setdefault(subject.key, subject)
    return [*correct.values(), *(Subject(mutant, correct=False) for mutant in chosen)]


def _judge(
    judge: Callable[[Subject], Verdict], subjects: list[Subject], seconds: float
) -> list[Verdict]:
    """Return a verdict for each subject."""
    verdicts: list[Verdict] = []
    for subject in subjects:
        if verdicts.count(HUNG) >= MOST_HANGS:
            verdicts.append(NOT_RUN)
            continue
        try:
            verdicts.append(run_alone(lambda subject=subject: judge(subject), seconds))  # type: ignore[misc]
        except TimeIsUp:
            verdicts.append(HUNG)
    return verdicts


def _call(checker: Callable[..., Any], subject: Subject) -> Verdict:
    """Ask a function."""
    keywords = {}
    if _takes(checker, "formula"):
        keywords["formula"] = subject.mutant.example.formula
    try:
        answer = checker(subject.make(), *subject.mutant.given(), **keywords)
    except BaseException as error:
        return rejection(error)
    answer = getattr(answer, "ok", answer)
    fine = answer is None or (answer.all() if isinstance(answer, np.ndarray) else bool(answer))
    return Verdict() if fine else Verdict(True, f"returned {answer!r}")


def _takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function has a parameter of this name."""
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin or a compiled function
        return False


def _results(subjects: list[Subject], verdicts: list[Verdict]) -> Iterator[Result]:
    accepted = set()
    for subject, verdict in zip(subjects, verdicts, strict=True):
        if verdict.unfinished:
            outcome = verdict.unfinished
        elif subject.is_correct:
            outcome = "rejected" if verdict.rejected else "accepted"
            if not verdict.rejected:
                accepted.add(subject.key)
        elif not verdict.rejected:
            outcome = "missed"
        else:
            outcome = "caught" if subject.key in accepted else "not counted"
        mutant = None if subject.is_correct else subject.mutant
        yield Result(
            subject.name, subject.mutant.of, mutant, outcome, verdict.message, verdict.tests
        )
