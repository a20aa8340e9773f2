"""For teachers: a zoo of wrong layers, exercises, and graders for students' submissions.

A check that has never failed has proved little. `mutants` holds layers, losses and optimizers with
one bug each, of the kind that leaves the loss falling. `grade` runs a gradient check or tests
on them and on the correct ones, and counts what they catch; it runs in this process, for practice
and for code that you trust. `grade_submission` grades an exercise in processes of its own::

    from elunet.teaching import grade
    from elunet.testing import check_layer
    print(grade(check_layer))

Where things are:

- ``mutants``: the zoo, one file per kind; a mutant explains itself, ``print(mutants.all()[0])``
- ``exercises``: eight exercises, each with task, stub, tests, solution and points
- ``grade``: `grade`, and the command line of `grade_submission`
- ``submission``: `grade_submission`, exercises without solutions, files for graders

`elunet.testing` has the checks themselves and knows nothing of this package.
"""

from elunet.teaching import mutants
from elunet.teaching.grade import Result, Score, compare_scores, grade
from elunet.teaching.submission import Exercise, Grade, Mark, exercises, grade_submission

__all__ = [
    "Exercise",
    "Grade",
    "Mark",
    "Result",
    "Score",
    "compare_scores",
    "exercises",
    "grade",
    "grade_submission",
    "mutants",
]
