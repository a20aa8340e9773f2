"""For teachers: a zoo of wrong layers, and a grader that runs a student's checks on them.

A check that has never failed has proved little. `mutants` holds layers, losses and optimizers with
one bug each, of the kind that leaves the loss falling. `grade` runs a gradient check or tests
on them and on the correct ones, and counts what they catch.

    from elunet.teaching import grade
    from elunet.testing import check_layer
    print(grade(check_layer))

Where things are:

    mutants/           the zoo, one file per kind; a mutant explains itself: print(mutants.all()[0])
    _runner.py         `grade`: what a checker may be, and how it is run
    _subjects.py       one mutant or correct object, made new each time it is checked
    _time_limit.py     stops a checker that hangs
    _test_classes.py   a class of tests as a checker
    _test_files.py     a file of tests as a checker, run by pytest
    _grading.py        `Score`: the points, the table, JSON for an autograder

`elunet.testing` has the checks themselves and knows nothing of this package.
"""

from elunet.teaching import mutants
from elunet.teaching._grading import Result, Score, compare_scores
from elunet.teaching._runner import grade

__all__ = ["Result", "Score", "compare_scores", "grade", "mutants"]
