"""Showing the zoo to a checker: each mutant, and each correct one, alone and within a time limit.

A checker may be a function, a class of tests or a file of them. Whatever it does with one subject
(raise, hang, call exit, print warnings) must not spoil its judgment of the next.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from elunet._checks import choice, number
from elunet.testing.mutants import _limit, _zoo
from elunet.testing.mutants._classes import run_class
from elunet.testing.mutants._record import Mutant
from elunet.testing.mutants._score import Result, Score
from elunet.testing.mutants._subject import MOST_HANGS, Subject, Verdict, quiet, rejection

PARTS = {"layer": _zoo.layers, "loss": _zoo.losses, "optimizer": _zoo.optimizers}


def run(
    checker: Any,
    kind: str = "layer",
    zoo: Iterable[Mutant] | None = None,
    *,
    seconds: float = 30.0,
) -> Score:
    """Show the zoo to a checker, and count.

    Parameters
    ----------
    checker : callable, class or path
        A function ``checker(layer, x)`` (or ``checker(loss, prediction, target)``, or
        ``checker(optimizer, rules)``) that raises an error, or returns something false (but not
        None) or with a false attribute `ok`, if something is wrong. If it has a parameter
        `formula`, it gets the plain formula of the forward pass by that name.

        A class of tests, such as a subclass of `LayerContract`: each ``test_...`` method is run,
        with ``make_layer`` and ``make_input`` (``make_loss``, ``make_prediction`` and
        ``make_target``; ``make_optimizer`` and ``make_rules``) replaced by those of the subject.
        `LayerContract` and `LossContract` themselves get the formula as well.

        The path of a file of tests, run by pytest: those that take `layer`, `x` or `make_layer`
        (or `loss`, `prediction`, `target`, `make_loss`; `optimizer`, `rules`, `make_optimizer`)
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
        A correct layer, made with the same arguments, is in the run for each mutant. If it is
        turned away, the mutant does not count as caught.

    Raises
    ------
    TypeError, ValueError
        If checker, kind or seconds is none, the zoo is empty or of several kinds, or a file has no
        test that takes one of those arguments.

    Notes
    -----
    Each subject, layer and x, is made anew. NumPy's global generator starts from the same state
    each time, and warnings of floating-point errors are off. A checker that raises counts as one
    that says no, whatever it raises. One that hangs is stopped where Python can stop it; after the
    third the rest is not run. One that ends the whole process ends this one too: autograders run
    in a process of their own.

    Examples
    --------
    >>> from elunet.testing import check_layer, mutants
    >>> score = mutants.run(check_layer, zoo=mutants.layers(of="ELU"))
    >>> score.caught, score.missed, score.false_alarms
    (['DoubleSlope', 'ForgottenAlpha'], ['ExponentialEverywhere'], [])
    """
    number("run", "seconds", seconds, "(0, inf)")
    chosen = _chosen(kind, zoo)
    subjects = [Subject(mutant, correct=False) for mutant in chosen]
    correct: dict[str, Subject] = {}
    for mutant in chosen:
        subject = Subject(mutant, correct=True)
        correct.setdefault(subject.key, subject)
    subjects = [*correct.values(), *subjects]
    name = getattr(checker, "__name__", str(checker))
    if isinstance(checker, str | os.PathLike):
        from elunet.testing.mutants._files import judge_by_file

        path = Path(checker)
        name = path.name
        verdicts = judge_by_file(path, subjects, seconds)
    elif isinstance(checker, type):
        verdicts = _judge(lambda subject: run_class(checker, subject), subjects, seconds)
    elif callable(checker):
        verdicts = _judge(lambda subject: _call(checker, subject), subjects, seconds)
    else:
        raise TypeError(f"run: expected a function, a class of tests or a path, got {checker!r}")
    return Score(name, tuple(_results(subjects, verdicts)))


def _chosen(kind: str, zoo: Iterable[Mutant] | None) -> list[Mutant]:
    choice("run", "kind", kind, tuple(PARTS))
    chosen = PARTS[kind]() if zoo is None else list(zoo)
    kinds = {mutant.kind for mutant in chosen}
    if len(kinds) != 1:
        raise ValueError(
            f"run: expected mutants of one kind, got {len(chosen)} of {sorted(kinds) or 'no kind'}"
        )
    return chosen


def _judge(
    judge: Callable[[Subject], Verdict], subjects: list[Subject], seconds: float
) -> list[Verdict | str]:
    """Return a verdict for each subject, or "hung", or "not run"."""
    verdicts: list[Verdict | str] = []
    for subject in subjects:
        if verdicts.count("hung") >= MOST_HANGS:
            verdicts.append("not run")
            continue
        try:
            with quiet():
                verdict = _limit.call(lambda subject=subject: judge(subject), seconds)  # type: ignore[misc]
            verdicts.append(verdict)
        except _limit.TimeIsUp:
            verdicts.append("hung")
    return verdicts


def _call(checker: Callable[..., Any], subject: Subject) -> Verdict:
    """Ask a function."""
    keywords = {}
    if _limit.takes(checker, "formula"):
        keywords["formula"] = subject.mutant.example.formula
    try:
        answer = checker(subject.make(), *subject.mutant.given(), **keywords)
    except BaseException as error:
        return rejection(error)
    answer = getattr(answer, "ok", answer)
    fine = answer is None or (answer.all() if isinstance(answer, np.ndarray) else bool(answer))
    return (False, "", ()) if fine else (True, f"returned {answer!r}", ())


def _results(subjects: list[Subject], verdicts: list[Verdict | str]) -> Iterator[Result]:
    accepted = set()
    for subject, verdict in zip(subjects, verdicts, strict=True):
        of, mutant = subject.mutant.of, None if subject.is_correct else subject.mutant
        if isinstance(verdict, str):
            yield Result(subject.name, of, mutant, verdict)
            continue
        rejected, message, tests = verdict
        if subject.is_correct:
            outcome = "turned away" if rejected else "accepted"
            if not rejected:
                accepted.add(subject.key)
        elif not rejected:
            outcome = "missed"
        else:
            outcome = "caught" if subject.key in accepted else "not counted"
        yield Result(subject.name, of, mutant, outcome, message, tests)
