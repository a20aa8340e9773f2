"""A class of tests as a checker: its methods run on the subject, not on its own layer."""

from __future__ import annotations

import inspect
from typing import Any

from elunet.teaching.grade._subjects import Subject, Verdict, rejection
from elunet.testing.contract import LayerContract, LossContract


def judge_by_class(tests: type, subject: Subject) -> Verdict:
    """Run each test method of a class on one subject."""
    fixtures = subject.fixtures()
    made = list(fixtures)[2:]  # after make_layer and layer: x, or prediction and target, or updates
    places = {f"make_{'input' if name == 'x' else name}": k for k, name in enumerate(made)}
    body: dict[str, Any] = {
        name: (lambda self, k=k: subject.mutant.given()[k]) for name, k in places.items()
    }
    body[f"make_{subject.mutant.kind}"] = lambda self: subject.make()
    formula = subject.mutant.example.formula
    if formula is not None and tests in (LayerContract, LossContract):
        # A custom class has its own known values, or none.
        body["formula"] = lambda self, *arguments: formula(*arguments)
    adapted = type(tests.__name__, (tests,), body | dict(subject.mutant.example.contract))
    names = [name for name in dir(adapted) if name.startswith("test_")]
    simple = all(list(inspect.signature(getattr(adapted, n)).parameters) == ["self"] for n in names)
    if not names or not simple:
        raise TypeError(
            f"grade: expected {tests.__name__} to have methods test_...(self), without further "
            "arguments; a file of tests may have fixtures and parameters, so pass its path"
        )
    failures = {name: message for name in names if (message := _failure(adapted, name))}
    said = "\n".join(f"{name}: {message}" for name, message in failures.items())
    return Verdict(bool(failures), said, tuple(failures))


def _failure(tests: type, name: str) -> str:
    """Return how a test failed, "" if it passed or was skipped."""
    try:
        test = tests()
    except TypeError:  # a unittest.TestCase, perhaps, which takes the method's name
        test = tests(name)
    try:
        for before in ("setup_method", "setUp"):
            getattr(test, before, lambda: None)()
        getattr(test, name)()
    except BaseException as error:
        if type(error).__name__ in ("Skipped", "SkipTest"):  # pytest's, unittest's
            return ""
        return rejection(error).message
    return ""
