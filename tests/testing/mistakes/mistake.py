"""What a mistake of the corpus is, and the few functions that several of them use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from elunet.testing import CheckResult


@dataclass(frozen=True)
class Mistake:
    """A wrong gradient from a public thread, written again in its author's design.

    `check(wrong)` checks the wrong program or its correct twin. `cause` is what the likely cause
    has to contain, None if no cause is expected. `address` is a path on GitHub or a full address
    (two of them with a space between); a question without a known address has words instead.
    """

    name: str
    address: str
    fault: str
    check: Callable[[bool], CheckResult]
    cause: str | None = None


@dataclass(frozen=True)
class Correct:
    """A program that looks wrong and is not; the check has to accept it."""

    name: str
    address: str
    what: str
    check: Callable[[], CheckResult]


def normal(*shape, seed=0):
    """Return random numbers that are the same each time."""
    return np.random.default_rng(seed).standard_normal(shape)


def labels(count, classes):
    """Return integer labels in which every class is there."""
    return np.arange(count) % classes


def one_hot(count, classes):
    return np.eye(classes)[labels(count, classes)]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z, axis=-1):
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
