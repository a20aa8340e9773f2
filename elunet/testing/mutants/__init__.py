"""A zoo of subtly wrong layers, losses and optimizers, to test tests with.

A checker that has never failed has proved little. Here are classes with one slip each, the kind
that leaves the loss falling, and `run`, which shows them to somebody's checker among correct ones
and counts what it caught.

    from elunet.testing import check_layer, mutants
    print(mutants.run(check_layer))

Each mutant explains itself: ``print(mutants.layers()[0])``. There is no list to keep up to date: a
mutant is any class in one of the zoo's files that has an `example`.
"""

from __future__ import annotations

from elunet.testing.mutants._record import Example, Mutant, layer_example, mutant_of
from elunet.testing.mutants._run import run
from elunet.testing.mutants._score import Result, Score, compare
from elunet.testing.mutants._zoo import all, layers, losses, optimizers

__all__ = [
    "Example",
    "Mutant",
    "Result",
    "Score",
    "all",
    "compare",
    "layer_example",
    "layers",
    "losses",
    "mutant_of",
    "optimizers",
    "run",
]
